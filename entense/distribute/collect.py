"""Materialise the lazy tensors of a table, here or elsewhere."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from entense.archive.executors import Elsewhere
from entense.archive.failures import FailedRecordsError
from entense.archive.write import write
from entense.errors import RecordError, TableError
from entense.execute.collect import chunks
from entense.plan.fuse import how_of
from entense.records.identity import with_record_id
from entense.sizes import bytes_of
from entense.tensors import lazy

NOT_HERE = (
    "folder, worker, modules, cores, gpus, tasks and a worker's options are of other processes; "
    'give executor="pydra" too, or leave them out'
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

    from entense.archive.read import Archive


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
    worker: Any = ...,
    modules: Sequence[str] = ...,
    cores: int = ...,
    gpus: int = ...,
    tasks: int | None = ...,
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
    worker: Any = ...,
    modules: Sequence[str] = ...,
    cores: int = ...,
    gpus: int = ...,
    tasks: int | None = ...,
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
    worker: Any = "process",
    modules: Sequence[str] = (),
    cores: int = 1,
    gpus: int = 0,
    tasks: int | None = None,
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
    executor, worker, modules, cores, gpus, tasks, **options
        As in `write`: where it is computed.
    folder
        Of another executor than ``"serial"``: where what is computed lies meanwhile, on a disk that
        all workers share. It is an archive, and stays: a call that was killed goes on there. A
        temporary folder of this machine unless given.

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
    size = chunk_size if streaming else None
    where = Elsewhere(worker, cores, gpus, tasks, modules, options)
    if executor != "serial":
        how = {"without": without, "fusion": fusion, "memory": memory, "executor": executor}
        parts = _elsewhere(frame.lazy().collect(), size, folder, how | where.said)
    elif folder is not None or where != Elsewhere():
        raise TableError(NOT_HERE)
    else:
        budget = None if memory is None else bytes_of(memory, "memory", error=TableError)
        parts = chunks(frame, size, budget, how_of(without, fusion))
    if streaming:
        return parts
    (whole,) = parts
    return whole


def _elsewhere(
    table: pl.DataFrame, size: int | None, folder: str | Path | None, how: dict[str, Any]
) -> Iterator[pl.DataFrame]:
    """Yield the same as `chunks`, computed into an archive first."""
    names = lazy.tensor_columns(table.schema)
    if not names or not table.height:
        yield table
        return
    with _place(folder) as place:
        try:
            archive = write(table, place, **how)
        except FailedRecordsError as error:
            raise RecordError(str(error)) from error
        rows = [archive.row(record) for record in with_record_id(table)["record"]]
        for start in range(0, table.height, size or table.height):
            stop = start + (size or table.height)
            yield table[start:stop].with_columns(
                _read(archive, name, rows[start:stop]) for name in names
            )


def _read(archive: Archive, name: str, rows: Sequence[int]) -> pl.Series:
    tensor = archive.schema[name]
    arrays: list[Any] = [archive.read(row, name) for row in rows]
    return lazy.arrow_tensors(name, arrays, tensor.dims, ragged=None in tensor.shape)


@contextmanager
def _place(folder: str | Path | None) -> Iterator[str | Path]:
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="entense-") as place:
        yield Path(place) / "archive"
