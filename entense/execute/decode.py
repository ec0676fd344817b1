"""The decoder: an image is inflated once, a few frames at a time, and what is wanted is kept."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np

from entense.errors import RecordError
from entense.files import opening
from entense.geometry import Labels, Mask, storage_index
from entense.ops.temporal import Centred

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from entense.execute.buffers import Buffers
    from entense.ops.load import Header

BLOCK = 16_384  # voxels that are computed at once: the same for every record, whatever the memory
_CHUNK = 4 << 20  # bytes that are inflated at once


@dataclass(frozen=True)
class Decoded:
    """What a sink kept.

    Parameters
    ----------
    data
        A voxel sink's blocks, (block, time, voxel) float32, zero after the last voxel, or `Centred`
        of them with (block, voxel) first frames; a parcel sink's `Centred` (time, parcel).
    constant, nonfinite
        How many of the voxels never change, and how many hold a NaN or an infinity.
    """

    data: Any
    constant: int
    nonfinite: int

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
    """Which of the voxels that pass by are constant, and which are not finite."""

    def __init__(self, header: Header, index: NDArray[np.intp]) -> None:
        self.header, self.index = header, index
        self.kept = np.empty(index.size, header.dtype)
        self.first = np.zeros_like(self.kept)
        self.changed = np.zeros(index.size, bool)
        self.bad = np.zeros(index.size, bool)
        self._floats = self.kept.dtype.kind == "f"

    def see(self, t: int, frame: NDArray[Any]) -> NDArray[Any]:
        """Return the voxels of a frame, as stored."""
        # mode="clip" spares a copy; the index comes from the image's own grid
        np.take(frame, self.index, out=self.kept, mode="clip")
        if t == 0:
            self.first[:] = self.kept
        np.logical_or(self.changed, self.kept != self.first, out=self.changed)
        if self._floats:
            np.logical_or(self.bad, ~np.isfinite(self.kept), out=self.bad)
        return self.kept

    def counts(self) -> dict[str, int]:
        """Return how many voxels are constant and not finite."""
        still = ~self.changed & ~self.bad
        return {"constant": int(still.sum()), "nonfinite": int(self.bad.sum())}


class VoxelSink:
    """Keeps the masked voxels, in blocks.

    Parameters
    ----------
    header, mask
        The image, and what to keep of it.
    centred
        Whether to take the first frame off.
    buffers
        Where the memory of the blocks comes from.
    """

    def __init__(self, header: Header, mask: Mask, buffers: Buffers, *, centred: bool) -> None:
        self._watch = _Watch(header, storage_index(header.grid, mask))
        self._header, self._centred = header, centred
        blocks = -(-mask.voxels // BLOCK)
        self._blocks = buffers.lend((blocks, header.frames, BLOCK), np.float32)
        self._blocks[-1, :, mask.voxels - (blocks - 1) * BLOCK :] = 0
        # integers of 16 bits, and their differences, are exact in float32; wider ones are not
        narrow = np.dtype(header.dtype).itemsize <= 2 or np.dtype(header.dtype) == np.float32
        self._work = np.zeros(blocks * BLOCK, np.float32 if narrow else np.float64)
        self._base = np.zeros_like(self._work)

    def add(self, t: int, frame: NDArray[Any]) -> None:
        """Keep the voxels of frame `t`."""
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
        if self._header.slope != 1:
            np.multiply(work, self._header.slope, out=work)
        self._store(t, self._work)

    def _scaled(self, work: NDArray[Any]) -> NDArray[Any]:
        slope, inter = self._header.slope, self._header.inter
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
        if not self._centred:
            return Decoded(self._blocks, **self._watch.counts())
        first = self._scaled(self._base).astype(np.float32).reshape(-1, BLOCK)
        return Decoded(Centred(self._blocks, first), **self._watch.counts())


class ParcelSink:
    """Keeps the sum over each parcel, in float64.

    Parameters
    ----------
    header, mask, labels
        The image, the voxels that count, and the parcel of each.
    """

    def __init__(self, header: Header, mask: Mask, labels: Labels) -> None:
        self._header = header
        self._codes = labels.codes[mask.inside]
        self._index = storage_index(header.grid, mask)
        self._width = len(labels.values)
        self._bad = np.zeros(self._codes.size, bool)
        self._start()

    def _start(self) -> None:
        inside = np.flatnonzero((self._codes > 0) & ~self._bad)
        self._order = inside[np.argsort(self._codes[inside], kind="stable")]
        self._present, self._starts, self._count = np.unique(
            self._codes[self._order], return_index=True, return_counts=True
        )
        self._watch = _Watch(self._header, self._index[self._order])
        self._sums = np.full((self._header.frames, self._width), np.nan)

    def add(self, t: int, frame: NDArray[Any]) -> None:
        """Add up the voxels of frame `t`."""
        kept = self._watch.see(t, frame)
        if self._starts.size:
            sums = np.add.reduceat(kept, self._starts, dtype=np.float64)
            self._sums[t, self._present - 1] = sums / self._count

    def again(self) -> bool:
        """Whether voxels that are not finite were met: then the file is read without them."""
        if not self._watch.bad.any():
            return False
        self._bad[self._order[self._watch.bad]] = True
        self._start()
        return True

    def result(self) -> Decoded:
        """Return the means."""
        slope, inter = self._header.slope, self._header.inter
        first = self._sums[0]
        delta = ((self._sums - first) * slope).astype(np.float32)
        counts = self._watch.counts()
        counts["nonfinite"] = int(self._bad.sum())
        return Decoded(Centred(delta, (first * slope + inter).astype(np.float32)), **counts)


def decode(header: Header, sinks: Sequence[Sink]) -> list[Decoded]:
    """Pass every frame of an image by every sink.

    Parameters
    ----------
    header
        The image.
    sinks
        What takes the frames.

    Returns
    -------
    What each sink kept.

    Raises
    ------
    RecordError
        Where the file is cut short or damaged; gzip's own checksum is checked.
    """
    waiting = list(sinks)
    while waiting:
        with np.errstate(invalid="ignore", over="ignore"):
            for t, frame in enumerate(_frames(header)):
                for sink in waiting:
                    sink.add(t, frame)
        waiting = [sink for sink in waiting if sink.again()]
    return [sink.result() for sink in sinks]


def _frames(header: Header) -> Iterator[NDArray[Any]]:
    """Yield each stored frame, flat; it is valid until the next one is asked for."""
    dtype = np.dtype(header.dtype)
    size = int(np.prod(header.grid.shape)) * dtype.itemsize
    at_once = max(1, min(_CHUNK // size, header.frames))
    buffer = memoryview(bytearray(at_once * size))
    with opening(header.path), _stream(header.path) as stream:
        _skip(stream, header.offset)
        for start in range(0, header.frames, at_once):
            count = min(at_once, header.frames - start)
            got = _fill(stream, buffer[: count * size])
            if got < count * size:
                raise RecordError(
                    f"{header.path}: the file is cut short, it holds {start + got // size} of "
                    f"{header.frames} frames; copy it again"
                )
            yield from np.frombuffer(buffer, dtype, count * size // dtype.itemsize).reshape(
                count, -1
            )
        while stream.read(_CHUNK):  # to the end, where gzip's checksum is
            pass


@contextmanager
def _stream(path: str) -> Iterator[IO[bytes]]:
    from isal import igzip

    if path.endswith(".gz"):
        with igzip.open(path, "rb") as packed:
            yield packed
    else:
        with open(path, "rb", buffering=0) as plain:  # noqa: PTH123  Path.open adds nothing here
            yield plain


def _skip(stream: IO[bytes], count: int) -> None:
    while count > 0:
        got = len(stream.read(min(count, _CHUNK)))
        if not got:
            raise EOFError("it ends inside the header")
        count -= got


def _fill(stream: Any, buffer: memoryview) -> int:
    """Read until `buffer` is full; return how much there was."""
    done = 0
    while done < len(buffer) and (got := stream.readinto(buffer[done:])):
        done += got
    return done
