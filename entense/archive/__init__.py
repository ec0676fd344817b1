"""Archives: shards that any reader opens, and a manifest that makes them safe and fast."""

from __future__ import annotations

from entense.archive.formats import Format, formats, register_format
from entense.archive.read import Archive, open_archive

__all__ = ["Archive", "Format", "formats", "open_archive", "register_format"]
