"""Reading many small files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from entense.errors import RecordError
from entense.files import local, opening

if TYPE_CHECKING:
    from collections.abc import Iterable

_THREADS = 8  # they wait for the disk or the network, not for each other

Content = bytes | RecordError


def read_files(paths: Iterable[str]) -> dict[str, Content]:
    """Read each distinct file once, several at a time.

    Returns
    -------
    dict
        Path -> its bytes, or why it cannot be read.

    Examples
    --------
    >>> str(read_files(["/no/such.json"])["/no/such.json"])
    '/no/such.json: there is no such file; was it moved? (see et.relocate)'
    """
    distinct = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(distinct, pool.map(_content, distinct), strict=True))


def _content(path: str) -> Content:
    try:
        with local(path) as place:
            if place.is_file() and not place.stat().st_size:
                return b""  # which may have a meaning
            with opening(path):
                return place.read_bytes()
    except RecordError as error:
        return error
