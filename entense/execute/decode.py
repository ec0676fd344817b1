"""The decoder: an image is read once, a few frames at a time, and what is wanted is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from entense.ops.linear import Centred
from entense.ops.parcels import Codes, Weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from entense.execute.buffers import Buffers
    from entense.images import Series
    from entense.ops.load import Opened

BLOCK = 16_384  # columns that are computed at once: the same for every record, whatever the memory


@dataclass(frozen=True)
class Decoded:
    """What a sink kept.

    Parameters
    ----------
    data
        A column sink's blocks, (block, time, column) float32, zero after the last column, or
        `Centred` of them with (block, column) first frames; a parcel sink's `Centred` (time,
        parcel).
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
        array: NDArray[Any] = self.data.delta if isinstance(self.data, Centred) else self.data
        return array


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

    def __init__(self, series: Series, index: NDArray[np.intp]) -> None:
        self.index = index
        self.kept = np.empty(index.size, series.dtype)
        self.first = np.zeros_like(self.kept)
        self.changed = np.zeros(index.size, bool)
        self.bad = np.zeros(index.size, bool)
        self._floats = self.kept.dtype.kind == "f"

    def see(self, t: int, frame: NDArray[Any]) -> NDArray[Any]:
        """Return the columns of a frame, as stored."""
        # mode="clip" spares a copy; the index comes from the image's own columns
        np.take(frame, self.index, out=self.kept, mode="clip")
        if t == 0:
            self.first[:] = self.kept
        np.logical_or(self.changed, self.kept != self.first, out=self.changed)
        if self._floats:
            np.logical_or(self.bad, ~np.isfinite(self.kept), out=self.bad)
        return self.kept


class ColumnSink:
    """Keeps the masked columns, in blocks.

    Parameters
    ----------
    opened
        The image, and what to keep of it.
    centred
        Whether to take the first frame off.
    buffers
        Where the memory of the blocks comes from.
    """

    def __init__(self, opened: Opened, buffers: Buffers, *, centred: bool) -> None:
        series, size = opened.series, opened.size
        self._watch = _Watch(series, opened.index)
        self._series, self._centred = series, centred
        blocks = -(-size // BLOCK)
        self._blocks = buffers.lend((blocks, series.frames, BLOCK), np.float32)
        self._blocks[-1, :, size - (blocks - 1) * BLOCK :] = 0
        # integers of 16 bits, and their differences, are exact in float32; wider ones are not
        narrow = np.dtype(series.dtype).itemsize <= 2 or np.dtype(series.dtype) == np.float32
        self._work = np.zeros(blocks * BLOCK, np.float32 if narrow else np.float64)
        self._base = np.zeros_like(self._work)

    def add(self, t: int, frame: NDArray[Any]) -> None:
        """Keep the columns of frame `t`."""
        kept = self._watch.see(t, frame)
        work: NDArray[Any] = self._work[: kept.size]
        base: NDArray[Any] = self._base[: kept.size]
        work[:] = kept
        if not self._centred:
            self._store(t, self._scaled(self._work))
            return
        if t == 0:
            np.copyto(base, work, where=np.isfinite(work))
        np.subtract(work, base, out=work)
        if self._series.slope != 1:
            np.multiply(work, self._series.slope, out=work)
        self._store(t, self._work)

    def _scaled(self, work: NDArray[Any]) -> NDArray[Any]:
        slope, inter = self._series.slope, self._series.inter
        if slope == 1 and inter == 0:
            return work
        return work * np.float64(slope) + inter

    def _store(self, t: int, work: NDArray[Any]) -> None:
        size = self._watch.index.size
        whole = (len(self._blocks) - 1) * BLOCK
        self._blocks[:-1, t] = work[:whole].reshape(-1, BLOCK)
        self._blocks[-1, t, : size - whole] = work[whole:size]

    def again(self) -> bool:
        """Once is enough."""
        return False

    def result(self) -> Decoded:
        """Return the blocks."""
        watch = self._watch
        still = ~watch.changed & ~watch.bad
        if not self._centred:
            return Decoded(self._blocks, still, watch.bad)
        first = self._scaled(self._base).astype(np.float32).reshape(-1, BLOCK)
        return Decoded(Centred(self._blocks, first), still, watch.bad)


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
        self._series, self._index = opened.series, opened.index
        self._weights = parcel_weights(codes)
        self._bad = np.zeros(self._index.size, bool)
        self._start()

    def _start(self) -> None:
        weights = self._weights.multiply(~self._bad).tocsc()
        weights.eliminate_zeros()
        self._columns = np.flatnonzero(np.diff(weights.indptr))
        self._means = weights[:, self._columns].tocsr()
        self._total = self._means.sum(axis=1)
        self._watch = _Watch(self._series, self._index[self._columns])
        self._sums = np.empty((self._series.frames, self._total.size))

    def add(self, t: int, frame: NDArray[Any]) -> None:
        """Add up the columns of frame `t`."""
        self._sums[t] = self._means @ self._watch.see(t, frame).astype(np.float64)

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


def parcel_weights(codes: Codes | Weights) -> Any:
    """Return the weights, (parcel, column), of what may be plain codes."""
    from scipy.sparse import csr_array

    if isinstance(codes, Weights):
        return codes.matrix.T.tocsr().astype(np.float64)
    inside = np.flatnonzero(codes.codes)
    where = (codes.codes[inside] - 1, inside)
    return csr_array((np.ones(inside.size), where), (codes.values.size, codes.codes.size))


def decode(series: Series, sinks: Sequence[Sink]) -> list[Decoded]:
    """Pass every frame of a file by every sink, and return what each kept.

    A RecordError where the file is cut short or damaged.
    """
    waiting = list(sinks)
    while waiting:
        with np.errstate(invalid="ignore", over="ignore"):
            for t, frame in enumerate(series.read()):
                for sink in waiting:
                    sink.add(t, frame)
        waiting = [sink for sink in waiting if sink.again()]
    return [sink.result() for sink in sinks]
