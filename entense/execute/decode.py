"""The decoder: an image is read once, a few frames at a time, and what is wanted is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from entense.execute.blocks import Blocks, Offset
from entense.ops.linear import Centred
from entense.ops.parcels import Codes, Weights
from entense.plan.shapes import BLOCK, padded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from entense.buffers import Buffers
    from entense.images import Series
    from entense.ops.load import Opened


Summing: TypeAlias = "tuple[NDArray[np.intp], NDArray[Any], Callable[..., NDArray[Any]]]"
"""Columns that count, the weight of each parcel, and what adds up their values, in float64."""


@dataclass(frozen=True)
class Decoded:
    """What a sink kept.

    Parameters
    ----------
    data
        A column sink's `Blocks`; a parcel sink's `Centred` (time, parcel).
    constant, nonfinite
        (column,) bool: which never change, and which hold a NaN or an infinity, of those that were
        looked at.
    """

    data: Any
    constant: NDArray[np.bool_]
    nonfinite: NDArray[np.bool_]

    @property
    def memory(self) -> NDArray[Any]:
        """The large array of `data`."""
        array: NDArray[Any] = self.data.rows if isinstance(self.data, Blocks) else self.data.delta
        return array

    def joined(self, other: Decoded) -> Decoded:
        """Return what is known of further columns as well; the data are the further ones'."""
        constant = np.concatenate([self.constant, other.constant])
        return Decoded(other.data, constant, np.concatenate([self.nonfinite, other.nonfinite]))


class Sink(Protocol):
    """What takes the frames of a file."""

    def add(self, t: int, frame: NDArray[Any]) -> None:
        """Take frame `t`: every voxel, flat, as stored."""

    def again(self) -> bool:
        """Whether the file must be read once more."""

    def result(self) -> Decoded:
        """Return what was kept."""


class _Watch:
    """Which of the columns that pass by are constant, and which are not finite."""

    def __init__(self, series: Series, index: NDArray[np.intp], weights: Any = None) -> None:
        self._index, self._weights = index, weights
        self._floats = weights is not None or np.dtype(series.dtype).kind == "f"
        self._taken = np.empty(index.size, series.dtype)
        self.size, dtype = index.size, series.dtype
        if weights is not None:
            self.size, dtype = weights.shape[0], "f8"
        self.first = np.zeros(self.size, dtype)
        self.changed = np.zeros(self.size, bool)
        self.bad = np.zeros(self.size, bool)

    def see(self, t: int, frame: NDArray[Any]) -> NDArray[Any]:
        """Return the columns of a frame, as stored or as they are mixed."""
        # mode="clip" spares a copy; the index comes from the image's own columns
        np.take(frame, self._index, out=self._taken, mode="clip")
        kept: NDArray[Any] = self._taken
        if self._weights is not None:
            kept = self._weights @ self._taken.astype(np.float64)
        if t == 0:
            self.first[:] = kept
        np.logical_or(self.changed, kept != self.first, out=self.changed)
        if self._floats:
            np.logical_or(self.bad, ~np.isfinite(kept), out=self.bad)
        return kept

    @property
    def base(self) -> NDArray[np.float64]:
        """The first frame; 0 where it is not finite."""
        return np.where(np.isfinite(self.first), self.first, 0.0)


