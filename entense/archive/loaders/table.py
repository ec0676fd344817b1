"""A table as a source of the loader: records computed on the fly, nothing written."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from entense.archive.assign import bytes_of, scalars_of
from entense.archive.formats import as_dtype
from entense.archive.loaders.batches import Loader
from entense.archive.table import check_sample_names, without_folders
from entense.errors import RecordError, TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from entense.execute.serial import Outcome
    from entense.plan.survey import Survey


def loader(
    frame: pl.DataFrame | pl.LazyFrame,
    *,
    batch_size: int,
    window: int | None = None,
    windows_per_record: int = 1,
    seed: int | None = None,
    drop_last: bool = False,
    columns: Sequence[str] = (),
    dtype: Mapping[str, str] | None = None,
    memory: str | int | None = None,
) -> Loader:
    """Return batches of a table's lazy tensors, computed as they are asked for.

    The batches are those of `Archive.loader`. With `seed`, records are shuffled and the windows
    of one record follow each other, so that each record is computed once an epoch.

    Parameters
    ----------
    frame
        A record table with lazy tensor columns.
    batch_size, window, windows_per_record, seed, drop_last
        As `Archive.loader` says.
    columns
        Numbers, booleans and strings of the table that go into the batches.
    dtype
        Tensor to its dtype: ``{"clean": "float16"}``.
    memory
        About how much memory the computation may take: ``"4GB"`` or a number of bytes.

    Raises
    ------
    TableError
        When the table has no lazy tensor.
    RecordError
        When a record cannot be computed.

    Examples
    --------
    >>> loader(pl.DataFrame({"record": ["a"]}), batch_size=1)
    Traceback (most recent call last):
    entense.errors.TableError: the table has no lazy tensor to load; add one with transform
    """
    from entense.plan.survey import survey
    from entense.records.identity import with_record_id
    from entense.tensors.lazy import tensor_columns

    table = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
    tensors = tensor_columns(table.schema)
    if not tensors:
        raise TableError("the table has no lazy tensor to load; add one with transform")
    if not len(table):
        raise TableError("the table has no records to load; look at what its filters dropped")
    check_sample_names(columns, tensors)
    table = with_record_id(table).sort("record")
    plain = without_folders(table.drop(tensors))
    scalars = plain.select("record").with_columns(scalars_of(plain, columns))
    found = survey(table, tensors, dtype=dtype or {})
    budget = None if memory is None else bytes_of(memory, "memory")
    return Loader(
        TableSource(found, scalars, budget),
        batch_size=batch_size,
        window=window,
        windows_per_record=windows_per_record,
        seed=seed,
        drop_last=drop_last,
    )


@dataclass(frozen=True)
class Kind:
    """Dims and dtype of a tensor."""

    dims: tuple[str, ...]
    dtype: np.dtype[Any]


class TableSource:
    """The records of a surveyed table.

    Parameters
    ----------
    survey
        What is known of the tensors.
    scalars
        Their ids in the column `record`, and the scalars that go into batches.
    memory
        Bytes that the computation may take; None leaves it to the executor.
    """

    dear = True

    def __init__(self, survey: Survey, scalars: pl.DataFrame, memory: int | None) -> None:
        self._survey = survey
        self._scalars = scalars
        self._memory = memory
        self.ids: Sequence[str] = scalars["record"].to_list()
        for key, error in zip(self.ids, survey.errors, strict=True):
            if error:
                raise RecordError(f"record {key} cannot be computed: {error}")
        first = survey.specs[0] or {}
        self.tensors: Mapping[str, Kind] = {
            name: Kind(spec.dims, as_dtype(spec.dtype)) for name, spec in first.items()
        }

    def shape(self, record: int, tensor: str) -> tuple[int, ...]:
        """Return the extents of a tensor."""
        specs = self._survey.specs[record] or {}
        return specs[tensor].shape

    def scalars(self, records: Sequence[int]) -> pl.DataFrame:
        """Return the scalars of some records."""
        return self._scalars[list(records)]

    def readers(
        self, records: Sequence[int]
    ) -> Generator[Callable[[str, int, int, NDArray[Any]], None]]:
        """Yield for each record a function that reads rows: ``read(tensor, start, stop, out)``.

        Neighbours that are one record are computed once.
        """
        from entense.execute.serial import run

        rows = [row for n, row in enumerate(records) if n == 0 or records[n - 1] != row]
        computed = cast("Generator[Outcome]", run(self._survey, rows, memory=self._memory))
        with closing(computed):
            current = None
            for record in records:
                if record != current:
                    outcome, current = next(computed), record
                yield partial(_copy, self._arrays(outcome, record))

    def _arrays(self, outcome: Outcome, record: int) -> Mapping[str, NDArray[Any]]:
        arrays: Mapping[str, NDArray[Any]] | None = outcome.arrays
        if arrays is None:
            raise RecordError(f"record {self.ids[record]} cannot be computed: {outcome.error}")
        return arrays


def _copy(
    arrays: Mapping[str, NDArray[Any]], tensor: str, start: int, stop: int, out: NDArray[Any]
) -> None:
    array = arrays[tensor]
    out[...] = array[start:stop] if array.ndim else array
