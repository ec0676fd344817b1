"""Reading rows of a tensor out of a shard, with the checksum of every block that holds them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crc32c import crc32c

from entense.archive.checksum import raw
from entense.archive.store import Remote
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from entense.archive import store


PIECE = 2**26  # bytes asked for at once: what drops is asked for again


@dataclass(frozen=True)
class Place:
    """Where a tensor lies."""

    shard: store.Place
    offset: int
    size: int
    shape: tuple[int, ...]
    step: int  # rows (frames) of a block
    crcs: NDArray[np.uint32]  # CRC-32C of each block
    record: str  # whose it is, for errors

    @property
    def rows(self) -> int:
        """Extent of the first dimension; 1 for a scalar."""
        return self.shape[0] if self.shape else 1


def read_rows(place: Place, start: int, stop: int, out: NDArray[Any]) -> None:
    """Read rows `start` to `stop` into `out`, touching only the blocks that hold them.

    `out` is C-contiguous, (stop - start, …), of the tensor's dtype. An ArchiveError where the
    shard is missing, cut or damaged there.
    """
    if not out.nbytes:
        return
    width = place.size // place.rows
    first = start // place.step * place.step
    last = min(place.rows, -(-stop // place.step) * place.step)
    head, tail = bytearray((start - first) * width), bytearray((last - stop) * width)
    buffers = [memoryview(head), raw(out), memoryview(tail)]
    _fill(place, [buffer for buffer in buffers if len(buffer)], place.offset + first * width)
    block = place.step * width
    for number, at in enumerate(range(0, (last - first) * width, block), first // place.step):
        if _crc(buffers, at, at + block) != place.crcs[number]:
            raise _damaged(place, "is damaged")


def _fill(place: Place, buffers: list[memoryview], offset: int) -> None:
    """Read what lies from `offset` on into buffers, to the last byte."""
    try:
        if isinstance(place.shard, Remote):
            _fetch(place.shard, buffers, offset)
        else:
            _pread(place.shard, buffers, offset)
    except EOFError as error:
        raise _damaged(place, "is cut short") from error
    except OSError as error:
        raise _damaged(place, f"cannot be opened ({error.strerror})") from error


def _fetch(shard: Remote, buffers: list[memoryview], offset: int) -> None:
    """Read a shard elsewhere: with one request, or some for what is large."""
    stop = offset + sum(map(len, buffers))
    while offset < stop:
        piece = memoryview(shard.read(offset, min(stop, offset + PIECE)))
        if not piece:
            raise EOFError
        offset += len(piece)
        while piece:
            count = min(len(piece), len(buffers[0]))
            buffers[0][:count] = piece[:count]
            piece, buffers[0] = piece[count:], buffers[0][count:]
            if not buffers[0]:
                buffers.pop(0)


def _pread(shard: Path, buffers: list[memoryview], offset: int) -> None:
    """Read a shard here: a call may read less than it was asked to."""
    fd = os.open(shard, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while buffers:
            count = os.preadv(fd, buffers, offset)
            if not count:
                raise EOFError
            offset += count
            while buffers and count >= len(buffers[0]):
                count -= len(buffers.pop(0))
            if buffers:
                buffers[0] = buffers[0][count:]
    finally:
        os.close(fd)


def _crc(buffers: Sequence[memoryview], start: int, stop: int) -> int:
    """Return the CRC-32C of bytes `start` to `stop` of buffers laid end to end."""
    crc = 0
    for buffer in buffers:
        crc = crc32c(buffer[max(0, start) : max(0, stop)], crc)
        start, stop = start - len(buffer), stop - len(buffer)
    return crc


def _damaged(place: Place, what: str) -> ArchiveError:
    return ArchiveError(
        f"{place.shard} {what} where record {place.record} lies; "
        "copy the shard again, or run write again, which mends it"
    )
