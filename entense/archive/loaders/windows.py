"""Which part of each record an item is: all of it, or some frames of what has time."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from entense.archive.loaders.source import Skipped
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from entense.archive.loaders.source import Source

TIME = "time"
_LOG = logging.getLogger("entense")


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of `length` frames, of each tensor whose first dimension is time; None: whole.

    `short` says what becomes of a record that has fewer frames; see `Archive.loader`.
    """

    source: Source
    length: int | None
    short: str = "raise"

    def __post_init__(self) -> None:
        if self.length is not None and (not isinstance(self.length, int) or self.length < 1):
            raise ArchiveError(f"window={self.length!r} is no count; give 1 or more")

    def is_cut(self, tensor: str) -> bool:
        """Whether an item has only some frames of a tensor."""
        return self.length is not None and self.source.tensors[tensor].dims[:1] == (TIME,)

    @cached_property
    def extents(self) -> Mapping[str, NDArray[np.int64]]:
        """Shape of each record's item, (records, dims) by tensor."""
        return {name: self._extents(name, shapes) for name, shapes in self.source.shapes.items()}

    @cached_property
    def kinds(self) -> NDArray[np.int64]:
        """(records,) numbers that are equal where records' items have equal shapes."""
        kinds = np.zeros(len(self.source.columns["record"]), np.int64)
        for shapes in self.extents.values():
            for extent in shapes.T:  # rows would be compared a hundred times as slowly
                numbers, kind = np.unique(extent, return_inverse=True)
                kinds = np.unique(kinds * len(numbers) + kind, return_inverse=True)[1]
        return kinds

    @cached_property
    def room(self) -> NDArray[np.int64]:
        """(records,) the last frame that a window can begin at; less than 0 where there is none."""
        cut = [shapes[:, 0] for name, shapes in self.source.shapes.items() if self.is_cut(name)]
        ids = self.source.columns["record"]
        if not cut or self.length is None:
            return np.zeros(len(ids), np.int64)
        frames = np.stack(cut, axis=1)
        for record in np.flatnonzero((frames != frames[:, :1]).any(axis=1)):
            raise ArchiveError(
                f"the tensors of record {ids[record]} have different numbers of frames "
                f"({sorted(set(frames[record].tolist()))}), so a window cannot be the same in "
                "each; ask for them apart, with tensors="
            )
        room = frames[:, 0] - self.length
        if self.short == "pad":
            return np.maximum(room, 0)
        if self.short == "raise" and (room < 0).any():
            first = int(np.argmax(room < 0))
            raise ArchiveError(
                f"record {ids[first]} has {frames[first, 0]} frames, fewer than "
                f'window={self.length}; pass short="skip" to leave such records out, short="pad" '
                "to have zeros behind their frames, or a shorter window"
            )
        return room

    @cached_property
    def left_out(self) -> list[Skipped]:
        """The records that have no window, and why."""
        ids, window = self.source.columns["record"], self.length or 0
        return [
            Skipped(ids[row], f"it has {self.room[row] + window} frames, fewer than {window=}")
            for row in np.flatnonzero(self.room < 0).tolist()
        ]

    def tell(self) -> None:
        """Warn of records that have no window; raise where none has one."""
        out, window = self.left_out, self.length or 0
        if not out:
            return
        if len(out) == len(self.room):
            raise ArchiveError(
                f"no record has {window=} frames, the longest has {self.room.max() + window}; "
                'pass a shorter window, or short="pad"'
            )
        _LOG.warning(
            "%d of %d records are left out, with fewer frames than window=%d (%s); `skipped` has "
            "them all",
            *(len(out), len(self.room), window, ", ".join(one.record for one in out[:3])),
        )

    @property
    def differing(self) -> str | None:
        """Say in what the items differ in shape; None where they are all of one."""
        there = self.room >= 0
        for name, every in self.extents.items():
            shapes = every[there]
            different = (shapes != shapes[:1]).any(axis=1)
            if different.any():
                pair = [tuple(shapes[row].tolist()) for row in (0, int(np.argmax(different)))]
                return f"the records differ in the shape of {name!r} ({pair}, …)"
        return None

    def check_alike(self) -> None:
        """Raise where the items are not all of one shape."""
        if differing := self.differing:
            raise ArchiveError(
                f"{differing}, so they make no batch; give a window= that fits all (time), use one "
                'mask or atlas for all (space), ragged="pad" or "bucket", or batch_size=1'
            )

    def tell_alike(self, remedy: str) -> None:
        """Warn where the items are not all of one shape, and others are to make the batches."""
        if differing := self.differing:
            _LOG.warning("%s, and batches are of one shape: %s", differing, remedy)

    def _extents(self, tensor: str, shapes: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.length is None or not self.is_cut(tensor):
            return shapes
        shapes = shapes.copy()
        shapes[:, 0] = self.length
        return shapes
