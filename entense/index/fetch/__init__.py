"""From a URL, or an annexed file, to a local file: when it is opened, and no earlier."""

from __future__ import annotations

from entense.index.fetch.cache import capacity
from entense.index.fetch.registered import Fetch, fetch_of, register_fetch
from entense.index.fetch.remote import Version, forget, version_in
from entense.index.fetch.storage import filesystem, register_storage
from entense.index.fetch.urls import around, is_url, name_of
from entense.index.fetch.walk import walk_url

__all__ = [
    "Fetch",
    "Version",
    "around",
    "capacity",
    "fetch_of",
    "filesystem",
    "forget",
    "is_url",
    "name_of",
    "register_fetch",
    "register_storage",
    "version_in",
    "walk_url",
]
