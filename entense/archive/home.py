"""Where an archive is written: a folder of this machine, or of an object store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from entense.archive.here import Here
from entense.archive.store import Place, Remote, place_of
from entense.archive.there import There
from entense.errors import ArchiveError
from entense.index.fetch import is_url

if TYPE_CHECKING:
    from collections.abc import Mapping

STORES = ("s3", "gs")

Home: TypeAlias = Here | There
"""What can be done with the files of an archive that is being written: the same verbs for both."""


def home_of(
    path: str | Place,
    options: Mapping[str, Any] | None = None,
    scratch: str | Path | None = None,
) -> Home:
    """Return where an archive is written.

    Raises
    ------
    ArchiveError
        When it is a URL that nothing can be written to, or says more than where it is.

    Examples
    --------
    >>> print(home_of("s3://bucket/out"))
    s3://bucket/out
    >>> home_of("https://host/out")
    Traceback (most recent call last):
    entense.errors.ArchiveError: https://host/out: archives are written to a folder, or to an \
object store (s3, gs); choose one of these
    """
    place = path if isinstance(path, Remote) else _place(path, options)
    if isinstance(place, Remote):
        _check(place)
        return There(place, None if scratch is None else Path(scratch))
    if scratch is not None:
        raise ArchiveError(
            f"scratch={str(scratch)!r} is for what is written to an object store, and {place} is "
            "a folder, in which shards come to be; leave it out"
        )
    return Here(place)


def _place(path: str | Path, options: Mapping[str, Any] | None) -> Place:
    """Return the place of a folder, or a URL as it is: what else is wrong with that we say here."""
    if isinstance(path, Path) or not is_url(path) or path.startswith("file:"):
        return place_of(path, options)
    return Remote(path, options or {})


def _check(place: Remote) -> None:
    parts = urlsplit(place.url)
    if parts.scheme not in STORES or "::" in place.url:
        raise ArchiveError(
            f"{place}: archives are written to a folder, or to an object store "
            f"({', '.join(STORES)}); choose one of these"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ArchiveError(
            f"{place}: the address to write to has a bucket and names of folders, and no user, "
            "password, ? or #; give credentials as storage_options="
        )
