"""What is written when all shards are there: masks, records.parquet, and last entense.json."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from awscrt.checksums import crc32c

from entense.archive import manifest as names
from entense.archive.describe import describe
from entense.archive.folder import keep_masks, kept_masks, remove_masks, save_beside
from entense.archive.formats import formats
from entense.archive.manifest import MaskFile, made_by, sealed
from entense.archive.schema import common, coords_digest, scale_of
from entense.archive.table import check_bounded, records_table, to_parquet, written_table
from entense.errors import ArchiveError
from entense.ops.core import ops
from entense.progress import progress
from entense.tensors.graph import from_json, walk
from entense.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

    from entense.archive.assign import Planned
    from entense.archive.folder import Receipt
    from entense.archive.home import Home
    from entense.archive.job import Job
    from entense.archive.manifest import Series
    from entense.archive.sharding import Sharding
    from entense.geometry import Columns
    from entense.ops.core import Spec


def identity_of(job: Job, series: Sequence[Series], sharding: Sharding) -> dict[str, Any]:
    """Return what must not change within one archive, as JSON gives it back."""
    identity = {
        "series": [vars(one) for one in series],
        "sharding": sharding.said,
        "recipes": dict(job.survey.recipes),
        "tensors": {name: _kind(job, name) for name in job.survey.tensors},
        "columns": {name: str(dtype) for name, dtype in job.scalars.schema.items()},
        "code": {
            **digests_of_code(job, series),
            f"sharding {sharding.scheme}": sharding.digest,
        },
        "made_by": made_by(),
    }
    return dict(json.loads(json.dumps(identity)))


def digests_of_code(job: Job, series: Sequence[Series]) -> dict[str, str]:
    """Return digests of the code that decides the bytes of shards."""
    used = dict.fromkeys(one.format for one in series)
    return {
        **{name: ops[name].digest for name in ops_of(job)},
        **{f"format {name}": formats[name].digest for name in used},
        "plan": job.survey.how.said,
        "entense": _entense(),
    }


def finish(
    job: Job,
    identity: Mapping[str, Any],
    parts: Sequence[Planned],
    receipts: Sequence[Receipt],
    home: Home,
    *,
    indexes: Mapping[str, bytes],
) -> pl.DataFrame:
    """Write what lies beside the shards, the manifest last, unless it is there as it should be.

    Returns the table of records.
    """
    masks = _save_masks(home, job)
    table = records_table(job.table, written_table(job.survey.tensors, parts, receipts))
    records = to_parquet(table)
    check_bounded(records, len(table))
    body = _manifest(job, parts, receipts, records) | {
        **{name: value for name, value in identity.items() if name != "tensors"},
        "shards": [vars(file) for receipt in receipts for file in receipt.files],
        "masks": {digest: vars(mask) for digest, mask in masks.items()},
    }
    beside = {**describe(body, table, records), **indexes}
    files = [vars(names.File(path, len(it), crc32c(it))) for path, it in beside.items()]
    text = sealed(body | {"beside": files})
    if home.read(names.NAME) != text:
        home.remove(names.NAME)
    remove_masks(home, masks)
    home.save(names.RECORDS, records)
    save_beside(home, beside)
    _check_there(home, body["shards"])
    home.save(names.NAME, text)
    return table


def _check_there(home: Home, shards: Sequence[Mapping[str, Any]]) -> None:
    """Raise where shards have gone: a disk that was unmounted leaves an empty folder behind."""
    if lost := home.lost([shard["path"] for shard in shards]):
        raise ArchiveError(
            f"{len(lost)} finished shards have gone from {home}, such as {lost[0]}; see that "
            "its disk is there and nobody else writes to it, and write again"
        )


@lru_cache(maxsize=1)
def _entense() -> str:
    """Return a digest of all that computes and lays out: no code is all that it calls."""
    rooms = ("execute", "geometry", "images", "ops", "plan", "records/tables", "archive/formats")
    home = Path(__file__).parents[1]
    files = [file for room in rooms for file in home.glob(f"{room}/**/*.py")]
    files += [home / "archive/checksum.py", home / "buffers.py"]
    code = b"".join(file.read_bytes() for file in sorted(files))
    return hashlib.sha256(code).hexdigest()[:16]


def ops_of(job: Job) -> list[str]:
    """Return the operations that the recipes name."""
    nodes = [node for text in job.survey.recipes.values() for node in walk(from_json(text))]
    return sorted({node.op for node in nodes} - {"slot"})


def _kind(job: Job, name: str) -> list[Any]:
    """Return dtype, dims and scale of a tensor, which all records must share."""
    specs = [found[name] for found in job.survey.specs]
    dims, dtypes = sorted({spec.dims for spec in specs}), sorted({spec.dtype for spec in specs})
    if len(dims) > 1:
        raise ArchiveError(
            f"the records differ in the dimensions of {name!r} ({dims[0]}, {dims[1]}); "
            "write them to different archives"
        )
    if len(dtypes) > 1:
        raise ArchiveError(
            f"the records differ in the dtype of {name!r} ({dtypes[0]}, {dtypes[1]}); "
            f'give one to write: dtype={{"{name}": "{dtypes[0]}"}}'
        )
    return [dtypes[0], dims[0], scale_of(specs)]


def _manifest(
    job: Job, parts: Sequence[Planned], receipts: Sequence[Receipt], records: bytes
) -> dict[str, Any]:
    """Return what the manifest says of the records."""
    counts: Counter[str] = Counter()
    found: dict[int, Mapping[str, Spec]] = {}  # once where records are alike
    for part, receipt in zip(parts, receipts, strict=True):
        known = [job.survey.rows[row].specs for row in part.rows]
        there = [s for s, error in zip(known, receipt.errors, strict=True) if s and not error]
        counts[part.split] += len(there)
        found.update((id(specs), specs) for specs in there)
    specs = [*found.values()]
    return {
        "version": names.VERSION,
        "tensors": {name: _tensor([s[name] for s in specs]) for name in job.survey.tensors},
        "coords": _coords(spec for one in specs for spec in one.values()),
        "splits": dict(counts),
        "records": vars(names.File(names.RECORDS, len(records), crc32c(records))),
        "failures": len(job.ids) - counts.total(),
    }


def _tensor(specs: Sequence[Spec]) -> dict[str, Any]:
    tensor = common(specs)
    coords = coords_digest(tensor.coords)
    return {**vars(tensor), "dtype": tensor.dtype.name, "coords": coords}


def _coords(specs: Iterable[Spec]) -> dict[str, Any]:
    found = {coords_digest(spec.coords): spec.coords for spec in specs}
    return {digest: found[digest] for digest in sorted(filter(None, found))}


def _save_masks(home: Home, job: Job) -> dict[str, MaskFile]:
    """Write each mask that is not there yet, once, however many tensors have it."""
    specs = [spec for found in job.survey.specs for spec in found.values()]
    masks = {spec.mask.digest: spec.mask for spec in specs if spec.mask}
    known, digests = kept_masks(home), sorted(masks)

    def saved(digest: str) -> MaskFile:
        file = known.get(digest)
        return file if file and home.is_whole(file) else _save_mask(home, masks[digest])

    files = in_threads(saved, digests, home.at_once)
    files = progress(files, what="masks", unit="masks", total=len(digests))
    found = dict(zip(digests, files, strict=True))
    keep_masks(home, found)
    return found


def _save_mask(home: Home, mask: Columns) -> MaskFile:
    path, content = f"{names.MASKS}/{mask.digest}{mask.extension}", mask.to_bytes()
    home.save(path, content)
    return MaskFile(path, len(content), crc32c(content), mask.size)
