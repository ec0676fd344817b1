"""Bytes onto the disk, so that a file is whole or not there: shards and small files."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crc32c import crc32c

from entense.archive.formats import raw
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from entense.archive.formats.base import Buffer

BLOCK_BYTES = 2**20
AT_ONCE = 512  # buffers a call; every system allows at least so many
FULL = (errno.ENOSPC, errno.EDQUOT)


class Shard:
    """A shard being written: append samples, then `writing` makes it whole.

    Attributes
    ----------
    bytes
        How many bytes it has so far: where the next sample begins.
    crc32c
        CRC-32C of those bytes.
    wanted
        Set it to False to leave nothing behind.
    """

    def __init__(self, fd: int, folder: Path) -> None:
        self._fd = fd
        self._folder = folder
        self.bytes = 0
        self.crc32c = 0
        self.wanted = True

    def append(self, buffers: Iterable[Buffer]) -> None:
        """Write buffers one after the other, without copying them."""
        views = [memoryview(buffer) for buffer in buffers if len(buffer)]
        with refusals(self._folder):
            for first in range(0, len(views), AT_ONCE):
                _write_all(self._fd, views[first : first + AT_ONCE])
        for view in views:
            self.crc32c = crc32c(view, self.crc32c)
            self.bytes += len(view)


@contextmanager
def writing(path: Path) -> Iterator[Shard]:
    """Open a shard that appears at `path` when the block ends well, and not at all otherwise.

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
    temporary = partial(path)
    with refusals(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        shard = Shard(fd, path.parent)
        try:
            yield shard
            with refusals(path.parent):
                os.fsync(fd)
        finally:
            os.close(fd)
        if shard.wanted:
            with refusals(path.parent):
                temporary.replace(path)
                sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)  # gone already when all went well


def save(path: Path, content: bytes) -> None:
    """Write a small file whole: temporary file, fsync, rename, fsync of the folder."""
    with writing(path) as file:
        file.append([content])


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


def block_rows(shape: tuple[int, ...], nbytes: int) -> int:
    """Return how many rows (frames) a checksummed block has: about 1 MiB of them.

    Examples
    --------
    >>> block_rows((200, 400), 200 * 400 * 4)
    655
    """
    rows = shape[0] if shape else 1
    return max(1, BLOCK_BYTES * rows // nbytes) if nbytes else max(1, rows)


def block_crcs(array: NDArray[Any]) -> list[int]:
    """Return the CRC-32C of each block of rows of a C-contiguous array.

    Examples
    --------
    >>> import numpy as np
    >>> block_crcs(np.zeros((2, 2), "u1"))
    [1214729159]
    """
    data = raw(array)
    rows = len(array) if array.ndim else 1
    step = len(data) // max(1, rows) * block_rows(array.shape, array.nbytes) or 1
    return [crc32c(data[at : at + step]) for at in range(0, len(data), step)]


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
