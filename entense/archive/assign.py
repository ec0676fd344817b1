"""Which record goes into which shards, decided before anything is computed."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.archive.formats import Foreign, formats
from entense.archive.formats.base import Sample, blank
from entense.archive.schema import coords_digest, digest_of, mask_digest, tr_of
from entense.archive.series import check_apart, paths_of
from entense.archive.sharding import shard_groups
from entense.errors import ArchiveError
from entense.records.splitting.names import problem_of
from entense.tensors.graph import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from entense.archive.formats.base import Arrays
    from entense.archive.formats.foreign import Shared
    from entense.archive.job import Job
    from entense.archive.manifest import Series
    from entense.archive.sharding import Sharding
    from entense.ops.core import Spec
    from entense.plan.bind import Bound
    from entense.tensors.graph import Node


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
        return part_name(self.split, self.number)

    def within(self, rows: Sequence[int]) -> Planned:
        """Return the same of a table that has only these rows, which are in order."""
        return replace(self, rows=tuple(bisect_left(rows, row) for row in self.rows))

    def paths(self, series: Series, record: str, specs: Mapping[str, Spec]) -> list[str]:
        """Return the files that a record of it has in a series."""
        return paths_of(series, self.split, self.name, record, specs)


def part_name(split: str, number: int) -> str:
    """Return the name of a part, as its receipt and its shards have it."""
    return f"{split}-{number:06}"


def splits_of(table: pl.DataFrame) -> list[str]:
    """Return the split of each row; all are ``"all"`` where the table has no column `split`."""
    if "split" not in table.columns:
        return ["all"] * len(table)
    if nulls := table["split"].null_count():
        raise ArchiveError(
            f"{nulls} records have no split; filter them out or fill the column `split`"
        )
    splits: list[str] = table["split"].cast(pl.String).to_list()
    if problem := problem_of(splits):
        raise ArchiveError(problem)
    return splits


def assign(job: Job, series: Sequence[Series], sharding: Sharding, shared: Shared) -> list[Planned]:
    """Cut each split into shards, the same in each series.

    A record whose survey failed counts as much as the one before it, so that its repair moves
    few others.
    """
    check_apart(series, job.ids)
    sizes, splits = _sizes(job, series), splits_of(job.table)
    groups, order = shard_groups(job.table, sharding.by), sharding.order(job.ids)
    parts, planned = [], partial(_planned, job, series, shared)
    for split in dict.fromkeys(splits):
        rows = [row for row in order if splits[row] == split]
        cut = sharding.cut(rows, sizes, groups)
        parts += [planned(split=split, number=n, rows=part) for n, part in enumerate(cut)]
    return parts


def digest_of_rows(job: Job, rows: Sequence[int], series: Sequence[Series], shared: Shared) -> str:
    """Digest the records' ids, scalars, shapes, and what their recipes take beside files."""
    known = {row: job.survey.rows[row] for row in rows}
    facts = {id(specs): _facts(specs) for specs in (one.specs for one in known.values())}
    # which tensors' shapes differ decides the bytes of formats that a library writes
    foreign = any(isinstance(formats[one.format], Foreign) for one in series)
    records = [
        [job.ids[row], job.values(row), _taken(one.bound), facts[id(one.specs)]]
        for row, one in known.items()
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
    known = [(job.ids[row], specs) for row in rows if (specs := job.survey.rows[row].specs)]
    files = (part.paths(one, *record) for one in series for record in known)
    return replace(part, files=tuple(dict.fromkeys(chain.from_iterable(files))))


def _sizes(job: Job, series: Sequence[Series]) -> list[int]:
    """Return the bytes of each record: those of the format that takes most."""
    known, sizes = job.survey.specs[0], list[int]()
    same: dict[int, int] = {}
    blanks: dict[int, list[tuple[str, Arrays]]] = {}  # rows that are alike have the same specs
    for row, one in enumerate(job.survey.rows):
        known = one.specs or known
        if id(known) not in blanks:
            blanks[id(known)] = [_blank(one, known) for one in series]
        size = _size(job, row, known, blanks[id(known)])
        sizes.append(same.setdefault(size, size))
    return sizes


def _blank(series: Series, specs: Mapping[str, Spec]) -> tuple[str, Arrays]:
    for name in series.tensors:
        formats[series.format].check(name, specs[name])
    return series.format, {name: blank(specs[name].shape, specs[name].dtype)
                           for name in series.tensors}  # fmt: skip


def _size(
    job: Job, row: int, specs: Mapping[str, Spec], blanks: Sequence[tuple[str, Arrays]]
) -> int:
    sizes: Counter[str] = Counter()
    for name, arrays in blanks:
        sizes[name] += formats[name].size(Sample(job.ids[row], arrays, job.values(row), specs))
    return max(sizes.values())


def _taken(bound: Bound) -> list[Any]:
    """Return which slots share a value, and the values, files apart."""
    values = () if bound.error else bound.values
    numbers = [value if isinstance(value, int | float) else None for value in values]
    return [_structure(bound.roots), numbers]


@lru_cache(maxsize=256)
def _structure(roots: tuple[Node, ...]) -> str:
    return digest_of([to_json(root) for root in roots])


def _facts(specs: Mapping[str, Spec] | None) -> list[Any]:
    return [
        [name, s.dims, s.shape, s.dtype, coords_digest(s.coords), mask_digest(s), tr_of(s)]
        for name, s in (specs or {}).items()
    ]
