"""The loader: which windows of which records, in which order, in batches of NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl

from entense.archive.loaders.memory import Memory
from entense.archive.loaders.prefetch import AHEAD, prefetched
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from entense.archive.schema import Tensor

TIME = "time"
Reader: TypeAlias = "Callable[[str, int, int, NDArray[Any]], None]"
"""Reads rows of a record: ``read(tensor, start, stop, out)``."""


@dataclass(frozen=True, eq=False)
class Source:
    """Where the loader gets records from: an archive, or a table computed on the fly."""

    tensors: Mapping[str, Tensor]
    shapes: Mapping[str, Sequence[tuple[int, ...]]]  # of each record
    scalars: pl.DataFrame  # a row a record: `record`, its id, and what else goes into batches
    readers: Callable[[Sequence[int]], Generator[Reader]]  # one for each of some records
    dear: bool = False  # a record is costly to come by: its windows then follow each other

    @cached_property
    def ids(self) -> list[str]:
        """The records' ids."""
        return self.scalars["record"].to_list()


@dataclass(eq=False)
class Loader:
    """Batches of records or of windows in time; each iteration is another epoch.

    A batch is a dict: each tensor ``(batch, …)`` in its own dtype; each scalar an array (a string
    a list; a number that may be null a float array with NaN); ``"record"``, the ids; ``"start"``,
    int64, the first frame of each window.

    Parameters
    ----------
    source
        Where the records are.
    batch_size, window, windows_per_record, seed, drop_last
        As `Archive.loader` says.
    epoch
        Number of the next epoch; with `seed`, it decides order and windows.

    Raises
    ------
    ArchiveError
        When a window is longer than a record, or records are ragged and cannot be stacked.
    """

    source: Source = field(repr=False)
    batch_size: int
    window: int | None = None
    windows_per_record: int = 1
    seed: int | None = None
    drop_last: bool = False
    epoch: int = 0
    _room: NDArray[np.int64] = field(init=False, repr=False)
    _memory: Memory = field(init=False, repr=False)

    def __post_init__(self) -> None:
        window = 1 if self.window is None else self.window
        sizes = {"batch_size": self.batch_size, "windows_per_record": self.windows_per_record}
        for name, size in {**sizes, "window": window}.items():
            if not isinstance(size, int) or size < 1:
                raise ArchiveError(f"{name}={size!r} is no count; give 1 or more")
        if self.window is None and self.windows_per_record > 1:
            raise ArchiveError("windows_per_record needs a window; give window=, in frames")
        records = range(len(self.source.ids))
        self._room = np.array([self._last_start(record) for record in records], np.int64)
        self._check_shapes()
        self._memory = Memory(most=len(self.source.tensors) * (AHEAD + 2))

    def __len__(self) -> int:
        items = len(self.source.ids) * self.windows_per_record
        return items // self.batch_size if self.drop_last else -(-items // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return prefetched(self._batches(epoch))

    def _batches(self, epoch: int) -> Generator[dict[str, Any]]:
        records, starts = self._items(epoch)
        readers = self.source.readers(records)
        for number in range(len(self)):
            part = slice(number * self.batch_size, (number + 1) * self.batch_size)
            yield self._batch(records[part], starts[part], readers)

    def _items(self, epoch: int) -> tuple[list[int], list[int]]:
        """Return record and first frame of each item of an epoch, in order."""
        count, each = len(self.source.ids), self.windows_per_record
        if self.seed is None:
            spaced = np.linspace(np.zeros(count), self._room, each, axis=1)
            return np.repeat(np.arange(count), each).tolist(), spaced.astype(int).ravel().tolist()
        rng = np.random.default_rng([self.seed, epoch])
        starts = rng.integers(0, self._room[:, None], (count, each), endpoint=True)
        if self.source.dear:
            order = rng.permutation(count)[:, None] * each + np.arange(each)
        else:
            order = rng.permutation(count * each)
        return (order.ravel() // each).tolist(), starts.ravel()[order.ravel()].tolist()

    def _batch(
        self,
        records: Sequence[int],
        starts: Sequence[int],
        readers: Iterator[Reader],
    ) -> dict[str, Any]:
        kinds = self.source.tensors
        batch: dict[str, Any] = {
            name: self._memory.empty((len(records), *self._extent(records[0], name)), kind.dtype)
            for name, kind in kinds.items()
        }
        for place, (start, read) in enumerate(zip(starts, readers, strict=False)):
            for name in kinds:
                out = batch[name][place : place + 1].reshape(batch[name].shape[1:] or (1,))
                begin = start if self._is_cut(name) else 0
                read(name, begin, begin + len(out), out)
        return batch | _columns(self.source.scalars[list(records)]) | {"start": np.array(starts)}

    def _is_cut(self, tensor: str) -> bool:
        return self.window is not None and self.source.tensors[tensor].dims[:1] == (TIME,)

    def _extent(self, record: int, tensor: str) -> tuple[int, ...]:
        shape = self.source.shapes[tensor][record]
        return (self.window or 0, *shape[1:]) if self._is_cut(tensor) else shape

    def _last_start(self, record: int) -> int:
        """Return the last frame that a window of the record can begin at."""
        cut = [name for name in self.source.tensors if self._is_cut(name)]
        frames = {self.source.shapes[name][record][0] for name in cut}
        if not frames:
            return 0
        if len(frames) > 1:
            raise ArchiveError(
                f"the tensors of record {self.source.ids[record]} have different numbers of frames "
                f"({sorted(frames)}), so a window cannot be the same in each; write them apart"
            )
        room = frames.pop() - (self.window or 0)
        if room < 0:
            raise ArchiveError(
                f"record {self.source.ids[record]} has {room + (self.window or 0)} frames, fewer "
                f"than window={self.window}; take a shorter window, or filter such records out"
            )
        return room

    def _check_shapes(self) -> None:
        if self.batch_size == 1:
            return
        for name in self.source.tensors:
            shapes = {self._extent(record, name) for record in range(len(self.source.ids))}
            if len(shapes) > 1:
                raise ArchiveError(
                    f"the records differ in the shape of {name!r} ({sorted(shapes)[:2]}, …), so "
                    "they make no batch; give a window= that fits all (time), use one mask or "
                    "atlas for all (space), or batch_size=1"
                )


def named(tensors: Sequence[str] | None) -> Sequence[str]:
    """Return the names of tensors that were asked for; a single name is an error, not letters."""
    if isinstance(tensors, str):
        raise ArchiveError(f'tensors={tensors!r} is one name, a list is due: tensors=["{tensors}"]')
    return tensors or ()


def without_nulls(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table in which numbers that may be null are floats, with NaN for null.

    Examples
    --------
    >>> without_nulls(pl.DataFrame({"n": [1, None], "sex": ["f", None]})).rows()
    [(1.0, 'f'), (nan, None)]
    """
    return table.with_columns(
        column.cast(pl.Float64).fill_null(float("nan"))
        for column in table
        if column.null_count() and column.dtype != pl.String
    )


def _columns(table: pl.DataFrame) -> dict[str, Any]:
    """Return columns as arrays; strings as lists."""
    return {
        column.name: column.to_list() if column.dtype == pl.String else column.to_numpy()
        for column in table
    }
