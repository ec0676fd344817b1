"""What is shared out: groups of records, and what they are like."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import polars as pl

from entense.errors import TableError
from entense.index.entities import IDENTIFYING
from entense.records.identity import record_name
from entense.records.tables.labels import counted, label, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@final
@dataclass(frozen=True)
class Groups:
    """The groups that a scheme shares out, sorted by their names as text.

    Parameters
    ----------
    keys
        (group, by): their names, of the types that the records have.
    records
        UInt32: how many records each has.
    classes
        (group, stratify) List(String): the values of its records, each once, sorted.
    means
        (group, representative) Float64: the mean over its records; null where none has a number.
    bins
        How many bins of equal size the means are put into.
    """

    keys: pl.DataFrame
    records: pl.Series
    classes: pl.DataFrame
    means: pl.DataFrame
    bins: int

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def names(self) -> list[tuple[str, ...]]:
        """The name of each group as text, a text for each column."""
        return self.keys.select(pl.all().cast(pl.String)).rows()

    @property
    def binned(self) -> pl.DataFrame:
        """(group, representative) Int64: the bin of each, from 0; null where there is no mean."""
        place = pl.all().rank("min").cast(pl.Int64) - 1  # equal means: one bin
        return self.means.select(place * self.bins // pl.all().count().cast(pl.Int64))

    def ranks(self, seed: int) -> list[str]:
        """Return a text for each group whose order is random, and the same on any machine."""
        return [digest(seed, *name) for name in self.names]

    def strata(self, seed: int) -> list[tuple[str, ...]]:
        """Return the stratum of each group, a text for each column, in an order of the seed's."""
        columns = [*self.classes.get_columns(), *self.binned.get_columns()]
        words = [[digest(seed, i, v) for v in c.to_list()] for i, c in enumerate(columns)]
        return [tuple(word[row] for word in words) for row in range(len(self))]


def digest(*values: object) -> str:
    """Return the hash of some values, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def as_columns(given: str | Sequence[str] | None) -> list[str]:
    """Return one column, several or none as a list, each once.

    Examples
    --------
    >>> as_columns("site"), as_columns(None)
    (['site'], [])
    """
    return [given] if isinstance(given, str) else list(dict.fromkeys(given or []))


def groups_of(
    frame: pl.DataFrame | pl.LazyFrame,
    by: Sequence[str],
    stratify: Sequence[str],
    representative: Sequence[str],
    bins: int,
) -> Groups:
    """Collect the groups of a table and what they are like; nothing else of the frame is read.

    Raises
    ------
    TableError
        A column is not there or of a wrong type, a record is in no group, or there is no record.
    """
    _check(frame.collect_schema(), by, stratify, representative, bins)
    table = (
        frame.lazy()
        .group_by(by)
        .agg(
            pl.len().alias(" records"),
            *(_distinct(name).alias(f" class {name}") for name in stratify),
            *(_numbers(name).alias(f" numbers {name}") for name in representative),
        )
        .sort(pl.col(by).cast(pl.String))
        .collect()
    )
    keys = table.select(by)
    if keys.is_empty():
        raise TableError("the table has no records to split; look at what its filters dropped")
    if any(keys.null_count().row(0)):
        raise _in_no_group(frame, by)
    _check_one_form(keys)
    classes = table.select(pl.col(f" class {name}").alias(name) for name in stratify)
    means = {name: _means(table[f" numbers {name}"]) for name in representative}
    return Groups(keys, table[" records"], classes, pl.DataFrame(means), bins)


def _in_no_group(frame: pl.DataFrame | pl.LazyFrame, by: Sequence[str]) -> TableError:
    """Count the records that lack a value to split by, and name one if it has a name."""
    schema = frame.collect_schema()
    parts = [n for n in ("dataset", *IDENTIFYING) if n in schema and _is_plain(schema[n])]
    lacking = frame.lazy().filter(pl.any_horizontal(pl.col(by).is_null()))
    lost = lacking.select(parts or by).collect()
    name = lost.select(record_name(lost.schema)).to_series().min() if parts else None
    such = f", such as {name!r}" if name else ""
    return TableError(
        f"{counted(len(lost), 'record has', 'records have')} no {' or '.join(by)} to split by"
        f"{such}: fill it, or drop those records"
    )


def _check_one_form(keys: pl.DataFrame) -> None:
    """Raise where a group has two names (``sub-01``, ``01``): it could be in two splits."""
    forms = keys.with_columns(pl.struct(map(label, keys.columns)).alias(" form"))
    twice = forms.filter(pl.col(" form").is_duplicated())
    if len(twice):
        names = twice.filter(pl.col(" form") == pl.col(" form").first()).select(keys.columns)
        texts = names.select(pl.concat_str(pl.all(), separator="_")).to_series()
        raise TableError(
            f"{listed(texts)} are one group of {', '.join(keys.columns)}, which is written in "
            'several ways; bring it to one form, as pl.col("subject").str.strip_prefix("sub-") does'
        )


def _distinct(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).unique().sort(nulls_last=True)


def _numbers(name: str) -> pl.Expr:
    number = pl.col(name).cast(pl.Float64)
    return number.filter(number.is_finite())


def _means(numbers: pl.Series) -> pl.Series:
    """Take exact sums, which do not depend on the order of the rows."""
    means = [math.fsum(values) / len(values) if values else None for values in numbers.to_list()]
    return pl.Series(means, dtype=pl.Float64)


def _check(
    schema: pl.Schema,
    by: Sequence[str],
    stratify: Sequence[str],
    representative: Sequence[str],
    bins: int,
) -> None:
    _check_there(schema, by or [""], "split by")
    _check_there(schema, stratify, "stratify by")
    _check_there(schema, representative, "represent")
    if floats := [name for name in stratify if schema[name].is_float()]:
        raise TableError(
            f"{listed(floats)} has numbers with fractions, and strata are classes: say "
            "representative=..., or cast it to whole numbers"
        )
    numeric = [n for n in representative if schema[n].is_numeric() or schema[n].is_temporal()]
    if others := [name for name in representative if name not in numeric]:
        raise TableError(
            f"{listed(others)} has no numbers to take the mean and quantiles of: say stratify=..."
        )
    if not isinstance(bins, int) or bins < 2:
        raise TableError(f"bins={bins!r} makes no quantiles: give a whole number of 2 or more")


def _check_there(schema: pl.Schema, names: Iterable[str], use: str) -> None:
    if missing := [name for name in names if name not in schema]:
        raise TableError(
            f"there is no column {', '.join(map(str, missing))!r} to {use}; there are: "
            f"{', '.join(schema)}"
        )
    if others := [name for name in names if not _is_plain(schema[name])]:
        raise TableError(
            f"{listed(others)} holds lists, structs or tensors to {use}: give single values"
        )


def _is_plain(kind: pl.DataType) -> bool:
    return not (kind.is_nested() or isinstance(kind, pl.BaseExtension))
