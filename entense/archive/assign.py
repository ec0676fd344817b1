"""Which record goes into which shards, decided before anything is computed."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.archive.formats import Foreign, formats
from entense.archive.formats.base import Sample, blank
from entense.archive.schema import coords_digest, digest_of, mask_digest, tr_of
from entense.archive.series import check_apart, paths_of
from entense.archive.sharding import shard_groups
from entense.errors import ArchiveError
from entense.files import version_of
from entense.index.fetch import name_of
from entense.progress import progress
from entense.records.splitting.names import problem_of
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
        return part_name(self.split, self.number)

    def moved(self, place: Mapping[int, int]) -> Planned:
        """Return the same of a table that has row `place[row]` for `row`."""
        return replace(self, rows=tuple(place[row] for row in self.rows))

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


def hashed(
    fingerprints: Sequence[Mapping[str, list[Any]]], survey: Survey
) -> list[dict[str, list[Any]]]:
    """Return fingerprints that have the hash of a file where its time of change was."""
    paths = list(dict.fromkeys(path for inputs in survey.inputs for path in inputs.values()))
    found = in_threads(_hash, paths, AT_ONCE)
    sums = progress(found, what="hash", unit="files", total=len(paths))
    known = dict(zip(paths, sums, strict=True))
    return [
        {slot: [*found[:2], known[inputs[slot]] or found[2]] for slot, found in row.items()}
        for row, inputs in zip(fingerprints, survey.inputs, strict=True)
    ]


def changed_since(before: Mapping[str, list[Any]], inputs: Mapping[str, str]) -> str | None:
    """Say which file of a row is not what it was, so that what was read of it may be of both."""
    for slot, path in inputs.items():
        if _fingerprint(path) != before[slot]:
            return (
                f"{path}: changed while the archive was being written; write again when it no "
                "longer does"
            )
    return None


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
    files = (part.paths(one, *record) for one in series for record in known)
    return replace(part, files=tuple(dict.fromkeys(chain.from_iterable(files))))


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
        sizes[one.format] += fmt.size(Sample(job.ids[row], held, job.values(row), specs))
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


def _hash(path: str) -> str | None:
    """Return the SHA-256 of a file; None where it is not here, and of a URL or an annexed file."""
    version = version_of(path)
    if version is None or not isinstance(version[1], int) or not Path(path).is_file():
        return None  # what stands for the time of change tells the content already
    with suppress(OSError), Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return None


def _fingerprint(path: str) -> list[Any]:
    return [name_of(path), *(version_of(path) or (None, None))]
