"""Bytes onto the disk, so that a file is whole or not there: shards and small files."""

from __future__ import annotations

import errno
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from entense.archive.checksum import Buffer, Data, add
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


AT_ONCE = 512  # buffers a call; every system allows at least so many
FULL = (errno.ENOSPC, errno.EDQUOT)


class Shard:
    """A file being written beside its place: it appears there when it is finished, whole.

    Attributes
    ----------
    bytes
        How many bytes it has so far: where the next sample begins.
    crc32c
        CRC-32C of those bytes.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._temporary = path, partial(path)
        with refusals(path.parent):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd: int | None = os.open(self._temporary, flags, 0o666)
        self.bytes = 0
        self.crc32c = 0

    def append(self, buffers: Sequence[Buffer]) -> None:
        """Write buffers one after the other, without copying them."""
        assert self._fd is not None  # noqa: S101  nobody appends to a finished file
        views = [_view(buffer) for buffer in buffers if len(buffer)]
        # both release the GIL: the checksums are made while the system copies
        with ThreadPoolExecutor(1) as beside, refusals(self._path.parent):
            crc = beside.submit(add, self.crc32c, buffers)
            for first in range(0, len(views), AT_ONCE):
                _write_all(self._fd, views[first : first + AT_ONCE])
        self.crc32c = crc.result()
        self.bytes += sum(map(len, views))

    def start_writeback(self, start: int) -> None:
        """Have the system begin to write what follows `start`: the last fsync then finds little."""
        if self._fd is not None and sys.platform == "linux":
            os.posix_fadvise(self._fd, start, self.bytes - start, os.POSIX_FADV_DONTNEED)

    def finish(self) -> None:
        """Make the file last, and give it its name; where that fails, leave nothing behind."""
        assert self._fd is not None  # noqa: S101  nobody finishes twice
        try:
            with refusals(self._path.parent):
                os.fsync(self._fd)
                self._temporary.replace(self._path)
                sync_folder(self._path.parent)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leave nothing behind but what was finished."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            self._temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[Shard]:
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
    >>> with writing(path) as shard:
    ...     shard.append([b"ab", b"c"])
    >>> path.read_bytes()
    b'abc'
    """
    shard = Shard(path)
    try:
        yield shard
        shard.finish()
    finally:
        shard.abandon()


def save(path: Path, content: bytes) -> None:
    """Write a small file whole, as shards are; leave it alone if it has this content already."""
    if path.exists() and path.read_bytes() == content:
        partial(path).unlink(missing_ok=True)  # of a writer that was killed over another content
        return
    with writing(path) as file:
        file.append([content])


def make_folder(place: Path) -> None:
    """Make a folder, and none above it: an archive whose disk has gone must not begin elsewhere."""
    with refusals(place.parent):
        place.mkdir(exist_ok=True)


def partial(path: Path) -> Path:
    """Return the name that a file has while it is being written."""
    return path.with_name(f".{path.name}.partial")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _view(buffer: Buffer) -> memoryview:
    return buffer.view if isinstance(buffer, Data) else memoryview(buffer)


def _write_all(fd: int, views: list[memoryview]) -> None:
    """Write views to the last byte: a call may write less, 2 GiB at most."""
    views = views[::-1]
    while views:
        written = os.writev(fd, views[::-1])
        while views and written >= len(views[-1]):
            written -= len(views.pop())
        if views:
            views[-1] = views[-1][written:]


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
            f"the folder {folder} cannot be written ({error.strerror}); make it writable or "
            "choose another, and write again: the shards that are finished are kept"
        ) from error
