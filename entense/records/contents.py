"""Reading many small files."""

from __future__ import annotations

import os
from stat import S_ISREG
from typing import TYPE_CHECKING, TypeVar

from entense.errors import RecordError
from entense.files import local, opening
from entense.index.fetch import annex, is_url
from entense.threads import here_or_in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_THREADS = 8  # they wait for the disk or the network, not for each other

Content = bytes | RecordError
Taken = TypeVar("Taken")


def read_files(paths: Iterable[str], take: Callable[[str, Content], Taken]) -> dict[str, Taken]:
    """Read each distinct file once, several at a time, and keep what a function takes of it.

    Parameters
    ----------
    paths
        Of files, or URLs.
    take
        Function of a path and its bytes, or why it cannot be read.

    Examples
    --------
    >>> read_files(["/no/such.json"], lambda path, content: str(content))["/no/such.json"]
    '/no/such.json: there is no such file; was it moved? (see et.relocate)'
    """
    distinct = list(dict.fromkeys(paths))
    # taken where it is read, for the contents of 100,000 files are too much to keep
    taken = here_or_in_threads(
        lambda some: [take(path, _content(path)) for path in some], distinct, _THREADS
    )
    return dict(zip(distinct, taken, strict=True))


def _content(path: str) -> Content:
    content = None if is_url(path) else _plain(path)
    return _or_why(path) if content is None else content


def _plain(path: str) -> bytes | None:
    """Read a file that is whole and here in as few calls as can be; None for any other."""
    try:
        if not S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  (a pipe would be waited for)
            return None
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  a Path takes twice as long
            content = file.read()
    except (OSError, MemoryError):
        return None
    return None if annex.is_pointer(content) else content


def _or_why(path: str) -> Content:
    try:
        with local(path) as place:
            if place.is_file() and not place.stat().st_size:
                return b""  # which may have a meaning
            with opening(path):
                return place.read_bytes()
    except RecordError as error:
        return error
