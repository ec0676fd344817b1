"""Which record goes into which shards, decided before anything is computed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.archive.formats import Foreign, formats
from entense.archive.formats.base import blank
from entense.archive.manifest import MASKS
from entense.archive.schema import coords_digest, digest_of, mask_digest, tr_of
from entense.archive.series import path_of
from entense.archive.sharding import groups_of
from entense.errors import ArchiveError
from entense.files import version_of
from entense.index.fetch import name_of
from entense.progress import progress
from entense.tensors.graph import to_json
from entense.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from entense.archive.formats.foreign import Shared
    from entense.archive.job import Job
    from entense.archive.manifest import Series
    from entense.archive.sharding import Sharding
    from entense.plan.bind import Bound
    from entense.plan.survey import Spec, Survey
    from entense.tensors.graph import Node

AT_ONCE = 8  # files asked for at once: it is the disk that takes the time


@dataclass(frozen=True)
class Planned:
    """Records that share a shard in each series."""

    split: str
    number: int  # within its split
    rows: tuple[int, ...]  # of the sorted table
    files: tuple[str, ...]  # relative, as train/train-000000.tar: all that may come to be
    digest: str  # of all that decides its bytes, the archive's identity and the inputs apart

    @property
    def name(self) -> str:
        """Its name, as train-000000."""
        return f"{self.split}-{self.number:06}"

    def moved(self, place: Mapping[int, int]) -> Planned:
        """Return the same of a table that has row `place[row]` for `row`."""
        return replace(self, rows=tuple(place[row] for row in self.rows))

    def path(self, series: Series, record: str, specs: Mapping[str, Spec]) -> str:
        """Return the file that a record of it has in a series."""
        return path_of(series, self.split, self.name, record, specs)


def splits_of(table: pl.DataFrame) -> list[str]:
    """Return the split of each row; all are ``"all"`` where the table has no column `split`."""
    if "split" not in table.columns:
        return ["all"] * len(table)
    if nulls := table["split"].null_count():
        raise ArchiveError(
            f"{nulls} records have no split; filter them out or fill the column `split`"
        )
    splits: list[str] = table["split"].cast(pl.String).to_list()
    for name in set(splits):
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name == MASKS:
            raise ArchiveError(
                f"the split {name!r} cannot name a folder of shards; use letters, digits, "
                f'"_" and "-" (and not {MASKS!r})'
            )
    return splits


def assign(job: Job, series: Sequence[Series], sharding: Sharding, shared: Shared) -> list[Planned]:
    """Cut each split into shards, the same in each series.

    A record whose survey failed counts as much as the one before it, so that its repair moves
    few others.
    """
    sizes, splits = _sizes(job, series), splits_of(job.table)
    groups, order = groups_of(job.table, sharding.by), sharding.order(job.ids)
    parts, planned = [], partial(_planned, job, series, shared)
    for split in dict.fromkeys(splits):
        rows = [row for row in order if splits[row] == split]
        cut = sharding.cut(rows, sizes, groups)
        parts += [planned(split=split, number=n, rows=part) for n, part in enumerate(cut)]
    return parts


def inputs_of(survey: Survey) -> list[dict[str, list[Any]]]:
    """Return for each row slot to (file name, size, time of change in ns or what stands for it).

    Nulls where the file is missing.
    """
    found = in_threads(_fingerprints, survey.inputs, AT_ONCE)
    return list(progress(found, what="inputs", unit="records", total=len(survey.inputs)))


def digest_of_rows(job: Job, rows: Sequence[int], series: Sequence[Series], shared: Shared) -> str:
    """Digest the records' ids, scalars, shapes, and what their recipes take beside files."""
    survey = job.survey
    # which tensors' shapes differ decides the bytes of formats that a library writes
    foreign = any(isinstance(formats[one.format], Foreign) for one in series)
    records = [
        [job.ids[row], job.values(row), _taken(survey.bound[row]), _facts(survey.specs[row])]
        for row in rows
    ]
    return digest_of([*(sorted(shared.ragged) if foreign else ()), *records])


def _planned(
    job: Job,
    series: Sequence[Series],
    shared: Shared,
    *,
    split: str,
    number: int,
    rows: tuple[int, ...],
) -> Planned:
    part = Planned(split, number, rows, (), digest_of_rows(job, rows, series, shared))
    known = [(job.ids[row], specs) for row in rows if (specs := job.survey.specs[row])]
    files = dict.fromkeys(part.path(one, *record) for one in series for record in known)
    return replace(part, files=tuple(files))


def _sizes(job: Job, series: Sequence[Series]) -> list[int]:
    """Return the bytes of each record: those of the format that takes most."""
    known = next(specs for specs in job.survey.specs if specs is not None)
    sizes = []
    for row, specs in enumerate(job.survey.specs):
        known = known if specs is None else specs
        sizes.append(_size(job, row, known, series))
    return sizes


def _size(job: Job, row: int, specs: Mapping[str, Spec], series: Sequence[Series]) -> int:
    blanks = {name: blank(spec.shape, spec.dtype) for name, spec in specs.items()}
    sizes: Counter[str] = Counter()
    for one in series:
        fmt, held = formats[one.format], {name: blanks[name] for name in one.tensors}
        for name in one.tensors:
            fmt.check(name, specs[name])
        sizes[one.format] += fmt.size(job.ids[row], held, job.values(row))
    return max(sizes.values())


def _taken(bound: Bound) -> list[Any]:
    """Return which slots share a value, and the values, files apart."""
    numbers = [value if isinstance(value, int | float) else None for value in bound.values]
    return [_structure(bound.roots), numbers]


@lru_cache(maxsize=256)
def _structure(roots: tuple[Node, ...]) -> str:
    return digest_of([to_json(root) for root in roots])


def _facts(specs: Mapping[str, Spec] | None) -> list[Any]:
    return [
        [name, s.dims, s.shape, s.dtype, coords_digest(s.coords), mask_digest(s), tr_of(s)]
        for name, s in (specs or {}).items()
    ]


def _fingerprints(inputs: Mapping[str, str]) -> dict[str, list[Any]]:
    return {slot: _fingerprint(path) for slot, path in sorted(inputs.items())}


def _fingerprint(path: str) -> list[Any]:
    return [name_of(path), *(version_of(path) or (None, None))]
