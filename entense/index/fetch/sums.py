"""Checksums, as stores and servers announce them."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NAMES = {"md5": "md5", "sha-256": "sha256", "sha256": "sha256"}
_SIZES = {"md5": 16, "sha256": 32}  # bytes


def sums_of(said: Mapping[str, Any]) -> dict[str, bytes]:
    r"""Return algorithm -> digest from what a store says of a file, or from a reply's headers.

    ``Content-MD5``, ``Digest`` and ``Repr-Digest`` (md5, sha-256) of HTTP, ``md5Hash`` of Google.

    Examples
    --------
    >>> sums_of({"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="})
    {'md5': b'\xd4\x1d\x8c\xd9\x8f\x00\xb2\x04\xe9\x80\t\x98\xec\xf8B~'}
    """
    pairs = [("md5", said.get("Content-MD5")), ("md5", said.get("md5Hash"))]
    pairs += [*_listed(said.get("Digest")), *_listed(said.get("Repr-Digest"))]
    found = {name: _bytes(text) for name, text in pairs if text}
    return {name: digest for name, digest in found.items() if len(digest) == _SIZES[name]}


def etag_md5(etag: str | None) -> bytes | None:
    """Return the MD5 that an ETag of S3 is, unless the file was uploaded in parts.

    Examples
    --------
    >>> etag_md5('"d41d8cd98f00b204e9800998ecf8427e"').hex(), etag_md5('"0a1b-2"')
    ('d41d8cd98f00b204e9800998ecf8427e', None)
    """
    match = re.fullmatch('"?([0-9a-f]{32})"?', etag or "")
    return bytes.fromhex(match[1]) if match else None


def is_plain_md5(filesystem: Any, path: str) -> bool:
    """Whether the ETag of S3 is an MD5: not where the store encrypts with keys of its own."""
    bucket, key, _ = filesystem.split_path(path)
    reply = filesystem.call_s3("head_object", Bucket=bucket, Key=key)
    hidden = "kms" in reply.get("ServerSideEncryption", "") or "SSECustomerAlgorithm" in reply
    return not hidden and not bucket.endswith("--x-s3")  # directory buckets make up their ETags


def _listed(field: str | None) -> Iterator[tuple[str, str]]:
    for item in (field or "").split(","):
        name, _, text = item.strip().partition("=")
        if name.lower() in _NAMES:
            yield _NAMES[name.lower()], text.strip(":")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
