"""Records, or windows of them, one by one and in any order: what grain and torch take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from entense.archive.loaders.batches import check_free, read_batch
from entense.archive.loaders.loader import check_choice, order_of
from entense.archive.loaders.notes import Notes
from entense.archive.loaders.source import Skipped
from entense.archive.loaders.windows import Windows
from entense.errors import ArchiveError, RecordError, StaleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from entense.archive.loaders.loader import OnError, Short
    from entense.archive.loaders.source import Source

    Drawn: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]


ALONE = (
    'give a window= that fits all, or short="pad" with one that does not (time), use one mask or '
    "atlas for all (space), or stack them by a function of your own (collate_fn, batch_fn)"
)
"""What to do with items of different shapes."""


@dataclass(eq=False)
class Items:
    """The items of an epoch, in its order: ``items[i]`` is a dict of arrays and scalars.

    A dict has each tensor in its own dtype, each scalar (a number that may be null a float, with
    NaN; a string ``""``), ``"record"``, the id, and ``"start"``, the first frame; with
    ``short="pad"``, ``"<tensor>_shape"``, how much of it is not padding. It is what
    grain calls a random access data source; an item that cannot be read is None, which grain leaves
    out, where `on_error` is ``"skip"``. It can be pickled; shards stay open in the process that
    reads them.

    Parameters
    ----------
    source
        Where the records are.
    window, windows_per_record, seed, rank, world, short, on_error
        As `Archive.loader` says.
    epoch
        With `seed`, it decides order and windows.
    """

    source: Source
    window: int | None = None
    windows_per_record: int = 1
    seed: int | None = None
    rank: int = 0
    world: int = 1
    epoch: int = 0
    short: Short = "raise"
    on_error: OnError = "raise"

    def __post_init__(self) -> None:
        for name in ("short", "on_error"):
            check_choice(name, getattr(self, name))
        self._notes = Notes() if self.on_error == "skip" else None
        self._drawn: tuple[int, Drawn] | None = None
        self._windows = Windows(self.source, self.window, self.short)
        if self.short == "pad":
            check_free(self._windows)
        self._order = order_of(
            self._windows,
            each=self.windows_per_record,
            seed=self.seed,
            rank=self.rank,
            world=self.world,
        )
        self._windows.tell_alike(ALONE)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        return self.found(*self.at(index))

    @property
    def skipped(self) -> list[Skipped]:
        """Record and reason of whatever was left out, here and by workers that have a copy."""
        return self._windows.left_out + (self._notes.all() if self._notes else [])

    def at(self, index: int) -> tuple[int, int]:
        """Return record and first frame of an item."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no item {index}, there are {len(self)}")
        records, starts = self._of_epoch()
        return int(records[index]), int(starts[index])

    def of(self, record: int, start: int) -> dict[str, Any]:
        """Return the item that begins at a frame of a record."""
        with self.source.opened([record]) as read:
            one, pads = (np.array([record]), np.array([start])), self.short == "pad"
            batch, _ = read_batch(self._windows, read, *one, pads=pads)
        tensors = {name: np.asarray(batch.pop(name)[0]) for name in self.source.tensors}
        return tensors | {name: _plain(values[0]) for name, values in batch.items()}

    def found(self, record: int, start: int) -> dict[str, Any] | None:
        """Return the item that begins at a frame of a record; None where that is skipped."""
        try:
            return self.of(record, start)
        except StaleError:
            raise
        except (ArchiveError, RecordError) as error:
            if self._notes is None:
                raise
            self._notes.add(Skipped(self.source.columns["record"][record], str(error)))
            return None

    def part(self, part: int, parts: int) -> Iterator[tuple[int, int]]:
        """Yield record and start of each item of an equal part of the epoch's, dealt in turn."""
        records, starts = self._of_epoch()
        mine = slice(part, None, parts)
        for record, start in zip(records[mine], starts[mine], strict=True):
            yield int(record), int(start)

    def __repr__(self) -> str:
        options = ("window", "windows_per_record", "seed", "rank", "world", "epoch", "short")
        values = ", ".join(f"{name}={getattr(self, name)}" for name in options)
        return f"Items(records={self.source.digest}, {values})"

    def _of_epoch(self) -> Drawn:
        """Return records and first frames of the epoch, drawn once."""
        drawn = self._drawn
        if drawn is None or drawn[0] != self.epoch:
            self._drawn = drawn = self.epoch, self._order.items(self.epoch)
        return drawn[1]


def _plain(value: Any) -> Any:
    """Return a scalar as Python has it, and what a null of strings is where there is no null."""
    if isinstance(value, np.generic):
        return value.item()
    return "" if value is None else value
