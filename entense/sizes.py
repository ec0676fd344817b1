"""Sizes in bytes, as people write them."""

from __future__ import annotations

import re

from entense.errors import ArchiveError, EntenseError

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def bytes_of(size: str | float, what: str, *, error: type[EntenseError] = ArchiveError) -> int:
    """Return a number of bytes given as ``"512MB"``, ``"1 GiB"`` or a number.

    Examples
    --------
    >>> bytes_of("512MB", "shard_size")
    512000000
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-zA-Z]*)\s*", str(size))
    if not match or match[2].upper() not in UNITS or float(match[1]) <= 0:
        raise error(f'{what}={size!r} is no size; write it like "512MB" or "2GiB"')
    return int(float(match[1]) * UNITS[match[2].upper()])