class ColumnSink:
    """Keeps columns, in blocks.

    Parameters
    ----------
    series
        The image.
    index
        (column,) where those that are taken lie in a frame.
    buffers
        Where the memory of the blocks comes from.
    dtype
        What they are kept as: as they are stored, or None for float32 numbers.
    centred
        Whether to take the first frame off.
    span
        Which columns of the tensor these are; it begins with a block.
    weights
        (new column, column) sparse, where columns are mixed.
    """

    def __init__(
        self,
        series: Series,
        index: NDArray[np.intp],
        buffers: Buffers,
        *,
        dtype: np.dtype[Any] | None,
        centred: bool,
        span: range,
        weights: Any = None,
    ) -> None:
        self._watch = _Watch(series, index, weights)
        self._series, self._dtype, self._centred, self._span = series, dtype, centred, span
        blocks = -(-len(span) // BLOCK)
        # the last block is read as far as its padded time goes: so far there must be numbers
        rows = blocks * series.frames + padded(series.frames) - series.frames
        self._rows = buffers.empty((rows, BLOCK), dtype or np.float32)
        self._rows[blocks * series.frames :] = 0
        self._blocks = self._rows[: blocks * series.frames].reshape(blocks, -1, BLOCK)
        self._blocks[-1, :, len(span) - (blocks - 1) * BLOCK :] = 0
        self._inter: Any = series.inter
        if weights is not None:  # what is mixed of a constant
            self._inter = series.inter * weights.sum(axis=1)

    def add(self, t: int, frame: NDArray[Any]) -> None:
        """Keep the columns of frame `t`."""
        kept = self._watch.see(t, frame)
        if self._dtype is None:
            kept = self._numbers(t, kept)
        whole = (len(self._blocks) - 1) * BLOCK
        self._blocks[:-1, t] = kept[:whole].reshape(-1, BLOCK)
        self._blocks[-1, t, : kept.size - whole] = kept[whole:]

    def _numbers(self, t: int, kept: NDArray[Any]) -> NDArray[Any]:
        """Return numbers, or what they differ by from the first frame's, made in float64."""
        slope, inter = np.float64(self._series.slope), self._inter
        if not self._centred:
            return kept if slope == 1 and self._series.inter == 0 else kept * slope + inter
        if t == 0:
            self._base = self._watch.base
        return (kept - self._base) * slope

    def again(self) -> bool:
        """Once is enough."""
        return False

    def result(self) -> Decoded:
        """Return the blocks."""
        watch, offset = self._watch, None
        if self._centred:
            offset = self._offset(watch.base)
        blocks = Blocks(self._rows, offset, self._span, self._series.frames)
        return Decoded(blocks, ~watch.changed & ~watch.bad, watch.bad)

    def _offset(self, base: NDArray[np.float64]) -> Offset:
        """Return what is to be taken off, and what it means; of numbers it is off already."""
        first, slope = base * self._series.slope + self._inter, self._series.slope
        if self._dtype is None:
            base, slope = np.zeros_like(base), 1.0
        whole = np.zeros((2, len(self._blocks) * BLOCK), np.float32)
        whole[:, : base.size] = base, first
        taken, first = whole.reshape(2, -1, BLOCK)
        return Offset(taken, np.float32(slope), first)


class ParcelSink:
    """Keeps the weighted mean over each parcel, in float64.

    Parameters
    ----------
    opened
        The image, and the columns that count.
    codes
        The parcel of each column, or its weights in each.
    """

    def __init__(self, opened: Opened, codes: Codes | Weights) -> None:
        self._series, self._index, self._codes = opened.series, opened.index, codes
        self._bad = np.zeros(self._index.size, bool)
        self._start()

    def _start(self) -> None:
        self._columns, self._total, self._sum = _summing(self._codes, self._bad)
        self._watch = _Watch(self._series, self._index[self._columns])
        self._sums = np.empty((self._series.frames, self._total.size))

    def add(self, t: int, frame: NDArray[Any]) -> None:
        """Add up the columns of frame `t`."""
        self._sums[t] = self._sum(self._watch.see(t, frame))

    def again(self) -> bool:
        """Whether columns that are not finite were met: then the file is read without them."""
        if not self._watch.bad.any():
            return False
        self._bad[self._columns[self._watch.bad]] = True
        self._start()
        return True

    def result(self) -> Decoded:
        """Return the means; NaN for a parcel without a column."""
        slope, inter = self._series.slope, self._series.inter
        sums = self._sums / np.where(self._total > 0, self._total, np.nan)
        first = sums[0]
        delta = ((sums - first) * slope).astype(np.float32)
        still = np.zeros_like(self._bad)
        still[self._columns] = ~self._watch.changed
        return Decoded(Centred(delta, (first * slope + inter).astype(np.float32)), still, self._bad)


def sparse_of(index: NDArray[Any], weights: NDArray[Any], columns: int) -> Any:
    """Return neighbours as a matrix, (new column, column) float64."""
    from scipy.sparse import csr_array

    starts = np.arange(len(index) + 1) * index.shape[1]
    matrix = csr_array((weights.ravel().astype("f8"), index.ravel(), starts), (len(index), columns))
    matrix.sum_duplicates()
    return matrix


def parcel_weights(codes: Codes | Weights) -> Any:
    """Return the weights, (parcel, column), of what may be plain codes."""
    from scipy.sparse import csr_array

    if isinstance(codes, Weights):
        return codes.matrix.T.tocsr().astype(np.float64)
    inside = np.flatnonzero(codes.codes)
    where = (codes.codes[inside] - 1, inside)
    return csr_array((np.ones(inside.size), where), (codes.values.size, codes.codes.size))


def _summing(codes: Codes | Weights, bad: NDArray[np.bool_]) -> Summing:
    if isinstance(codes, Weights):
        return _summing_weights(codes, bad)
    return _summing_codes(codes, bad)


def _summing_codes(codes: Codes, bad: NDArray[np.bool_]) -> Summing:
    """Sum runs of columns: those of a parcel follow each other."""
    columns = np.flatnonzero((codes.codes > 0) & ~bad)
    parcels = codes.codes[columns] - 1
    total = np.bincount(parcels, minlength=codes.values.size)
    filled = np.flatnonzero(total)
    starts = (np.cumsum(total) - total)[filled]

    def add(values: NDArray[Any]) -> NDArray[Any]:
        sums = np.zeros(total.size)
        sums[filled] = np.add.reduceat(values, starts, dtype=np.float64)
        return sums

    return columns[np.argsort(parcels, kind="stable")], total, add


def _summing_weights(codes: Weights, bad: NDArray[np.bool_]) -> Summing:
    """Sum columns times their weights."""
    weights = parcel_weights(codes).multiply(~bad).tocsc()
    weights.eliminate_zeros()
    columns = np.flatnonzero(np.diff(weights.indptr))
    means = weights[:, columns].tocsr()
    return columns, means.sum(axis=1), lambda values: means @ values.astype(np.float64)


def decode(series: Series, sinks: Sequence[Sink], cores: int = 1) -> list[Decoded]:
    """Pass every frame of a file by every sink, and return what each kept.

    It is inflated on so many cores.

    A RecordError where the file is cut short or damaged.
    """
    waiting = list(sinks)
    while waiting:
        with np.errstate(invalid="ignore", over="ignore"):
            for t, frame in enumerate(series.read(cores)):
                for sink in waiting:
                    sink.add(t, frame)
        waiting = [sink for sink in waiting if sink.again()]
    return [sink.result() for sink in sinks]
