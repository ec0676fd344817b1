"""Which record goes into which shard, decided before anything is computed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.archive.formats import Blank, Format, Scalar, as_dtype
from entense.archive.manifest import MASKS
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from entense.plan.survey import Spec, Survey

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
SCALARS = "numbers, booleans and strings"


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be written, a row a record, sorted by id.

    Parameters
    ----------
    table
        The record table, without its lazy columns and without folders in its paths.
    ids
        The records' ids.
    scalars
        The columns that go into the samples.
    splits
        The split of each record.
    cells
        The numbers that the recipes take from each record, by tensor and slot.
    survey
        What is known of the tensors.
    format
        The format of the shards.
    """

    table: pl.DataFrame
    ids: Sequence[str]
    scalars: pl.DataFrame
    splits: Sequence[str]
    cells: Sequence[Mapping[str, Any]]
    survey: Survey
    format: Format

    def values(self, row: int) -> dict[str, Scalar]:
        """Return the scalars of a record."""
        return self.scalars.row(row, named=True) if self.scalars.width else {}


@dataclass(frozen=True)
class Planned:
    """A shard to come.

    Parameters
    ----------
    path
        Relative, as ``train/train-000000.tar``.
    split
        The split it belongs to.
    rows
        Its records, as rows of the sorted table.
    digest
        Of all that decides its bytes, the content of the inputs apart.
    """

    path: str
    split: str
    rows: tuple[int, ...]
    digest: str


def bytes_of(size: str | int, what: str) -> int:
    """Return a number of bytes given as ``"512MB"``, ``"1 GiB"`` or an integer.

    Examples
    --------
    >>> bytes_of("512MB", "shard_size")
    512000000
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-zA-Z]*)\s*", str(size))
    if not match or match[2].upper() not in UNITS or float(match[1]) <= 0:
        raise ArchiveError(f'{what}={size!r} is no size; write it like "512MB" or "2GiB"')
    return int(float(match[1]) * UNITS[match[2].upper()])


def scalars_of(table: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return the columns that go into the samples as Int64, Float64, Boolean or String.

    Raises
    ------
    ArchiveError
        When a column is missing or holds anything else.

    Examples
    --------
    >>> scalars_of(pl.DataFrame({"age": [30, None]}), ["age"]).schema
    Schema([('age', Int64)])
    """
    for name in columns:
        if name not in table.columns:
            raise ArchiveError(
                f"columns= names {name!r}, which the table has not; "
                f"it has {', '.join(table.columns)}"
            )
    return table.select(_plain(table[name]) for name in columns)


def _plain(column: pl.Series) -> pl.Series:
    dtype = column.dtype
    if dtype in (pl.Boolean, pl.String):
        return column
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if dtype.is_float():
        return column.cast(pl.Float64)
    if dtype.is_integer() and (column.max() or 0) < 2**63:  # type: ignore[operator]
        return column.cast(pl.Int64)
    raise ArchiveError(
        f"the column {column.name!r} is {dtype}, and samples hold {SCALARS} (64 bits); "
        "cast it first, or leave it out of columns="
    )


def numbers_of(cells: Mapping[str, Sequence[Mapping[str, Any] | None]]) -> list[dict[str, Any]]:
    """Return a dict a row of all that the cells hold beside files.

    Examples
    --------
    >>> numbers_of({"clean": [{"bold": "/a.nii", "tr": 2.0}]})
    [{'clean': {'tr': 2.0}}]
    """
    rows = zip(*cells.values(), strict=True)
    return [
        {name: _numbers(cell or {}) for name, cell in zip(cells, row, strict=True)} for row in rows
    ]


def _numbers(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {slot: value for slot, value in cell.items() if not isinstance(value, str)}


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


def assign(job: Job, size: int) -> list[Planned]:
    """Cut each split, in the order of the ids, into shards of about `size` bytes.

    A record whose survey failed counts as much as the one before it, so that its repair moves
    few others.
    """
    sizes = _sizes(job)
    shards = []
    for split in dict.fromkeys(job.splits):
        rows = [row for row, name in enumerate(job.splits) if name == split]
        for number, part in enumerate(_cut(rows, sizes, size)):
            path = f"{split}/{split}-{number:06}{job.format.extension}"
            shards.append(Planned(path, split, part, _digest(job, part)))
    return shards


def inputs_of(survey: Survey, row: int) -> dict[str, list[Any]]:
    """Return slot to (file name, size, time of change in ns); (name, None, None) if missing."""
    return {slot: _fingerprint(path) for slot, path in sorted(survey.inputs[row].items())}


def kinds_of(specs: Mapping[str, Spec]) -> dict[str, Blank]:
    """Return the shapes and dtypes of a record's tensors."""
    return {name: Blank(spec.shape, as_dtype(spec.dtype)) for name, spec in specs.items()}


def coords_digest(spec: Spec) -> str | None:
    """Return a digest of the labels of a tensor's dimensions; None where there are none."""
    if not spec.coords:
        return None
    return _hash(sorted((dim, list(labels)) for dim, labels in spec.coords.items()))


def mask_digest(spec: Spec) -> str | None:
    """Return the digest of the mask of a tensor's voxel axis; None where it has none."""
    return spec.mask.digest if spec.mask else None


def _sizes(job: Job) -> list[int]:
    known = next(specs for specs in job.survey.specs if specs is not None)
    sizes = []
    for row, (key, specs) in enumerate(zip(job.ids, job.survey.specs, strict=True)):
        known = known if specs is None else specs
        sizes.append(job.format.size(key, kinds_of(known), job.values(row)))
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
    records = [
        [job.ids[row], job.values(row), job.cells[row], _facts(job.survey.specs[row])]
        for row in rows
    ]
    return _hash([job.format.name, dict(job.survey.recipes), records])


def _facts(specs: Mapping[str, Spec] | None) -> list[Any]:
    return [
        [name, spec.dims, spec.shape, spec.dtype, coords_digest(spec), mask_digest(spec), spec.tr]
        for name, spec in (specs or {}).items()
    ]


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _fingerprint(path: str) -> list[Any]:
    try:
        stat = Path(path).stat()
    except OSError:
        return [Path(path).name, None, None]
    return [Path(path).name, stat.st_size, stat.st_mtime_ns]
