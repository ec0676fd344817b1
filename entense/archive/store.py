"""Where an archive lies, a folder here or a URL that is read by ranges, and what its files hold."""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from awscrt.checksums import crc32c

from entense.errors import ArchiveError
from entense.index.fetch import filesystem, is_url
from entense.index.fetch.retry import SpoiltError, retrying
from entense.index.fetch.storage import options_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from entense.archive.manifest import File

T = TypeVar("T")

CHUNK = 2**23
LONGEST = 2**30  # bytes of a manifest: about 200 a shard, and labels where those of records differ
WEB = ("http", "https")
PROTOCOLS = (*WEB, "s3", "gs", "file")
_GIVEN = re.compile(r"bytes (\d+)-(\d+)/")


@dataclass(frozen=True)
class Remote:
    """A folder or file of a web server or an object store; `/` goes down, as it does in a Path.

    Its text, which messages show, has neither user, password nor what follows a ``?``.

    Parameters
    ----------
    url
        Its address.
    options
        What fsspec's filesystem of its protocol takes, beside what `register_storage` was given.

    Examples
    --------
    >>> str(Remote("https://me:secret@host/out?token=secret") / "entense.json")
    'https://host/out/entense.json'
    """

    url: str = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    def __truediv__(self, name: str) -> Remote:
        parts = urlsplit(self.url)
        if parts.scheme in WEB:  # where "%2e%2e" or "?" in a name would be read as something else
            path = f"{parts.path.rstrip('/')}/{quote(name)}"
            return Remote(urlunsplit(parts._replace(path=path)), self.options)
        if "::" in name:  # which fsspec takes for another URL
            raise ArchiveError(f"{self} names {name!r}, which no archive does; do not trust it")
        return Remote(f"{self.url.rstrip('/')}/{name}", self.options)

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))

    def exists(self) -> bool:
        """Whether there is such a file."""
        with suppress(FileNotFoundError):
            self.read(0, 1)
            return True
        return False

    def read_bytes(self, size: int = 0) -> bytes:
        """Return the whole of a manifest, in chunks that are tried again one by one.

        Or of another file, which is known to have `size` bytes.
        """
        most = max(size, LONGEST)
        content = b"".join(self.chunks(most))
        if len(content) > most:
            raise ArchiveError(f"{self} is longer than any that write makes; check the address")
        return content

    def chunks(self, most: float) -> Iterator[bytes]:
        """Yield the bytes of a file in order, until they are more than `most`.

        Whoever sends them could go on for ever.
        """
        at, size = 0, CHUNK
        while size == CHUNK and at <= most:
            chunk = self.read(at, at + CHUNK)
            at, size = at + len(chunk), len(chunk)
            yield chunk

    def read(self, start: int, stop: int) -> bytes:
        """Return bytes `start` to `stop` of a file; fewer where it ends before.

        Raises
        ------
        FileNotFoundError
            When there is no such file.
        ArchiveError
            When the server refuses, does not answer however often it is asked, or ignores ranges.
        """
        found = self.asked(partial(self._read, start, stop), "read")
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return found

    def asked(self, action: Callable[[], T], what: str) -> T:
        """Return what a request gives, made again where that may help; an ArchiveError else."""
        try:
            return retrying(action, str(self), what=what, error=ArchiveError)
        except ArchiveError as error:  # and not its cause, which may tell the address in full
            raise ArchiveError(self._without_secrets(str(error))) from None

    def _read(self, start: int, stop: int) -> bytes | None:
        try:
            store, path = filesystem(self.url, self.options)
            if urlsplit(self.url).scheme not in WEB:
                return _ranged(store, path, start, stop)
            from fsspec.asyn import sync  # type: ignore[import-untyped]

            return bytes(sync(store.loop, _from_web, store, path, str(self), start, stop))
        except FileNotFoundError as error:
            if isinstance(error.__cause__, TimeoutError | ConnectionError):
                raise
            return None

    def _without_secrets(self, message: str) -> str:
        parts = urlsplit(self.url)
        options = {**options_for(self.url), **self.options}
        secrets = [self.url, parts.query, parts.username, parts.password, *_texts(options)]
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            message = message if secret in str(self) else message.replace(secret, "…")
        return message


Place: TypeAlias = Path | Remote
"""A folder or a file, wherever it lies."""


