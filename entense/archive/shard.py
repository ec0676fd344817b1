"""Bytes onto the disk, so that a file is whole or not there: shards and small files."""

from __future__ import annotations

import errno
import os
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from entense.archive.checksum import BLOCK_BYTES, Buffer, Data, add
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


PIECE = 2**20  # bytes that are handed over at once
AT_ONCE = 8  # pieces a call
FULL = (errno.ENOSPC, errno.EDQUOT)


class Closes(Protocol):
    """What can be closed, and closed again."""

    def close(self) -> object:
        """Let go of the file."""


S = TypeVar("S", bound=Closes)


class Stream:
    """A file that buffers are written to, one after the other.

    Attributes
    ----------
    bytes
        How many bytes it has so far: where the next sample begins.
    crc32c
        CRC-32C of those bytes.
    """

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd: int | None = os.open(path, flags, 0o666)
        self._checks = ThreadPoolExecutor(1)  # checksums are made while the system copies
        self.bytes = 0
        self.crc32c = 0
        self._on_its_way = 0  # so many of them the system has begun to write

    @property
    def is_open(self) -> bool:
        """Whether more can be appended."""
        return self._fd is not None

    def append(self, buffers: Sequence[Buffer]) -> None:
        """Write buffers one after the other, without copying them."""
        size = sum(map(len, buffers))
        large = size > BLOCK_BYTES
        check = self._checks.submit(add, self.crc32c, buffers) if large else None
        with refusals(self._folder):
            self._write(buffers)
        self.crc32c = check.result() if check else add(self.crc32c, buffers)

    def _write(self, buffers: Sequence[Buffer]) -> None:
        """Write buffers to the last byte: a call may write less."""
        assert self._fd is not None  # noqa: S101  nobody appends to a closed file
        left = deque(piece for buffer in buffers for piece in _pieces(buffer))
        while left:
            written = os.writev(self._fd, list(islice(left, AT_ONCE)))
            self.bytes += written
            self._start_writeback()
            while left and written >= len(left[0]):
                written -= len(left.popleft())
            if left:
                left[0] = left[0][written:]

    def _start_writeback(self) -> None:
        """Have the system begin to write what there is: the last fsync then finds little."""
        new = self.bytes - self._on_its_way
        if new >= AT_ONCE * PIECE and sys.platform == "linux":
            assert self._fd is not None  # noqa: S101
            os.posix_fadvise(self._fd, self._on_its_way, new, os.POSIX_FADV_DONTNEED)
            self._on_its_way = self.bytes

    def close(self) -> None:
        """Let go of the file."""
        self._checks.shutdown()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class Shard(Generic[S]):
    """A file being written beside its place: it appears there when it is finished, whole.

    Parameters
    ----------
    path
        Its place.
    begin
        Opens what writes it, given the name that it has until then.
    """

    def __init__(self, path: Path, begin: Callable[[Path], S]) -> None:
        self.path, self.temporary = path, unfinished(path)
        with refusals(path.parent):
            self.temporary.unlink(missing_ok=True)  # of a writer that was killed, or a link
            self.sink = begin(self.temporary)

    def finish(self) -> None:
        """Make the closed file last, and give it its name; where that fails, leave nothing."""
        try:
            with refusals(self.path.parent):
                sync(self.temporary)
                self.temporary.replace(self.path)
                sync(self.path.parent)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leave nothing behind but what was finished."""
        with suppress(Exception):  # what is thrown away need not be whole
            self.sink.close()
        self.temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[Stream]:
    """Write a file that appears at `path` when the block ends well, and not at all otherwise.

    Raises
    ------
    ArchiveError
        When the disk is full or refuses; nothing is left behind.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "a.bin"
    >>> with writing(path) as file:
    ...     file.append([b"ab", b"c"])
    >>> path.read_bytes()
    b'abc'
    """
    shard = Shard(path, Stream)
    try:
        yield shard.sink
        shard.sink.close()
        shard.finish()
    finally:
        shard.abandon()


def save(path: Path, content: bytes) -> None:
    """Write a small file whole, as shards are; leave it alone if it has this content already."""
    with refusals(path.parent):
        if path.exists() and path.read_bytes() == content:
            unfinished(path).unlink(missing_ok=True)  # of a writer that was killed over another one
            return
    with writing(path) as file:
        file.append([content])


def make_folder(root: Path, inside: str) -> None:
    """Make a folder inside another, which must be: one whose disk has gone must not begin anew."""
    place = root
    with refusals(root):
        for part in PurePosixPath(inside).parts:
            above, place = place, place / part
            if not place.is_dir():
                place.mkdir(exist_ok=True)
                sync(above)


def make_root(folder: Path) -> None:
    """Make a folder and those that it lies in, so that they last."""
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in new:
        sync(place.parent)


def unfinished(path: Path) -> Path:
    """Return the name that a file has while it is being written."""
    return path.with_name(f".{path.name}.partial")


def sync(path: Path) -> None:
    """Make the bytes of a file, or the names in a folder, last."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _pieces(buffer: Buffer) -> Iterator[memoryview]:
    view = memoryview(buffer.view if isinstance(buffer, Data) else buffer)
    return (view[start : start + PIECE] for start in range(0, len(view), PIECE))


@contextmanager
def refusals(folder: Path) -> Iterator[None]:
    """Say in a sentence what the disk refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise ArchiveError(
                f"the disk of the folder {folder} is full; free some space and write again: "
                "the shards that are finished are kept"
            ) from error
        raise ArchiveError(
            f"the folder {folder} cannot be written ({error.strerror or error}); make it writable "
            "or choose another, and write again: the shards that are finished are kept"
        ) from error
