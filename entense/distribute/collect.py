"""Materialise the lazy tensors of a table, here or elsewhere."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import polars as pl

from entense.archive.executors import Elsewhere
from entense.archive.failures import FailedRecordsError
from entense.archive.write import write
from entense.errors import TableError
from entense.execute.collect import chunks, computed, names_of
from entense.execute.serial import Outcome
from entense.plan.fuse import DEFAULT, how_of
from entense.sizes import bytes_of
from entense.tensors import lazy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from entense.archive.read import Archive
    from entense.execute.collect import Kind


@overload
def collect(
    frame: pl.DataFrame | pl.LazyFrame,
    *,
    streaming: Literal[False] = ...,
    chunk_size: int = ...,
    memory: str | int | None = ...,
    without: Sequence[str] = ...,
    fusion: str = ...,
    executor: str = ...,
    folder: str | Path | None = ...,
    **options: Any,
) -> pl.DataFrame: ...
@overload
def collect(
    frame: pl.DataFrame | pl.LazyFrame,
    *,
    streaming: Literal[True],
    chunk_size: int = ...,
    memory: str | int | None = ...,
    without: Sequence[str] = ...,
    fusion: str = ...,
    executor: str = ...,
    folder: str | Path | None = ...,
    **options: Any,
) -> Iterator[pl.DataFrame]: ...
def collect(
    frame: pl.DataFrame | pl.LazyFrame,
    *,
    streaming: bool = False,
    chunk_size: int = 16,
    memory: str | int | None = None,
    without: Sequence[str] = (),
    fusion: str = "greedy",
    executor: str = "serial",
    folder: str | Path | None = None,
    **options: Any,
) -> pl.DataFrame | Iterator[pl.DataFrame]:
    """Compute every lazy tensor of a table.

    Parameters
    ----------
    frame
        A record table with lazy tensors.
    streaming
        False: all of it is held in memory; take `head` or `filter` first, and `write` what is
        large. True: an iterator of tables of `chunk_size` records each, of which only the one that
        is asked for, and what is on its way, are held.
    chunk_size
        Records in a table of the stream.
    memory
        About how much memory the computation may take: ``"4GB"`` or a number of bytes.
    without, fusion
        Rules to leave out, and how steps are fused; see `explain`.
    executor, **options
        As in `write`, with `worker`, `modules`, `cores` and so on: where it is computed.
    folder
        Of another executor than ``"serial"``: where what is computed lies meanwhile, on a disk that
        all workers share. It is an archive of the lazy columns alone, and stays: a call that was
        killed goes on there. A temporary folder of this machine unless given; workers on others
        must have one.

    Returns
    -------
    The table with Arrow tensor columns in place of the lazy ones: ``arrow.fixed_shape_tensor``
    with named dims where all records have one shape, else ``entense.ragged_tensor`` (a struct of
    ``data`` and ``shape``). `to_numpy` gives the arrays.

    Raises
    ------
    RecordError
        One error that lists every record that failed; of a stream at its end, when all the others
        have come.
    RecipeError
        Where a record cannot be computed within `memory`.

    Examples
    --------
    >>> import polars as pl, entense as et
    >>> et.collect(pl.DataFrame({"age": [31]}))["age"].to_list()
    [31]
    >>> [len(part) for part in et.collect(pl.DataFrame({"age": [31, 40, 28]}), streaming=True)]
    [3]
    """
    if chunk_size < 1:
        raise TableError(f"chunk_size={chunk_size} holds no record; give 1 or more")
    table, size = frame.lazy().collect(), chunk_size if streaming else None
    if executor == "serial":
        Elsewhere(options=options | ({} if folder is None else {"folder": folder})).check_here()
        budget = None if memory is None else bytes_of(memory, "memory", error=TableError)
        parts = computed(table, size, budget, how_of(without, fusion))
    else:
        how = {"without": without, "fusion": fusion, "memory": memory, "executor": executor}
        parts = _elsewhere(table, size, folder, how | options)
    if streaming:
        return parts
    (whole,) = parts
    return whole


def _elsewhere(
    table: pl.DataFrame, size: int | None, folder: str | Path | None, how: dict[str, Any]
) -> Iterator[pl.DataFrame]:
    """Yield the same as `computed`, of an archive that has nothing but the lazy columns."""
    names, ids = lazy.tensor_columns(table.schema), names_of(table)
    if not names or not table.height:
        yield from computed(table, size, None, DEFAULT)
        return
    if folder is None and (how.get("worker") in ("slurm", "sge") or "address" in how):
        raise TableError(
            "workers on other machines cannot see a temporary folder of this one; give folder= on "
            "a disk that all of them share"
        )
    on_error = "raise" if size is None else "skip"  # a stream has the others first
    kinds: dict[str, Kind] = dict.fromkeys(names, ((), False))
    with _place(folder) as place:
        try:
            cells = table.select(pl.Series("record", ids), *names)
            archive = write(cells, place, on_error=on_error, **how)
        except FailedRecordsError as error:
            outcomes = _failed(ids, error.failures)
        else:
            kinds = {name: (one.dims, None in one.shape) for name, one in archive.schema.items()}
            outcomes = _read(archive, ids)
        yield from chunks(table, kinds, outcomes, size)


def _failed(ids: Sequence[str], failures: Mapping[str, str]) -> Iterator[Outcome]:
    for row, record in enumerate(ids):
        if record in failures:
            yield Outcome(row, None, error=failures[record])


def _read(archive: Archive, ids: Sequence[str]) -> Iterator[Outcome]:
    """Yield what the archive has of each record."""
    errors = archive.records["error"]
    for row, record in enumerate(ids):
        at = archive.row(record)
        arrays = None if errors[at] else {name: archive.read(at, name) for name in archive.schema}
        yield Outcome(row, arrays, error=errors[at])


@contextmanager
def _place(folder: str | Path | None) -> Iterator[str | Path]:
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="entense-") as place:
        yield Path(place) / "archive"
