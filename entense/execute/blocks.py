"""Columns of a file as they are kept: in blocks of one size, as narrow as they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from entense.ops.linear import Centred, Stored
from entense.plan.shapes import BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Offset(NamedTuple):
    """What is to be taken off of columns, block by block.

    Parameters
    ----------
    base
        (block, column) float32, what is to be taken off of each frame.
    slope
        What is left is to be multiplied by this.
    first
        (block, column) float32, the first frame: what was taken off, as it is meant.
    """

    base: NDArray[np.float32]
    slope: np.float32
    first: NDArray[np.float32]


@dataclass(frozen=True)
class Blocks:
    """Columns that were kept, in blocks of one size.

    Parameters
    ----------
    rows
        (block x time, and some more, column) as stored, or float32; zero after the last column.
    offset
        What is to be taken off of them; None where they are meant as they are.
    span
        Which columns of the tensor these are; it begins with a block.
    frames
        How many are real.
    """

    rows: NDArray[Any]
    offset: Offset | None
    span: range
    frames: int

    def block(self, number: int, frames: int | None = None) -> Any:
        """Return a block, by its number in the whole tensor, with `frames` frames or its own.

        What lies beyond its own is the next block: the program that takes it puts zeros there.
        """
        place = number - self.span.start // BLOCK
        rows = self.rows[place * self.frames :][: frames or self.frames]
        if self.offset is None:
            return Stored(rows)
        base, slope, first = self.offset
        return Stored(rows, base[place], slope, first[place])

    @property
    def data(self) -> NDArray[Any]:
        """(block, time, column), without what lies beyond."""
        blocks = -(-len(self.span) // BLOCK)
        return self.rows[: blocks * self.frames].reshape(blocks, self.frames, BLOCK)

    def dense(self, start: int = 0, stop: int | None = None) -> Any:
        """Return some frames, or all that are real, of all columns: (time, column) float32."""
        part = self.data[:, start : self.frames if stop is None else stop].swapaxes(0, 1)
        if self.offset is None:
            return self._flat(part)
        base, slope, first = self.offset
        return Centred(self._flat((part - base) * slope), first.reshape(-1)[: len(self.span)])

    def _flat(self, part: NDArray[Any]) -> NDArray[np.float32]:
        flat = part.reshape(len(part), -1)[:, : len(self.span)]
        return flat.astype(np.float32, copy=False)

    def put_into(self, array: NDArray[Any]) -> None:
        """Copy the columns to their places in (time, column)."""
        for place, start in enumerate(range(self.span.start, self.span.stop, BLOCK)):
            width = min(BLOCK, self.span.stop - start)
            array[:, start : start + width] = self.data[place, :, :width]
