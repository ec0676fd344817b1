"""The series of shards of an archive: one a format, or one for each tensor."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from entense.archive.formats import formats
from entense.archive.manifest import Series
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Sequence

DISAGGREGATE = (None, "tensor")


def series_of(
    names: str | Sequence[str], tensors: Sequence[str], disaggregate: str | None
) -> list[Series]:
    """Return the series that an archive of these formats has, those of the first format first."""
    wanted = [names] if isinstance(names, str) else list(names)
    if not wanted or len(set(wanted)) < len(wanted):
        raise ArchiveError(f"format={names!r} names no format, or one twice; name each once")
    if disaggregate not in DISAGGREGATE:
        raise ArchiveError(f'disaggregate={disaggregate!r} is unknown; give "tensor", or leave it')
    found = []
    for name in wanted:
        above = f"{_checked('format', name)}/" if len(wanted) > 1 else ""
        if disaggregate or formats[name].single:
            found += [Series(name, (t,), f"{above}{{split}}/{_checked('tensor', t)}")
                      for t in tensors]  # fmt: skip
        else:
            found.append(Series(name, tuple(tensors), f"{above}{{split}}"))
    return found


def path_of(series: Series, split: str, shard: str, record: str) -> str:
    """Return the relative path of the file in which a record lies; `shard` is its shard's name."""
    fmt = formats[series.format]
    name = _checked("record", record) if fmt.single else shard
    return f"{series.folder.format(split=split)}/{name}{fmt.extension}"


def _checked(what: str, name: str) -> str:
    """Return a name that can be a file's or a folder's; an error if it cannot."""
    if not re.fullmatch(r"[A-Za-z0-9+_-][A-Za-z0-9+._-]{0,199}", name):
        raise ArchiveError(
            f"the {what} {name!r} cannot name a file or a folder; rename it with at most 200 "
            'letters, digits, "_", "+", "-" and ".", the first no "."'
        )
    return name
