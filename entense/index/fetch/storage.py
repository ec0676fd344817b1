"""The filesystem of a URL, with the options (credentials) given for it in this process."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from entense.errors import EntenseError
from entense.index.fetch.urls import is_url, protocols
from entense.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

ALLOWED = frozenset({
    *("http", "https", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "hf"),
    *("ftp", "sftp", "ssh", "smb", "webdav", "webhdfs", "github"),
    *("file", "local", "memory", "zip", "tar"),
})  # fmt: skip
"""The protocols of fsspec that read bytes, and run nothing."""

_storage: Registry[Mapping[str, Any]] = Registry("storage prefix")


def register_storage(prefix: str, options: Mapping[str, Any]) -> None:
    """Give the options of fsspec (credentials, an endpoint) for the URLs below a prefix.

    They stay in this process: no table, recipe or archive ever holds them. Of several prefixes
    the longest counts; a prefix that is given again takes the new options. Without any, what
    fsspec finds in its configuration files and the environment applies.

    Parameters
    ----------
    prefix
        The start of URLs, whole folders: ``s3://bucket/a`` is no prefix of ``s3://bucket/ab``.
    options
        What the filesystem of the protocol takes, as ``{"key": …, "secret": …}`` for ``s3``.

    Raises
    ------
    EntenseError
        The prefix is no URL.

    Examples
    --------
    >>> register_storage("s3://my-bucket", {"anon": True})
    >>> options_for("s3://my-bucket/sub-01/bold.nii.gz")
    {'anon': True}
    >>> options_for("s3://my-bucket-2/sub-01/bold.nii.gz")
    {}
    """
    if not is_url(prefix):
        raise EntenseError(f"{prefix!r} is no URL: give the start of some, as 's3://bucket'")
    _storage.replace(prefix.rstrip("/") + "/", dict(options))


def options_for(url: str) -> dict[str, Any]:
    """Return the options of the longest prefix of a URL (one part of it)."""
    found = [prefix for prefix in _storage if f"{url}/".startswith(prefix)]
    return dict(_storage[max(found, key=len)]) if found else {}


def filesystem(url: str, more: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """Return the fsspec filesystem of a URL and its path therein; the caller checked it.

    `more` goes before the options that were registered, for a URL that is no chain.
    """
    first, chain, rest = url.partition("::")
    if not chain:
        return _opened(url, more)
    archive = _archive(protocols(first)[0], rest, threading.get_ident())
    return archive, archive._strip_protocol(first)


def forget_archives() -> None:
    """Let the archives be opened anew, which may have changed since."""
    _archive.cache_clear()


@lru_cache(maxsize=32)  # a thread has its own: they would fight for one read-ahead buffer
def _archive(protocol: str, rest: str, _thread: int) -> Any:
    return _opened(f"{protocol}://::{rest}")[0]


def _opened(url: str, more: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    kinds, parts = protocols(url), url.split("::")
    options = {
        kind: _options(kind, part, more or {}) for kind, part in zip(kinds, parts, strict=True)
    }
    given = options if len(parts) > 1 else options[kinds[0]]
    filesystem, path = url_to_fs(url, **given)
    return filesystem, path


def _options(kind: str, part: str, more: Mapping[str, Any]) -> dict[str, Any]:
    options = {**options_for(part), **more}
    if kind not in ("http", "https"):
        return options
    import aiohttp

    # aiohttp gives up after five minutes in all, and inflates what a server labels as packed
    timeout = aiohttp.ClientTimeout(sock_connect=30, sock_read=60)
    client = {"timeout": timeout, "auto_decompress": False, **options.get("client_kwargs", {})}
    headers = {"Accept-Encoding": "identity", **options.get("headers", {})}
    return {**options, "client_kwargs": client, "headers": headers}
