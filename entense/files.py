"""Opening a record's files, and saying in plain words why one cannot be opened."""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from entense.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator

_REMEDY = "copy it again, or name another file if this is not of the kind that is due"
_READERS = ("nibabel", "isal", "polars", "xml", "_ctypes")  # whose errors share no base class
_POINTER_SIZE = 32_768  # git-annex: a pointer file is at most this large


@contextmanager
def opening(path: str | Path) -> Iterator[str]:
    """Turn whatever goes wrong while `path` is read into a `RecordError` that names it."""
    check_present(path)
    try:
        yield str(path)
    except RecordError:
        raise
    except EOFError as error:
        raise RecordError(f"{path}: the file is cut short ({error}); copy it again") from error
    except (OSError, ValueError, zlib.error, MemoryError) as error:
        raise RecordError(f"{path}: cannot be read ({_short(error)}); {_REMEDY}") from error
    except Exception as error:
        if type(error).__module__.split(".")[0] not in _READERS:
            raise
        raise RecordError(f"{path}: cannot be read ({_short(error)}); {_REMEDY}") from error


def check_present(path: str | Path) -> None:
    """Raise a `RecordError` where `path` is missing, empty or only a git-annex pointer."""
    place = Path(path)
    get = f"fetch it with: datalad get {place}"
    if place.is_symlink() and not place.exists():
        target = str(place.readlink())
        if "annex/objects" in target:
            raise RecordError(f"{path}: the content is not here (a git-annex link); {get}")
        raise RecordError(f"{path}: is a link to {target}, which does not exist; mend the link")
    if not place.exists():
        raise RecordError(f"{path}: there is no such file; was it moved? (see et.relocate)")
    size = place.stat().st_size
    if size == 0:
        raise RecordError(f"{path}: the file is empty (0 bytes); copy it again")
    if size < _POINTER_SIZE:
        with place.open("rb") as file:
            if file.read(15) == b"/annex/objects/":
                raise RecordError(f"{path}: the content is not here (a git-annex pointer); {get}")


def version_of(path: str | Path) -> tuple[int, int] | None:
    """Return size and time of change of a file, by which what was read of it may be kept."""
    place = Path(path)
    if not place.exists():
        return None
    stat = place.stat()
    return stat.st_size, stat.st_mtime_ns


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
