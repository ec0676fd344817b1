"""Reading rows of a tensor out of a shard, with the checksum of every block that holds them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crc32c import crc32c

from entense.archive.checksum import raw
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Place:
    """Where a tensor lies."""

    shard: Path
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


def check_there(place: Place) -> None:
    """Raise where a shard is too short for what is said to lie in it, before memory is taken."""
    try:
        size = place.shard.stat().st_size
    except OSError as error:
        raise _damaged(place, f"cannot be opened ({error.strerror})") from error
    if size < place.offset + place.size:
        raise _damaged(place, "is cut short")


def _fill(place: Place, buffers: list[memoryview], offset: int) -> None:
    """Read into buffers to the last byte: a call may read less."""
    try:
        fd = os.open(place.shard, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _damaged(place, f"cannot be opened ({error.strerror})") from error
    try:
        while buffers:
            count = os.preadv(fd, buffers, offset)
            if not count:
                raise _damaged(place, "is cut short")
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
