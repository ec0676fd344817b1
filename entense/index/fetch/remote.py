"""Files of a store that fsspec reads, through the cache: fetched whole, checked, held."""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from entense.errors import RecordError
from entense.index.fetch.cache import cache
from entense.index.fetch.retry import SpoiltError, retrying
from entense.index.fetch.storage import filesystem, forget_archives
from entense.index.fetch.sums import etag_md5, is_plain_md5, sums_of
from entense.index.fetch.urls import ending_of, protocols

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from entense.index.fetch.cache import Part

Version = tuple[int | None, int | str | None]
"""Size in bytes, and the time of change in ns, a checksum or whatever else tells one content."""

_CHUNK = 4 << 20
_REMEMBERED = 300  # seconds, at most: what a store says of a file
_TOKENS = (
    *("md5Hash", "Content-MD5", "ETag", "etag", "sha", "blob_id", "CRC", "checksum"),
    *("LastModified", "Last-Modified", "last_modified", "mtime", "modify", "modificationTime"),
    *("modified", "updated", "created"),
)


@dataclass(frozen=True)
class _Said:
    """What a store says of a file."""

    size: int | None
    token: str | None
    sums: Mapping[str, bytes]


class Remote:
    """The protocols of fsspec."""

    @contextmanager
    def hold(self, url: str) -> Iterator[Path]:
        """Give the fetched file, which stays while the context is open."""
        said = _said(url)
        place = cache()
        most = place.size if said.size is None else said.size
        fill = partial(_download, url, said, most)
        with place.hold(_name(url, said), said.size, fill) as path:
            yield path

    def version(self, url: str) -> Version:
        """Return size and token, remembered for a while."""
        said = _said(url)
        return said.size, said.token

    def head(self, url: str, size: int) -> bytes:
        """Return the first bytes, of the cached file if it is there."""
        said = _said(url)
        try:
            with (cache().folder / _name(url, said)).open("rb") as file:
                return file.read(size)
        except OSError:
            return b"" if said.size == 0 else retrying(partial(_first, url, size), url)


def forget() -> None:
    """Ask the stores anew: a survey begins with it."""
    _asked.cache_clear()
    forget_archives()


def version_in(info: Mapping[str, Any]) -> tuple[int | None, str | None]:
    """Return size and token of what a store says of a file.

    Examples
    --------
    >>> version_in({"size": 3, "ETag": '"0a1b"', "LastModified": "today"})
    (3, '"0a1b"')
    """
    token = next((str(info[key]) for key in _TOKENS if info.get(key) is not None), None)
    size = info.get("size")
    return None if size is None else int(size), token


def _said(url: str) -> _Said:
    found = _asked(url, int(time.monotonic() / _REMEMBERED))
    if isinstance(found, str):
        raise RecordError(found)
    return found


@lru_cache(maxsize=65_536)
def _asked(url: str, _slot: int) -> _Said | str:
    """Return what a store says, or why it says nothing: that is not asked for every record."""
    try:
        return retrying(partial(_ask, url), url)
    except RecordError as error:
        return str(error)


def _ask(url: str) -> _Said:
    store, path = filesystem(url)
    store.invalidate_cache(path)
    info = store.info(path)
    if info.get("type") == "directory":
        raise RecordError(f"{url}: is a folder, a file is due; check the URL")
    sums = sums_of(info)
    if _is_s3(url) and (md5 := etag_md5(info.get("ETag"))):
        sums["md5"] = md5
    return _Said(*version_in(info), sums)


def _is_s3(url: str) -> bool:
    return protocols(url)[0] in ("s3", "s3a")


def _is_http(url: str) -> bool:
    return protocols(url)[0] in ("http", "https")


def _name(url: str, said: _Said) -> str:
    """Name a cached file: it can lie nowhere but in the folder, and ends as the URL does."""
    digest = hashlib.sha256(repr((url, said.size, said.token)).encode()).hexdigest()[:32]
    return f"url-{digest}{ending_of(url)}"


def _download(url: str, said: _Said, most: int, part: Part) -> None:
    retrying(partial(_copy, url, said, most, part), url)


def _copy(url: str, said: _Said, most: int, part: Part) -> None:
    """Copy a file once, of at most so many bytes, and hold it to what was announced."""
    store, path = filesystem(url)
    part.restart()
    with _stream(store, url, path) as source:
        headers = getattr(getattr(source, "r", None), "headers", {})  # of HTTP's reply
        sums = {**said.sums, **sums_of(headers)}
        due = int(headers.get("Content-Length", -1)) if said.size is None else said.size
        hashes = {name: hashlib.new(name, usedforsecurity=False) for name in sums}
        done = 0
        while chunk := source.read(min(_CHUNK, most - done + 1)):
            done += len(chunk)
            if done > most:
                raise SpoiltError(f"it has more than the {most:,} bytes that it may have")
            for one in hashes.values():
                one.update(chunk)
            part.write(chunk)
    if due >= 0 and done != due:
        raise SpoiltError(f"{done:,} of {due:,} bytes arrived")
    for name, one in hashes.items():
        if one.digest() != sums[name] and (not _is_s3(url) or is_plain_md5(store, path)):
            raise SpoiltError(f"its {name} is not the one that the server announced")
    part.finish()


def _first(url: str, size: int) -> bytes:
    """Return the first bytes, asking for no more where the store can give a range."""
    store, path = filesystem(url)
    found = b""
    with _stream(store, url, path, {"Range": f"bytes=0-{size - 1}"}) as source:
        while len(found) < size and (chunk := source.read(size - len(found))):
            found += chunk
    return found


def _stream(store: Any, url: str, path: str, headers: Mapping[str, str] | None = None) -> Any:
    if not _is_http(url):
        return store.open(path, "rb", block_size=_CHUNK, cache_type="none")
    headers = {**store.kwargs.get("headers", {}), **(headers or {})}
    # one reply that streams; given a size, any, it does not ask the server for it first
    return store.open(path, "rb", block_size=0, size=1, headers=headers)
