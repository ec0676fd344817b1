"""A table as a source of the loader: records computed on the fly, nothing written."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from entense.archive.job import prepare
from entense.archive.loaders.batches import Loader, Source, named, without_nulls
from entense.archive.schema import common
from entense.errors import RecordError, TableError, hint
from entense.sizes import bytes_of
from entense.tensors.lazy import tensor_columns

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from entense.archive.job import Job
    from entense.archive.loaders.batches import Reader
    from entense.execute.serial import Outcome
    from entense.ops.core import Spec


def loader(
    frame: pl.DataFrame | pl.LazyFrame,
    split: str | None = None,
    *,
    batch_size: int,
    window: int | None = None,
    windows_per_record: int = 1,
    seed: int | None = None,
    drop_last: bool = False,
    tensors: Sequence[str] | None = None,
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
    split
        Only the records that have it in the column `split`; None for all.
    batch_size, window, windows_per_record, seed, drop_last, tensors
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
        When the table has no lazy tensor, no record, or none of that split.
    RecordError
        When a record cannot be computed.

    Examples
    --------
    >>> loader(pl.DataFrame({"record": ["a"]}), batch_size=1)
    Traceback (most recent call last):
    entense.errors.TableError: the table has no lazy tensor to compute; add one with transform
    """
    table = frame.lazy().collect()
    table = table if split is None else _in_split(table, split)
    job = prepare(_only(table, named(tensors)) if tensors else table, columns, dtype)
    budget = None if memory is None else bytes_of(memory, "memory")
    source = _source(job, budget)
    return Loader(source, batch_size, window, windows_per_record, seed, drop_last)


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


def _source(job: Job, memory: int | None) -> Source:
    """Return records that are computed as they are asked for, neighbours that are one once."""
    specs = [_specs(job, row) for row in range(len(job.ids))]
    of = {name: [found[name] for found in specs] for name in job.survey.tensors}

    def readers(records: Sequence[int]) -> Generator[Reader]:
        from entense.execute.serial import run

        rows = [row for n, row in enumerate(records) if n == 0 or records[n - 1] != row]
        computed = cast("Generator[Outcome]", run(job.survey, rows, memory=memory))
        with closing(computed):
            current = None
            for record in records:
                if record != current:
                    outcome, current = next(computed), record
                yield partial(_copy, _arrays(job, outcome))

    return Source(
        tensors={name: common(found) for name, found in of.items()},
        shapes={name: [spec.shape for spec in found] for name, found in of.items()},
        scalars=without_nulls(job.table.select("record").with_columns(job.scalars)),
        readers=readers,
        dear=True,
    )


def _specs(job: Job, row: int) -> Mapping[str, Spec]:
    specs = job.survey.specs[row]
    if specs is None:
        raise _failed(job, row, job.survey.errors[row])
    return specs


def _arrays(job: Job, outcome: Outcome) -> Mapping[str, NDArray[Any]]:
    if outcome.arrays is None:
        raise _failed(job, outcome.row, outcome.error)
    return outcome.arrays


def _failed(job: Job, row: int, error: str | None) -> RecordError:
    return RecordError(
        f"record {job.ids[row]} cannot be computed: {error}; mend it, or filter it out"
    )


def _copy(
    arrays: Mapping[str, NDArray[Any]], tensor: str, start: int, stop: int, out: NDArray[Any]
) -> None:
    array = arrays[tensor]
    out[...] = array[start:stop] if array.ndim else array