def place_of(path: str | Path, options: Mapping[str, Any] | None) -> Place:
    """Return where an archive lies.

    Raises
    ------
    ArchiveError
        When a protocol is named by which archives are not read.

    Examples
    --------
    >>> place_of("file:///data/out", None), place_of("ftp://host/out", None)
    Traceback (most recent call last):
    entense.errors.ArchiveError: ftp://host/out: archives are read from a folder, or by http, \
https, s3, gs, file; copy it to one of them
    """
    if isinstance(path, Path) or not is_url(path):
        return Path(path)
    place, protocol = Remote(str(path), options or {}), str(path).partition(":")[0]
    if protocol not in PROTOCOLS or "::" in str(path):
        raise ArchiveError(
            f"{place}: archives are read from a folder, or by {', '.join(PROTOCOLS)}; "
            "copy it to one of them"
        )
    return Path(unquote(urlsplit(str(path)).path)) if protocol == "file" else place


def chunks(place: Place, most: float) -> Iterator[bytes]:
    """Yield the bytes of a file in order, of one elsewhere not much more than `most`.

    A FileNotFoundError where there is none.
    """
    if isinstance(place, Remote):
        yield from place.chunks(most)
        return
    with readable(place), place.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Tell a file that is not there (a FileNotFoundError) from one that cannot be read now.

    The second is an ArchiveError: who took it for the first would throw away what is good.
    """
    try:
        yield
    except NotADirectoryError as error:
        raise FileNotFoundError(*error.args) from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ArchiveError(
            f"{path} cannot be read ({error.strerror or error}); try again, and where that does "
            "not help mend its disk or permissions, or delete it"
        ) from error


def is_whole(folder: Place, file: File) -> bool:
    """Whether a file has the size and the bytes that are known of it."""
    return checksum(folder / file.path, file.bytes) == (file.bytes, file.crc32c)


def content_of(folder: Place, file: File) -> bytes | None:
    """Return what a file holds, if that has the size and the bytes that are known of it."""
    parts, size = [], 0
    with suppress(FileNotFoundError):
        for chunk in chunks(folder / file.path, file.bytes):
            parts.append(chunk)
            size += len(chunk)
            if size > file.bytes:
                break
    content = b"".join(parts)
    return content if (size, crc32c(content)) == (file.bytes, file.crc32c) else None


def checksum(path: Place, most: float = inf) -> tuple[int, int]:
    """Return size and CRC-32C of a file, of one elsewhere up to somewhat more than `most` bytes.

    (-1, 0) where there is none.
    """
    try:
        return sums_of(path, most)
    except FileNotFoundError:
        return -1, 0


def sums_of(path: Place, most: float = inf) -> tuple[int, int]:
    """Return size and CRC-32C of a file as `checksum`; a FileNotFoundError where there is none."""
    size = crc = 0
    for chunk in chunks(path, most):
        size, crc = size + len(chunk), crc32c(chunk, crc)
    return size, crc


def _ranged(store: Any, path: str, start: int, stop: int) -> bytes:
    """Return a range of an object, which its store may refuse where it begins at the end."""
    try:
        return bytes(store.cat_file(path, start=start, end=stop))
    except Exception:
        if store.info(path)["size"] <= start:
            return b""
        raise


async def _from_web(store: Any, url: str, name: str, start: int, stop: int) -> bytes:
    """Return a range that a web server gives, and no more, whatever it sends."""
    headers = {**store.kwargs.get("headers", {}), "Range": f"bytes={start}-{stop - 1}"}
    session = await store.set_session()
    asked = session.get(store.encode_url(url), **{**store.kwargs, "headers": headers})
    async with asked as reply:
        if reply.status == 404:
            raise FileNotFoundError(url)
        if reply.status == 416:  # nothing of it is there
            return b""
        reply.raise_for_status()
        return bytes(await reply.content.readexactly(_due(reply, name, start, stop)))


def _due(reply: Any, name: str, start: int, stop: int) -> int:
    """Return how many bytes a reply is to have, of those that were asked for."""
    given = _GIVEN.match(reply.headers.get("Content-Range", ""))
    if reply.status == 206 and given and int(given[1]) == start:
        return min(int(given[2]) + 1, stop) - start
    if reply.status == 200 and start == 0 and reply.content_length is not None:
        return int(min(reply.content_length, stop))  # the whole file, of which this is the start
    if reply.status == 206:
        raise SpoiltError("other bytes came than were asked for")
    raise ArchiveError(
        f"{name}: the server gives whole files only (it ignores ranges of bytes); "
        "serve it with one that knows them, or copy the archive to this machine"
    )


def _texts(options: Any) -> Iterator[str]:
    """Yield every text that is a value in nested options."""
    if isinstance(options, str):
        yield options
    elif isinstance(options, dict):
        for value in options.values():
            yield from _texts(value)
