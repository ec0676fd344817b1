"""What is written when all shards are there: masks, records.parquet, and last entense.json."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from crc32c import crc32c

from entense.archive import manifest as names
from entense.archive.assign import coords_digest, mask_digest
from entense.archive.folder import remove_masks
from entense.archive.manifest import File, Manifest, MaskFile, ShardFile, TensorInfo, made_by
from entense.archive.shard import save
from entense.archive.table import records_table, to_parquet
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from entense.archive.assign import Job, Planned
    from entense.archive.folder import Receipt
    from entense.geometry import Mask
    from entense.plan.survey import Spec

T = TypeVar("T")


def identity_of(job: Job) -> dict[str, Any]:
    """Return what must not change within one archive, as JSON gives it back."""
    identity = {
        "format": job.format.name,
        "recipes": dict(job.survey.recipes),
        "tensors": {name: _kind(job, name) for name in job.survey.tensors},
        "columns": _columns(job),
        "made_by": made_by(),
    }
    return dict(json.loads(json.dumps(identity)))


def _kind(job: Job, name: str) -> list[Any]:
    """Return dtype and dims of a tensor, which all records must share."""
    kinds = sorted({(spec[name].dtype, spec[name].dims) for spec in job.survey.specs if spec})
    if len(kinds) > 1:
        raise ArchiveError(
            f"the records differ in the dtype of {name!r} ({kinds[0][0]}, {kinds[1][0]}); "
            f'give one to write: dtype={{"{name}": "{kinds[0][0]}"}}'
        )
    return list(kinds[0])


def finish(job: Job, shards: Sequence[Planned], receipts: Sequence[Receipt], folder: Path) -> None:
    """Write masks, records.parquet and the manifest, unless they are there as they should be."""
    written = [pair for pair in zip(shards, receipts, strict=True) if any(pair[1].tensors)]
    masks = _save_masks(folder, job)
    records = to_parquet(_records(job, shards, receipts, [shard for shard, _ in written]))
    manifest = _manifest(job, written, masks, records).to_json()
    if _holds(folder / names.RECORDS, records) and _holds(folder / names.NAME, manifest):
        return
    (folder / names.NAME).unlink(missing_ok=True)
    remove_masks(folder, {mask.path for mask in masks.values()})
    save(folder / names.RECORDS, records)
    save(folder / names.NAME, manifest)


def _records(
    job: Job, shards: Sequence[Planned], receipts: Sequence[Receipt], written: Sequence[Planned]
) -> pl.DataFrame:
    count = len(job.ids)
    tensors: dict[str, list[Any]] = {name: [None] * count for name in job.survey.tensors}
    places: list[int | None] = [None] * count
    errors: list[str | None] = [None] * count
    number = {shard.path: place for place, shard in enumerate(written)}
    for shard, receipt in zip(shards, receipts, strict=True):
        for row, found, error in zip(shard.rows, receipt.tensors, receipt.errors, strict=True):
            errors[row] = error
            places[row] = number[shard.path] if found else None
            for name, placement in (found or {}).items():
                tensors[name][row] = placement
    return records_table(job.table, job.splits, places, tensors, errors)


def _manifest(
    job: Job,
    written: Sequence[tuple[Planned, Receipt]],
    masks: dict[str, MaskFile],
    records: bytes,
) -> Manifest:
    known = [specs for row in _rows(written) if (specs := job.survey.specs[row])]
    shards = [
        ShardFile(r.path, r.bytes, r.crc32c, shard.split, sum(map(bool, r.tensors)))
        for shard, r in written
    ]
    return Manifest(
        format=job.format.name,
        recipes=dict(job.survey.recipes),
        tensors={name: _info([s[name] for s in known]) for name in job.survey.tensors},
        columns=_columns(job),
        splits={
            split: sum(shard.records for shard in shards if shard.split == split)
            for split in dict.fromkeys(job.splits)
        },
        shards=shards,
        masks=masks,
        coords=_coords(spec for specs in known for spec in specs.values()),
        records=File(names.RECORDS, len(records), crc32c(records)),
        failures=len(job.ids) - len(known),
        made_by=made_by(),
    )


def _rows(written: Iterable[tuple[Planned, Receipt]]) -> list[int]:
    """Return the rows of the records that are in a shard, ascending."""
    return sorted(
        row
        for shard, receipt in written
        for row, found in zip(shard.rows, receipt.tensors, strict=True)
        if found
    )


def _info(specs: Sequence[Spec]) -> TensorInfo:
    return TensorInfo(
        dtype=specs[0].dtype,
        dims=specs[0].dims,
        shape=tuple(_shared(sizes) for sizes in zip(*(s.shape for s in specs), strict=True)),
        coords=_shared(map(coords_digest, specs)),
        mask=_shared(map(mask_digest, specs)),
        tr=_shared(spec.tr for spec in specs),
    )


def _shared(values: Iterable[T]) -> T | None:
    """Return what all values are, or None where they differ."""
    different = set(values)
    return different.pop() if len(different) == 1 else None


def _coords(specs: Iterable[Spec]) -> dict[str, dict[str, list[int | str]]]:
    found = {coords_digest(spec): spec.coords for spec in specs}
    return {
        digest: {dim: list(labels) for dim, labels in found[digest].items()}
        for digest in sorted(filter(None, found))
    }


def _columns(job: Job) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in job.scalars.schema.items()}


def _save_masks(folder: Path, job: Job) -> dict[str, MaskFile]:
    """Write each mask once, however many tensors have it."""
    masks = {
        spec.mask.digest: spec.mask
        for specs in job.survey.specs
        for spec in (specs or {}).values()
        if spec.mask
    }
    return {digest: _save_mask(folder, masks[digest]) for digest in sorted(masks)}


def _save_mask(folder: Path, mask: Mask) -> MaskFile:
    from entense.geometry import write_mask

    path = f"{names.MASKS}/{mask.digest}.nii.gz"
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "mask.nii.gz"
        write_mask(mask, image)
        content = image.read_bytes()
    if not _holds(folder / path, content):
        save(folder / path, content)
    return MaskFile(path, len(content), crc32c(content), mask.voxels)


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file is there with exactly this content."""
    return path.exists() and path.read_bytes() == content
