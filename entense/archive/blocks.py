"""Reading rows of a tensor out of a shard, with the checksum of every block that holds them."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from crc32c import crc32c

from entense.archive.checksum import raw
from entense.archive.opened import Descriptor, Opened
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

CORES = min(4, os.cpu_count() or 1)  # more would wait for the memory
PART = 2**22  # bytes: of less, handing it to a thread would cost more than it saves


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

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return self.size // self.rows


def read_rows(
    place: Place,
    start: int,
    stop: int,
    out: NDArray[Any],
    opened: Opened | None = None,
    *,
    check: bool = True,
) -> None:
    """Read rows `start` to `stop` into `out`, touching only the blocks that hold them.

    `out` is C-contiguous, (stop - start, …), of the tensor's dtype; `opened` holds the shards that
    were read before. Many rows are read by several threads. An ArchiveError where the shard is
    missing, cut or, unless `check` is False, damaged there.
    """
    if not out.nbytes:
        return
    file = _open(place, opened or Opened())
    read = _read if check else _read_unchecked
    parts = [
        partial(read, place, file, begin, end, raw(out)[(begin - start) * place.width :])
        for begin, end in _parts(place, start, stop)
    ]
    if len(parts) == 1:
        parts[0]()
    else:
        deque(_threads(os.getpid()).map(lambda part: part(), parts), maxlen=0)


def _parts(place: Place, start: int, stop: int) -> list[tuple[int, int]]:
    """Cut rows between blocks into about equal parts, at most one a core, none of them small."""
    count = max(1, min(CORES, (stop - start) * place.width // PART))
    first = start // place.step * place.step
    step = -(-(stop - first) // (count * place.step)) * place.step
    return list(pairwise([start, *range(first + step, stop, step), stop]))


@lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """Return the threads that read; a forked process needs its own."""
    return ThreadPoolExecutor(CORES, "entense-read")


def _open(place: Place, opened: Opened) -> Descriptor:
    try:
        return opened.descriptor(place.shard)
    except OSError as error:
        raise _damaged(place, f"cannot be opened ({error.strerror})") from error


def _read(place: Place, file: Descriptor, start: int, stop: int, out: memoryview) -> None:
    """Read rows `start` to `stop` into the begin of `out`, and check their blocks."""
    first = start // place.step * place.step
    last = min(place.rows, -(-stop // place.step) * place.step)
    width = place.width
    around = [np.empty(rows * width, np.uint8).data for rows in (start - first, last - stop)]
    buffers = [around[0], out[: (stop - start) * width], around[1]]
    _fill(place, file, [buffer for buffer in buffers if len(buffer)], first * width)
    block = place.step * width
    for number, at in enumerate(range(0, (last - first) * width, block), first // place.step):
        if _crc(buffers, at, at + block) != place.crcs[number]:
            raise _damaged(place, "is damaged")


def _read_unchecked(
    place: Place, file: Descriptor, start: int, stop: int, out: memoryview
) -> None:
    """Read rows `start` to `stop` into the begin of `out`, and nothing around them."""
    _fill(place, file, [out[: (stop - start) * place.width]], start * place.width)


def _fill(place: Place, file: Descriptor, buffers: list[memoryview], at: int) -> None:
    """Read into buffers to the last byte, from byte `at` of the tensor: a call may read less."""
    at += place.offset
    while buffers:
        count = os.preadv(file.number, buffers, at)
        if not count:
            raise _damaged(place, "is cut short")
        at += count
        while buffers and count >= len(buffers[0]):
            count -= len(buffers.pop(0))
        if buffers:
            buffers[0] = buffers[0][count:]


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
