"""A table with lazy tensors, checked, sorted and surveyed: what `write` and `loader` begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from entense.archive.table import check_names, names_of_files
from entense.errors import ArchiveError, TableError, hint
from entense.plan.fuse import DEFAULT
from entense.records.identity import with_record_id
from entense.tensors.lazy import check_no_lists, tensor_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from entense.archive.formats.base import Scalar
    from entense.plan.fuse import How
    from entense.plan.survey import Survey


@dataclass(frozen=True, eq=False)
class Job:
    """Records to compute, sorted by id."""

    table: pl.DataFrame  # without its lazy columns and without folders in its paths
    scalars: pl.DataFrame  # the columns that go into samples
    survey: Survey
    cells: pl.DataFrame  # `record` and the lazy columns: what another process computes them from

    @property
    def ids(self) -> pl.Series:
        """The record of each row."""
        return self.table["record"]

    def values(self, row: int) -> dict[str, Scalar]:
        """Return the scalars of a record."""
        return self.scalars.row(row, named=True) if self.scalars.width else {}

    def slice(self, rows: Sequence[int]) -> pl.DataFrame:
        """Return what some records, in order, can be computed from in another process."""
        cells = self.cells.with_columns(self.scalars.get_columns())
        if rows and rows[-1] - rows[0] + 1 == len(rows):  # as mostly: nothing is copied
            return cells[rows[0] : rows[-1] + 1]
        return cells[rows]


def prepare(
    frame: pl.DataFrame | pl.LazyFrame,
    columns: Sequence[str],
    dtype: Mapping[str, str] | None,
    how: How = DEFAULT,
) -> Job:
    """Sort the records of a table and learn all that can be known of them without a voxel.

    A TableError where there is nothing to compute, an ArchiveError where a column cannot go into
    a sample.
    """
    from entense.plan.survey import survey

    columns = as_names("columns", columns)
    if isinstance(dtype, str):
        raise ArchiveError(f'dtype={dtype!r} says no tensor: give dtype={{"tensor": "{dtype}"}}')
    table = frame.lazy().collect()
    check_no_lists(table.schema)
    tensors = tensor_columns(table.schema)
    if not tensors:
        raise TableError("the table has no lazy tensor to compute; add one with transform")
    if not len(table):
        raise TableError("the table has no records; look at what its filters dropped")
    check_names(columns, tensors)
    table = with_record_id(table)
    table = table if table["record"].is_sorted() else table.sort("record")
    plain = names_of_files(table.drop(tensors))
    scalars = scalars_of(plain, columns)
    known = survey(table, tensors, dtype=dtype or {}, how=how)
    return Job(plain, scalars, known, table.select("record", *tensors))


def as_names(what: str, given: Sequence[str] | None) -> Sequence[str]:
    """Return the names that an option was given; a single one is an error, not its letters."""
    if isinstance(given, str):
        raise ArchiveError(f'{what}={given!r} is one name, a list is due: {what}=["{given}"]')
    return given or ()


def scalars_of(table: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return the columns that go into the samples as Int64, Float64, Boolean or String.

    Examples
    --------
    >>> scalars_of(pl.DataFrame({"age": [30, None]}), ["age"]).schema
    Schema([('age', Int64)])
    """
    for name in columns:
        if name not in table.columns:
            raise ArchiveError(
                f"columns= names {name!r}, which the table has not; {hint(name, table.columns)}"
            )
    return table.select(_plain(table[name]) for name in columns)


def _plain(column: pl.Series) -> pl.Series:
    dtype = column.dtype
    if dtype in (pl.Boolean, pl.String):
        return column
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if dtype.is_float():
        return column.cast(pl.Float64)
    if dtype.is_integer() and (column.max() or 0) < 2**63:  # type: ignore[operator]
        return column.cast(pl.Int64)
    raise ArchiveError(
        f"the column {column.name!r} is {dtype}, and samples hold numbers, booleans and strings "
        "(64 bits); cast it first, or leave it out of columns="
    )
