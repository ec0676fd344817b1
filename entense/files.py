"""Opening a record's files, and saying in plain words why one cannot be opened."""

from __future__ import annotations

import os
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISLNK
from typing import IO, TYPE_CHECKING

from entense.errors import RecordError
from entense.index.fetch import Version, annex, fetch_of, is_url

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING: Version = (None, None)
INFLATES = 1032  # deflate packs no tighter than 1 byte for so many
PIECE = 8 << 20  # packed bytes that a core inflates at once: to find where one begins takes time
_REMEDY = "copy it again, or name another file if this is not of the kind that is due"


@contextmanager
def opening(path: str | Path) -> Iterator[Path]:
    """Give the local file of a path or URL; whatever goes wrong in reading it is a `RecordError`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile(suffix=".txt") as file:
    ...     _ = file.write(b"1 2"), file.flush()
    ...     with opening(file.name) as place:
    ...         place.read_text()
    '1 2'
    """
    with local(path) as place:
        check_present(path, place)
        with in_words(path, place):
            yield place


@contextmanager
def in_words(path: str | Path, place: Path | None = None) -> Iterator[None]:
    """Make a `RecordError` that names `path` of whatever goes wrong while it is read."""
    try:
        yield
    except RecordError:
        raise
    except EOFError as error:
        raise RecordError(f"{path}: the file is cut short ({error}); copy it again") from error
    except Exception as error:
        if not _is_of_reading(error):
            raise
        reason = _short(error).replace(str(place), str(path))
        raise RecordError(f"{path}: cannot be read ({reason}); {_REMEDY}") from error


@contextmanager
def local(path: str | Path) -> Iterator[Path]:
    """Give the local file of a path or URL.

    A URL is fetched, and its file stays while the context is open. DataLad gets an annexed file
    whose content is not here. Any other path is given as it is, there or not.

    Raises
    ------
    RecordError
        It cannot be fetched.
    """
    if is_url(path):
        with fetch_of(str(path)).hold(str(path)) as place:
            yield place
        return
    if annex.absent(path):
        annex.get(path)
    yield Path(path)


@contextmanager
def open_packed(path: Path, cores: int = 1) -> Iterator[IO[bytes]]:
    """Open a file, inflating it where it is a ``.gz``: on one core, or on more at once."""
    if path.suffix != ".gz":
        with path.open("rb", buffering=0) as plain:
            yield plain
    elif cores == 1:
        from isal import igzip

        with igzip.open(path, "rb") as packed:
            yield packed
    else:
        yield from _inflated_at_once(path, cores)


def _inflated_at_once(path: Path, cores: int) -> Iterator[IO[bytes]]:
    import rapidgzip

    threads = cores + 1  # who reads has other work, too
    try:
        with rapidgzip.RapidgzipFile(str(path), threads, chunk_size=PIECE) as packed:
            yield packed
    except RuntimeError as error:  # its word for a file that ends too soon
        raise OSError(str(error)) from error


def is_remote(path: str | Path) -> bool:
    """Whether `local` would have to fetch a path, for all that this machine knows."""
    return is_url(path) or annex.absent(path) is not None


def check_present(path: str | Path, place: Path) -> None:
    """Raise a `RecordError` where the local file of a path is missing or empty."""
    if place.is_symlink() and not place.exists():
        target = place.readlink()
        raise RecordError(f"{path}: is a link to {target}, which does not exist; mend the link")
    if not place.exists():
        raise RecordError(f"{path}: there is no such file; was it moved? (see et.relocate)")
    if place.stat().st_size == 0:
        raise RecordError(f"{path}: the file is empty (0 bytes); copy it again")


def version_of(path: str | Path) -> Version | None:
    """Return what tells one content of a file from another; None where it is not to be had.

    Of a file its size and time of change (ns); of an annexed one its size and key, whether or not
    the content is here (for a pointer file, which tells neither, it is got); of a URL its size and
    what the store says (an ETag, a checksum, a time), which is asked once in a survey.
    """
    if is_url(path):
        try:
            return fetch_of(str(path)).version(str(path))
        except RecordError:
            return None
    try:
        stat = os.lstat(path)
        if S_ISLNK(stat.st_mode):
            if key := annex.key_of(path):
                return annex.size_of(key), key
            stat = os.stat(path)  # noqa: PTH116  a Path takes thrice as long
        elif stat.st_size < annex.POINTER_SIZE and annex.absent(path):
            with suppress(RecordError):  # who opens it says so
                annex.get(path)
            stat = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def head(path: str | Path, size: int) -> bytes:
    """Return the first bytes of a file; those of a URL without fetching the rest.

    Raises
    ------
    RecordError
        It cannot be fetched, is missing or is empty.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"1 2 3"), file.flush()
    ...     head(file.name, 3)
    b'1 2'
    """
    if is_url(path):
        return fetch_of(str(path)).head(str(path), size)
    return _read(path, size)


def content(path: str | Path) -> bytes:
    """Return all bytes of a file; a `RecordError` where there are none.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"1 2 3"), file.flush()
    ...     content(file.name)
    b'1 2 3'
    """
    return _read(path, -1)


def _read(path: str | Path, size: int) -> bytes:
    with suppress(OSError, ValueError), open(path, "rb", buffering=0) as file:  # noqa: PTH123
        start = file.read(size)
        if start and not annex.is_pointer(start):
            return start
    with opening(path) as place, place.open("rb") as file:  # it says what is wrong
        return file.read(size)


def _is_of_reading(error: Exception) -> bool:
    if isinstance(error, OSError | ValueError | zlib.error):
        return True
    # theirs share no base class of their own
    return type(error).__module__.split(".")[0] in ("nibabel", "isal", "polars", "xml", "_ctypes")


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
