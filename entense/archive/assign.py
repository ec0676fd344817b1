"""Which record goes into which shard, decided before anything is computed."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.archive.formats.base import blank
from entense.archive.manifest import MASKS
from entense.archive.schema import coords_digest, digest_of, mask_digest, tr_of
from entense.errors import ArchiveError
from entense.files import version_of
from entense.index.fetch import name_of
from entense.progress import progress
from entense.tensors.graph import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from entense.archive.formats import Format
    from entense.archive.job import Job
    from entense.plan.bind import Bound
    from entense.plan.survey import Spec, Survey
    from entense.tensors.graph import Node

AT_ONCE = 8  # files asked for at once: it is the disk that takes the time


@dataclass(frozen=True)
class Planned:
    """A shard to come."""

    path: str  # relative, as train/train-000000.tar
    split: str
    rows: tuple[int, ...]  # of the sorted table
    digest: str  # of all that decides its bytes, the archive's identity and the inputs apart


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


def assign(job: Job, fmt: Format, limit: int) -> list[Planned]:
    """Cut each split, in the order of the ids, into shards of about `limit` bytes.

    A record whose survey failed counts as much as the one before it, so that its repair moves
    few others.
    """
    sizes, splits = _sizes(job, fmt), splits_of(job.table)
    shards = []
    for split in dict.fromkeys(splits):
        rows = [row for row, name in enumerate(splits) if name == split]
        for number, part in enumerate(_cut(rows, sizes, limit)):
            path = f"{split}/{split}-{number:06}{fmt.extension}"
            shards.append(Planned(path, split, part, _digest(job, part)))
    return shards


def inputs_of(survey: Survey) -> list[dict[str, list[Any]]]:
    """Return for each row slot to (file name, size, time of change in ns or what stands for it).

    Nulls where the file is missing.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(_fingerprints, survey.inputs)
        return list(progress(found, what="inputs", unit="records", total=len(survey.inputs)))


def _sizes(job: Job, fmt: Format) -> list[int]:
    known = next(specs for specs in job.survey.specs if specs is not None)
    sizes = []
    for row, (key, specs) in enumerate(zip(job.ids, job.survey.specs, strict=True)):
        known = known if specs is None else specs
        blanks = {name: blank(spec.shape, spec.dtype) for name, spec in known.items()}
        sizes.append(fmt.size(key, blanks, job.values(row)))
    return sizes


def _cut(rows: Sequence[int], sizes: Sequence[int], limit: int) -> list[tuple[int, ...]]:
    parts: list[list[int]] = []
    held = 0
    for row in rows:
        if not parts or held + sizes[row] > limit:
            parts.append([])
            held = 0
        parts[-1].append(row)
        held += sizes[row]
    return [tuple(part) for part in parts]


def _digest(job: Job, rows: Sequence[int]) -> str:
    """Digest the records' ids, scalars, shapes, and what their recipes take beside files."""
    survey = job.survey
    return digest_of([
        [job.ids[row], job.values(row), _taken(survey.bound[row]), _facts(survey.specs[row])]
        for row in rows
    ])  # fmt: skip


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
