"""Reading rows of a tensor out of a shard, with the checksum of every block that holds them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from awscrt.checksums import crc32c

from entense.archive.checksum import raw
from entense.archive.opened import Descriptor, Opened
from entense.archive.store import Remote
from entense.errors import ArchiveError, check_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from entense.archive import store

    Fill: TypeAlias = Callable[[list[memoryview], int, int], None]

CORES = min(4, os.cpu_count() or 1)  # more would wait for the memory
PART = 2**22  # bytes: of less, handing it to a thread would cost more than it saves
PIECE = 2**26  # bytes asked of a server at once: what drops is asked for again


@dataclass(frozen=True)
class Lying:
    """Where a tensor lies."""

    shard: store.Place
    offset: int
    size: int
    shape: tuple[int, ...]
    step: int  # rows (frames) of a block
    crcs: NDArray[np.uint32]  # CRC-32C of each block
    record: str  # whose it is, for errors
    foreign: Callable[[int, int], NDArray[Any]] | None = None  # gives rows, where a library must
    whole: int = 0  # bytes of a shard that a library reads

    @property
    def rows(self) -> int:
        """Extent of the first dimension; 1 for a scalar."""
        return self.shape[0] if self.shape else 1

    @property
    def end(self) -> int:
        """Bytes that its shard has at the least."""
        return self.offset + self.size if self.foreign is None else self.whole

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return self.size // self.rows


def read_rows(
    lying: Lying,
    start: int,
    stop: int,
    out: NDArray[Any],
    opened: Opened | None = None,
    *,
    check: bool = True,
) -> None:
    """Read rows `start` to `stop` into `out`, touching only the blocks that hold them.

    `out` is C-contiguous, (stop - start, …), of the tensor's dtype; `opened` holds the shards that
    were read before. Many rows of a file here are read by several threads. An ArchiveError where
    the shard is missing, cut or, unless `check` is False, damaged there.
    """
    if not out.nbytes:
        return
    fill, parts = _filler(lying, opened or Opened()), _parts(lying, start, stop)
    read, width = partial(_read_part, lying, fill, check=check), lying.width
    jobs = [partial(read, *part, raw(out)[(part[0] - start) * width :]) for part in parts]
    others = [_threads(os.getpid()).submit(job) for job in jobs[1:]]
    jobs[0]()  # to wait for all of them would take longer
    for other in others:
        other.result()


def _parts(lying: Lying, start: int, stop: int) -> list[tuple[int, int]]:
    """Cut rows between blocks into about equal parts, at most one a core, none of them small."""
    most = CORES if _is_plain(lying) else 1
    count = max(1, min(most, (stop - start) * lying.width // PART))
    first = start // lying.step * lying.step
    return _cut(start, stop, -(-(stop - first) // (count * lying.step)) * lying.step, first)


def _is_plain(lying: Lying) -> bool:
    """Whether its bytes are those of a file here."""
    return isinstance(lying.shard, Path) and lying.foreign is None


def _cut(start: int, stop: int, step: int, first: int) -> list[tuple[int, int]]:
    """Cut rows at each `step` from `first` on, which is `start` or before it."""
    return list(pairwise([start, *range(first + step, stop, step), stop]))


@lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """Return the threads that read; a forked process needs its own."""
    return ThreadPoolExecutor(CORES, "entense-read")


def _read_part(
    lying: Lying, fill: Fill, start: int, stop: int, out: memoryview, *, check: bool
) -> None:
    """Read rows `start` to `stop`; a file here block by block, each checked in the cache."""
    step = lying.step if check and _is_plain(lying) else lying.rows
    for begin, end in _cut(start, stop, step, start // step * step):
        _read(lying, fill, begin, end, out[(begin - start) * lying.width :], check=check)


def _read(lying: Lying, fill: Fill, start: int, stop: int, out: memoryview, *, check: bool) -> None:
    """Read rows `start` to `stop` into the begin of `out`, and check their blocks."""
    step, width = lying.step if check else 1, lying.width  # only whole blocks have checksums
    first, last = start // step * step, min(lying.rows, -(-stop // step) * step)
    around = [np.empty(rows * width, np.uint8).data for rows in (start - first, last - stop)]
    buffers = [around[0], out[: (stop - start) * width], around[1]]
    fill([buffer for buffer in buffers if len(buffer)], first, last)
    if not check:
        return
    block = step * width
    for number, at in enumerate(range(0, (last - first) * width, block), first // step):
        if _crc(buffers, at, at + block) != lying.crcs[number]:
            raise _damaged(lying, "is damaged")


def check_there(lying: Lying) -> int:
    """Raise where a shard is too short for what is said to lie in it, before memory is taken.

    Returns how many bytes of the shard are known to be there.
    """
    shard = lying.shard
    if isinstance(shard, Remote) and lying.size <= PIECE:
        return 0  # of so little memory no request of its own is worth while
    try:
        if isinstance(shard, Path):
            there = shard.stat().st_size
        else:
            there = lying.end if shard.read(lying.end - 1, lying.end) else 0
    except OSError as error:
        raise _damaged(lying, f"cannot be opened ({error.strerror})") from error
    if there < lying.end:
        raise _damaged(lying, "is cut short")
    return there


def _filler(lying: Lying, opened: Opened) -> Fill:
    """Return what reads rows `first` to `last` into buffers laid end to end."""
    if lying.foreign is not None:
        return partial(_copy, lying)
    if isinstance(lying.shard, Remote):
        return partial(_fetch, lying, lying.shard)
    try:
        return partial(_pread, lying, opened.descriptor(lying.shard))
    except OSError as error:
        check_descriptors(error, lying.shard)
        raise _damaged(lying, f"cannot be opened ({error.strerror})") from error


def _pread(
    lying: Lying, file: Descriptor, buffers: list[memoryview], first: int, _last: int
) -> None:
    """Read from a file here: a call may read less than it was asked to."""
    at = lying.offset + first * lying.width
    while buffers:
        count = os.preadv(file.number, buffers, at)
        if not count:
            raise _damaged(lying, "is cut short")
        at += count
        _advance(buffers, count)


def _fetch(lying: Lying, shard: Remote, buffers: list[memoryview], first: int, last: int) -> None:
    """Read from a file elsewhere: with one request, or some for what is large."""
    start, stop = (lying.offset + row * lying.width for row in (first, last))
    for at in range(start, stop, PIECE):
        size = min(PIECE, stop - at)
        try:
            piece = shard.read(at, at + size)
        except OSError as error:
            raise _damaged(lying, f"cannot be opened ({error.strerror})") from error
        if len(piece) < size:
            raise _damaged(lying, "is cut short")
        _spread(memoryview(piece), buffers)


def _copy(lying: Lying, buffers: list[memoryview], first: int, last: int) -> None:
    """Copy what a library reads."""
    assert lying.foreign is not None  # noqa: S101  else there would be an offset
    try:
        rows = lying.foreign(first, last)
    except ArchiveError as error:
        raise ArchiveError(f"record {lying.record}: {error}") from error
    if rows.nbytes != sum(map(len, buffers)) or rows.shape[1:] != lying.shape[1:]:
        raise _damaged(lying, "has another shape")
    _spread(raw(np.ascontiguousarray(rows)), buffers)


def _spread(content: memoryview, buffers: list[memoryview]) -> None:
    """Copy bytes to the begin of buffers, which then begin behind them."""
    while content:
        count = min(len(content), len(buffers[0]))
        buffers[0][:count], content = content[:count], content[count:]
        _advance(buffers, count)


def _advance(buffers: list[memoryview], count: int) -> None:
    """Leave out the first bytes of buffers laid end to end."""
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


def _damaged(lying: Lying, what: str) -> ArchiveError:
    return ArchiveError(
        f"{lying.shard} {what} where record {lying.record} lies; "
        "copy the shard again, or run write again, which mends it"
    )
