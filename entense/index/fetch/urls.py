"""URLs: which paths are one, and what they are made of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # no single letter: C:\ is a disk of Windows
_WORD = re.compile(r"[a-z0-9_]*")
_ENDING = re.compile(r"(?:\.[A-Za-z0-9]{1,12}){0,3}$")


def is_url(path: str | Path) -> bool:
    """Whether a path is a URL (a file's name with a colon in it is written ``./a:b``).

    Examples
    --------
    >>> [is_url(path) for path in ("s3://bucket/a.nii", "zip://a.nii::/b.zip", "/a/b.nii")]
    [True, True, False]
    """
    return _SCHEME.match(str(path)) is not None


def protocols(url: str) -> list[str]:
    """Return the protocol of each part of a URL, read as fsspec reads it.

    Examples
    --------
    >>> protocols("zip://a.nii::https://host/b.zip"), protocols("tar://a.nii::/data/b.tar")
    (['zip', 'https'], ['tar', 'file'])
    """
    return [_protocol(part) for part in url.split("::")]


def _protocol(part: str) -> str:
    before, found, _ = part.partition("://")
    if found:
        return before
    scheme = _SCHEME.match(part)
    if scheme:
        return scheme[1]
    return part if _WORD.fullmatch(part) else "file"


def around(url: str) -> tuple[str, str]:
    """Return what goes before and after the relative path of a file below a URL.

    Examples
    --------
    >>> around("https://host/ds"), around("zip://ds::https://host/b.zip")
    (('https://host/ds/', ''), ('zip://ds/', '::https://host/b.zip'))
    """
    first, chain, rest = url.partition("::")
    inside = first if first.endswith("/") else f"{first}/"
    return inside, chain + rest


def name_of(path: str | Path) -> str:
    """Return the file's name of a path or URL.

    Examples
    --------
    >>> name_of("zip://ds/a.nii.gz::/b.zip"), name_of("https://host/b.nii?key=1"), name_of("/c/d")
    ('a.nii.gz', 'b.nii', 'd')
    """
    text = str(path)
    if is_url(text):
        text = text.partition("::")[0]
        if text.startswith("http"):
            text = re.split("[?#]", text, maxsplit=1)[0]
    return text.rstrip("/").rpartition("/")[2]


def ending_of(url: str) -> str:
    """Return how the file's name ends, by which readers tell what it is.

    Examples
    --------
    >>> ending_of("s3://bucket/sub-01_bold.nii.gz"), ending_of("s3://bucket/x.y z")
    ('.nii.gz', '')
    """
    found = _ENDING.search(name_of(url))
    return found[0] if found else ""
