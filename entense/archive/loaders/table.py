"""A table as a source of the loader: records computed on the fly, nothing written."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl

from entense.archive.job import prepare
from entense.archive.loaders.cache import Cache
from entense.archive.loaders.loader import Loader
from entense.archive.loaders.source import Skipped, Source, columns_of, named
from entense.archive.schema import common
from entense.errors import RecordError, TableError, hint
from entense.sizes import bytes_of
from entense.tensors.lazy import tensor_columns

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from typing import Unpack

    from numpy.typing import NDArray

    from entense.archive.job import Job
    from entense.archive.loaders.loader import Asked
    from entense.archive.loaders.source import Reader
    from entense.execute.serial import Outcome


def loader(
    frame: pl.DataFrame | pl.LazyFrame,
    split: str | None = None,
    *,
    batch_size: int,
    tensors: Sequence[str] | None = None,
    columns: Sequence[str] = (),
    dtype: Mapping[str, str] | None = None,
    memory: str | int | None = None,
    cache: str | int | None = None,
    **asked: Unpack[Asked],
) -> Loader:
    """Return batches of a table's lazy tensors, computed as they are asked for.

    The batches are those of `Archive.loader`, in another order: with `seed`, records are shuffled
    and the windows of one record follow each other, on one rank, so that each record is computed
    once an epoch. It is computed by all cores; `workers` is how many batches are made ahead.

    Parameters
    ----------
    frame
        A record table with lazy tensor columns.
    split
        Only the records that have it in the column `split`; None for all.
    batch_size, tensors
        As `Archive.loader` says.
    columns
        Numbers, booleans and strings of the table that go into the batches.
    dtype
        Tensor to its dtype: ``{"clean": "float16"}``.
    memory
        About how much memory the computation may take: ``"4GB"`` or a number of bytes.
    cache
        How much memory computed records may take: ``"2GB"`` or a number of bytes. They are kept
        for later epochs, which then compute only what did not fit. None: nothing is kept.
    window, short, windows_per_record, seed, drop_last, rank, world, workers, ragged, on_error, to
        As `Archive.loader` says.

    Raises
    ------
    TableError
        When the table has no lazy tensor, no record, or none of that split.
    RecordError
        When a record cannot be computed (with ``on_error="skip"``, when none can).

    Examples
    --------
    >>> loader(pl.DataFrame({"record": ["a"]}), batch_size=1)
    Traceback (most recent call last):
    entense.errors.TableError: the table has no lazy tensor to compute; add one with transform
    """
    table = frame.lazy().collect()
    table = table if split is None else _in_split(table, split)
    if tensors is not None:
        table = _only(table, named(tensors, ()))
    job = prepare(table, columns, dtype)
    budget = None if memory is None else bytes_of(memory, "memory")
    kept = 0 if cache is None else bytes_of(cache, "cache")
    skips = asked.get("on_error") == "skip"
    return Loader(_source(job, budget, kept, skips=skips), batch_size, **asked)


def _only(table: pl.DataFrame, tensors: Sequence[str]) -> pl.DataFrame:
    """Leave out the lazy tensors that are not asked for."""
    lazy = tensor_columns(table.schema)
    for name in tensors:
        if name not in lazy:
            raise TableError(f"there is no lazy tensor {name!r} in the table; {hint(name, lazy)}")
    return table.drop(name for name in lazy if name not in tensors)


def _in_split(table: pl.DataFrame, split: str) -> pl.DataFrame:
    if "split" not in table.columns:
        raise TableError(f"the table has no column 'split' to look for {split!r} in; see et.split")
    found = table.filter(pl.col("split").cast(pl.String) == split)
    if not len(found):
        counts = table["split"].cast(pl.String).value_counts().sort("split").rows()
        known = ", ".join(f"{name!r} ({count} records)" for name, count in counts)
        raise TableError(f"the split {split!r} is not in the table; it has {known or 'none'}")
    return found


def _source(job: Job, memory: int | None, cache: int, *, skips: bool) -> Source:
    """Return records that are computed as they are asked for."""
    survey = job.survey
    errors = enumerate(survey.errors)
    lost = {row: _failed(job, row, error) for row, error in errors if error is not None}
    rows = [row for row in range(len(job.table)) if row not in lost]
    if lost and not (skips and rows):
        raise next(iter(lost.values()))
    known = [row.specs for row in survey.rows if row.specs is not None]
    specs = {name: [found[name] for found in known] for name in survey.tensors}
    return Source(
        tensors={name: common(found) for name, found in specs.items()},
        shapes={
            name: np.array([spec.shape for spec in found], np.int64).reshape(len(rows), -1)
            for name, found in specs.items()
        },
        columns=columns_of(job.table.select("record").with_columns(job.scalars)[rows]),
        opened=partial(_opened, job, rows, memory, Cache(cache)),
        dear=True,
        failed=[Skipped(job.ids[row], str(error)) for row, error in lost.items()],
    )


@contextmanager
def _opened(
    job: Job, rows: Sequence[int], memory: int | None, cache: Cache, records: Sequence[int]
) -> Iterator[Reader]:
    """Compute records, which are then read in this order, as far as the cache has them not."""
    from entense.execute.serial import run

    distinct = [record for record, _ in groupby(records)]
    missing = [rows[record] for record in distinct if record not in cache.arrays]
    computed = cast("Generator[Outcome]", run(job.survey, missing, memory=memory))
    with closing(computed):
        yield _Computed(job, rows, computed, cache).read


@dataclass(eq=False)
class _Computed:
    """Records one after the other: the cache's, and what is computed for want of it."""

    job: Job
    rows: Sequence[int]  # of the table, a record
    computed: Iterator[Outcome]
    cache: Cache
    current: int | None = None
    outcome: Outcome | None = None

    def read(self, record: int, tensor: str, start: int, stop: int, out: NDArray[Any]) -> None:
        """Copy rows of a record, the current one or one that follows."""
        array = (self.cache.arrays.get(record) or self._arrays(record))[tensor]
        out[...] = array[start:stop] if array.ndim else array

    def _arrays(self, record: int) -> Mapping[str, NDArray[Any]]:
        if record != self.current or self.outcome is None:
            row = self.rows[record]
            # what has come into the cache since was computed in vain
            self.outcome = next(outcome for outcome in self.computed if outcome.row == row)
            self.current = record
        arrays = self.outcome.arrays
        if arrays is None:
            raise _failed(self.job, self.outcome.row, self.outcome.error)
        self.cache.keep(record, arrays)
        return arrays


def _failed(job: Job, row: int, error: str | None) -> RecordError:
    return RecordError(
        f"record {job.ids[row]} cannot be computed: {error}; mend it, or filter it out"
    )
