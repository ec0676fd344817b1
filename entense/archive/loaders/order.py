"""The order of an epoch: which windows of which records come in which batch of which rank."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Order:
    """What an epoch gives and when, decided by nothing but these numbers and the epoch's.

    The items of an epoch (records, or windows of them) are put into an order, and dealt out to
    the ranks like cards: every item goes to one rank, and no rank has more than one unit more
    than another. A unit is an item, or all windows of a record where they stay `together`.

    Parameters
    ----------
    room
        (records,) the last frame that a window of each record can begin at; less than 0 where the
        record has none and is left out.
    each
        Windows of each record.
    batch_size
        Items in a batch.
    seed
        Shuffles and places windows, differently each epoch; None: in order, evenly spaced.
    rank, world
        Which of how many processes this is.
    drop_last
        Leave out batches that are not full, and then what some ranks have more than others.
    together
        Whether the windows of a record follow each other, and go to one rank.
    kinds
        (records,) small integers; records of different kinds never share a batch.
    """

    room: Numbers
    each: int = 1
    batch_size: int = 1
    seed: int | None = None
    rank: int = 0
    world: int = 1
    drop_last: bool = False
    together: bool = False
    kinds: Numbers | None = None

    def __post_init__(self) -> None:
        least = {"windows_per_record": self.each, "batch_size": self.batch_size}
        for name, count in (least | {"world": self.world}).items():
            if not isinstance(count, int) or count < 1:
                raise ArchiveError(f"{name}={count!r} is no count; give 1 or more")
        if not isinstance(self.rank, int) or not 0 <= self.rank < self.world:
            raise ArchiveError(
                f"rank={self.rank!r} is none of world={self.world}; ranks count from 0"
            )
        if self.seed is not None and (not isinstance(self.seed, int) or self.seed < 0):
            raise ArchiveError(f"seed={self.seed!r} is no seed; give 0, 1, …, or None")

    def __len__(self) -> int:
        """Return how many batches the rank has, each epoch."""
        return self._count

    def items(self, epoch: int) -> tuple[Numbers, Numbers]:
        """Return record and first frame of the rank's items, in order."""
        starts, rng = self._starts(epoch)
        units = np.arange(len(self._kind_of_unit))
        units = units if rng is None else rng.permutation(units)
        if self.kinds is not None:
            units = units[np.argsort(self._kind_of_unit[units], kind="stable")]
        share = units[self.rank :: self.world, None]
        items = (share * self._unit + np.arange(self._unit)).ravel()
        return self._there[items // self.each], starts[items]

    def batches(self, epoch: int, first: int = 0) -> Iterator[tuple[Numbers, Numbers]]:
        """Yield records and first frames of each of the rank's batches, from number `first`."""
        records, starts = self.items(epoch)
        cuts = self._mine
        if self.kinds is not None and self.seed is not None:
            cuts = np.random.default_rng([self.seed, epoch, 1]).permutation(cuts)
        for begin, end in cuts[first : len(self)]:
            yield records[begin:end], starts[begin:end]

    def _starts(self, epoch: int) -> tuple[Numbers, np.random.Generator | None]:
        """Return the first frame of every item, and what shuffles them."""
        room = self.room[self._there]
        if self.seed is None:
            spaced = np.linspace(np.zeros(len(room)), room, self.each, axis=1)
            return spaced.astype(np.int64).ravel(), None
        rng = np.random.default_rng([self.seed, epoch])
        shape = len(room), self.each
        return rng.integers(0, room[:, None], shape, endpoint=True).ravel(), rng

    @property
    def _unit(self) -> int:
        return self.each if self.together else 1

    @cached_property
    def _there(self) -> Numbers:
        return np.flatnonzero(self.room >= 0)

    @cached_property
    def _kind_of_unit(self) -> Numbers:
        kinds = np.zeros_like(self.room) if self.kinds is None else self.kinds
        return np.repeat(kinds[self._there], self.each // self._unit)

    @cached_property
    def _count(self) -> int:
        if self.drop_last:
            return min(len(self._cuts(rank)) for rank in range(self.world))
        return len(self._mine)

    @cached_property
    def _mine(self) -> Numbers:
        return self._cuts(self.rank)

    def _cuts(self, rank: int) -> Numbers:
        """Return where each batch of a rank begins and ends among its items: (batches, 2)."""
        counts = np.bincount(np.sort(self._kind_of_unit)[rank :: self.world]) * self._unit
        size, ends = self.batch_size, np.cumsum(counts)
        batches = counts // size if self.drop_last else -(-counts // size)  # of each kind
        number = np.arange(batches.sum()) - np.repeat(np.cumsum(batches) - batches, batches)
        first = np.repeat(ends - counts, batches) + size * number
        return np.stack([first, np.minimum(first + size, np.repeat(ends, batches))], axis=1)
