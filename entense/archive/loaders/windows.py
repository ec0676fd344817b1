"""Which part of each record an item is: all of it, or some frames of what has time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from entense.archive.loaders.source import Source

TIME = "time"


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of `length` frames, of each tensor whose first dimension is time; None: whole."""

    source: Source
    length: int | None

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
        everything = np.concatenate(list(self.extents.values()), axis=1)
        return np.unique(everything, axis=0, return_inverse=True)[1].reshape(-1)

    @cached_property
    def room(self) -> NDArray[np.int64]:
        """(records,) the last frame that a window can begin at; an error where there is none."""
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
        for record in np.flatnonzero(frames[:, 0] < self.length):
            raise ArchiveError(
                f"record {ids[record]} has {frames[record, 0]} frames, fewer than "
                f"window={self.length}; take a shorter window, or filter such records out"
            )
        return frames[:, 0] - self.length

    def check_alike(self) -> None:
        """Raise where the items are not all of one shape."""
        for name, shapes in self.extents.items():
            different = np.unique(shapes, axis=0)
            if len(different) > 1:
                raise ArchiveError(
                    f"the records differ in the shape of {name!r} "
                    f"({[tuple(shape) for shape in different[:2].tolist()]}, …), so they make no "
                    "batch; give a window= that fits all (time), use one mask or atlas for all "
                    '(space), ragged="pad" or "bucket", or batch_size=1'
                )

    def _extents(self, tensor: str, shapes: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.length is None or not self.is_cut(tensor):
            return shapes
        shapes = shapes.copy()
        shapes[:, 0] = self.length
        return shapes
