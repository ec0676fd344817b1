"""A folder of fetched files: bounded, shared by threads and processes, and safe to kill."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from entense.errors import EntenseError, RecordError
from entense.sizes import bytes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_OURS = re.compile(r"url-[0-9a-f]{32}[A-Za-z0-9.]*")  # nothing else in the folder is touched
_PART, _LEDGER = ".part", "lock"


class Part:
    """A file on its way into the cache."""

    def __init__(self, fd: int, folder: Path) -> None:
        self._fd, self._folder = fd, folder

    def restart(self) -> None:
        """Begin again: what was written is forgotten."""
        os.lseek(self._fd, 0, os.SEEK_SET)

    def write(self, data: bytes) -> None:
        """Append bytes; a full disk is a `RecordError`."""
        view = memoryview(data)
        with _in_words(self._folder):
            while view:
                view = view[os.write(self._fd, view) :]

    def finish(self) -> None:
        """Cut the file where the writing ended, and bring it to the disk."""
        with _in_words(self._folder):
            os.ftruncate(self._fd, os.lseek(self._fd, 0, os.SEEK_CUR))
            os.fsync(self._fd)


@dataclass(frozen=True)
class Cache:
    """A folder of at most so many bytes, beside what is in use.

    Who uses a file holds a shared lock on it, and who fetches it an exclusive one; the files
    that can be locked exclusively are in nobody's hands. The locks die with their process.

    Parameters
    ----------
    folder
        Where the files are.
    size
        Bytes; the files used longest ago go first.
    """

    folder: Path
    size: int

    @contextmanager
    def hold(self, name: str, size: int | None, fill: Callable[[Part], None]) -> Iterator[Path]:
        """Give the file `name` of `size` bytes (None: unknown), made by `fill` if need be.

        It stays while the context is open.
        """
        path = self.folder / name
        with _in_words(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd, fresh = self._taken(path, size, fill)
        try:
            yield path
        finally:
            fresh = fresh or os.fstat(fd).st_size > self.size
            os.close(fd)
            if fresh and self.folder.exists():
                self._make_room(0)

    def _taken(
        self, path: Path, size: int | None, fill: Callable[[Part], None]
    ) -> tuple[int, bool]:
        while True:
            if (fd := _shared(path)) is not None:
                if size is None or os.fstat(fd).st_size == size:
                    return fd, False
                os.close(fd)
                path.unlink(missing_ok=True)  # it was spoilt, or is not whole
            elif (fd := self._made(path, size, fill)) is not None:
                return fd, True

    def _made(self, path: Path, size: int | None, fill: Callable[[Part], None]) -> int | None:
        """Fetch a file and hold it; None where another did, or it was gone at once."""
        part = path.with_name(path.name + _PART)
        fd = _exclusive(part)
        if fd is None:
            return None
        try:
            if not path.exists():
                self._fill(fd, size, fill)
                with _locked(self.folder / _LEDGER):  # who counts sees it once
                    part.replace(path)
                fcntl.flock(fd, fcntl.LOCK_SH)
                if _is_at(fd, path):
                    held, fd = fd, -1
                    return held
            return None
        finally:
            if fd >= 0:
                if _is_at(fd, part):
                    part.unlink()
                os.close(fd)

    def _fill(self, fd: int, size: int | None, fill: Callable[[Part], None]) -> None:
        os.ftruncate(fd, 0)  # a kill may have left some
        self._make_room(size or 0, fd)
        fill(Part(fd, self.folder))
        if size is None:
            self._make_room(os.fstat(fd).st_size)

    def _make_room(self, size: int, fd: int | None = None) -> None:
        """Note that the cache grows by `size` bytes, and evict until they fit; `fd` takes them.

        The file ``lock`` holds the bytes that were taken since the files were last counted: never
        fewer than there are.
        """
        with _in_words(self.folder), _locked(self.folder / _LEDGER) as ledger:
            taken = _number(ledger)
            free = shutil.disk_usage(self.folder).free
            if taken is None or taken + size > self.size or free < self.size:
                taken = self._evicted(size, free)
            os.pwrite(ledger, b"%020d" % (taken + size), 0)
            if fd is not None:
                os.ftruncate(fd, size)  # before the next who counts

    def _evicted(self, size: int, free: int) -> int:
        """Evict what was used longest ago where `size` more do not fit; return what is left."""
        files = self._files()
        total = sum(stat.st_size for _, stat in files)
        parts = [stat for path, stat in files if path.suffix == _PART]
        free -= sum(max(0, stat.st_size - 512 * stat.st_blocks) for stat in parts)
        need = size + self.size // 16  # some more: not every file is to make us count
        if total + size <= self.size and size <= free:
            return total
        for path, stat in files:
            if total + need <= self.size and need <= free:
                break
            if _evict(path):
                total, free = total - stat.st_size, free + stat.st_size
        return total

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        """Return our files: what a kill left first, then by when they were used."""
        found = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if _OURS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                        found.append((Path(entry.path), entry.stat(follow_symlinks=False)))
        return sorted(found, key=lambda it: (it[0].suffix != _PART, it[1].st_mtime_ns))


def cache() -> Cache:
    """Return the cache that ``ENTENSE_CACHE`` and ``ENTENSE_CACHE_SIZE`` describe."""
    size = os.environ.get("ENTENSE_CACHE_SIZE") or "10GB"
    folder = os.environ.get("ENTENSE_CACHE")
    bound = bytes_of(size, "ENTENSE_CACHE_SIZE", error=EntenseError)
    return Cache(Path(folder).expanduser().absolute() if folder else _default(), bound)


def capacity() -> int:
    """Return how many bytes the cache takes."""
    return cache().size


def _default() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "entense"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "entense"


def _shared(path: Path) -> int | None:
    """Open a file that is complete, hold it, and note that it was used."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    fcntl.flock(fd, fcntl.LOCK_SH)
    if not _is_at(fd, path):
        os.close(fd)
        return None
    with suppress(PermissionError):  # in a folder that is shared it may be another's
        os.utime(fd)
    return fd


def _exclusive(part: Path) -> int | None:
    """Open a file to write to it; None, after a wait, where another does so."""
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    if _try_lock(fd):
        if _is_at(fd, part):
            return fd
    else:
        fcntl.flock(fd, fcntl.LOCK_SH)
    os.close(fd)
    return None


def _evict(path: Path) -> bool:
    """Remove a file, if nobody holds it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        free = _try_lock(fd) and _is_at(fd, path)
        if free:
            path.unlink()
        return free
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    """Whether a file that was opened is still the one that has the name."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def _number(fd: int) -> int | None:
    text = os.pread(fd, 32, 0)
    return int(text) if text.isdigit() else None


@contextmanager
def _in_words(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RecordError(
                f"the disk of the cache folder {folder} is full; free some space, or set "
                "ENTENSE_CACHE to a folder on another disk"
            ) from error
        raise RecordError(
            f"the cache folder {folder} cannot be used ({error.strerror}); set ENTENSE_CACHE to a "
            "folder on a local disk that you may write to"
        ) from error
