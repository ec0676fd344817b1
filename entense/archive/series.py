"""The series of shards of an archive: one a format, or one for each tensor."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.archive.formats import formats
from entense.archive.formats.foreign import Shared
from entense.archive.manifest import Series
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from entense.archive.job import Job
    from entense.ops.core import Spec

PYTHON: dict[Any, type] = {pl.Int64: int, pl.Float64: float, pl.Boolean: bool, pl.String: str}
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


def paths_of(
    series: Series, split: str, shard: str, record: str, specs: Mapping[str, Spec]
) -> list[str]:
    """Return the relative paths of a record's files: most formats have one a shard, named so."""
    fmt, folder = formats[series.format], series.folder.format(split=split)
    stem = _checked("record", record) if fmt.single else shard
    return [f"{folder}/{stem}{ending}" for ending in fmt.suffixes(specs[series.tensors[0]])]


def check_apart(series: Sequence[Series], records: Iterable[str]) -> None:
    """Raise where files would share one name on disks that know no case."""
    parted = (one.tensors for one in series if "{split}/" in one.folder)
    _check_case("tensor", dict.fromkeys(chain.from_iterable(parted)))
    if any(formats[one.format].single for one in series):
        _check_case("record", records)


def shared_by(job: Job) -> Shared:
    """Return what all files of an archive have in common."""
    columns = {name: PYTHON[dtype] for name, dtype in job.scalars.schema.items()}
    shapes = {name: {s[name].shape for s in job.survey.specs} for name in job.survey.tensors}
    return Shared(frozenset(name for name, found in shapes.items() if len(found) > 1), columns)


def _check_case(what: str, names: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise ArchiveError(
                f"the {what}s {other!r} and {name!r} would share one file where disks know no "
                "case; rename one"
            )


def _checked(what: str, name: str) -> str:
    """Return a name that can be a file's or a folder's; an error if it cannot."""
    if not re.fullmatch(r"[A-Za-z0-9+_-][A-Za-z0-9+._-]{0,199}", name):
        raise ArchiveError(
            f"the {what} {name!r} cannot name a file or a folder; rename it with at most 200 "
            'letters, digits, "_", "+", "-" and ".", the first no "."'
        )
    return name
