"""From a table with lazy tensors to an archive on disk, in steps that a rerun can skip."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from entense.archive import folder as folders
from entense.archive.assign import (
    Job,
    Planned,
    assign,
    bytes_of,
    coords_digest,
    inputs_of,
    mask_digest,
    numbers_of,
    scalars_of,
    splits_of,
)
from entense.archive.checksum import block_rows
from entense.archive.finish import finish, identity_of
from entense.archive.folder import Receipt
from entense.archive.formats import formats
from entense.archive.read import Archive, open_archive
from entense.archive.shard import Shard
from entense.archive.table import check_names, without_folders
from entense.errors import ArchiveError
from entense.progress import progress

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from entense.archive.formats import Framed
    from entense.execute.serial import Outcome
    from entense.plan.survey import Spec

ON_ERROR = ("raise", "skip")


def write(
    frame: pl.DataFrame | pl.LazyFrame,
    path: str | Path,
    *,
    format: str = "webdataset",
    columns: Sequence[str] = (),
    shard_size: str | int = "512MB",
    dtype: Mapping[str, str] | None = None,
    on_error: str = "raise",
    memory: str | int | None = None,
    overwrite: bool = False,
) -> Archive:
    """Compute every lazy tensor of a table and write an archive.

    A write that was interrupted, by whatever, is finished by calling it again: shards that are
    good are kept. The same table, inputs and versions give the same bytes.

    Parameters
    ----------
    frame
        A record table with lazy tensor columns; a column `split` parts it into splits.
    path
        The folder: absent, empty, or holding this archive, finished or not.
    format
        ``"webdataset"`` (tar), ``"tfrecord"``, or a registered format.
    columns
        Numbers, booleans and strings of the table that go into the samples themselves.
    shard_size
        About how large a shard is: ``"512MB"`` or a number of bytes.
    dtype
        Tensor to the dtype that it is stored in: ``{"clean": "float16"}``.
    on_error
        ``"raise"``: when all else is done, raise one error that lists the records that failed.
        ``"skip"``: finish the archive without them; `Archive.records` has their errors.
    memory
        About how much memory the computation may take: ``"4GB"`` or a number of bytes.
    overwrite
        Replace the archive that is there. Nothing else in the folder is touched.

    Returns
    -------
    Archive

    Raises
    ------
    ArchiveError
        When the folder holds something else or another archive, a column cannot go into a
        sample, the disk is full, or a record failed.

    Examples
    --------
    >>> write(pl.DataFrame({"record": ["a"]}), "out")
    Traceback (most recent call last):
    entense.errors.ArchiveError: the table has no lazy tensor to write; add one with transform
    """
    if on_error not in ON_ERROR:
        raise ArchiveError(f'on_error={on_error!r} is neither "raise" nor "skip"; use one of them')
    target = Path(path)
    folders.claim(target)
    size = bytes_of(shard_size, "shard_size")
    budget = None if memory is None else bytes_of(memory, "memory")
    job = _job(frame, format, columns, dtype or {})
    identity = identity_of(job)
    shards = assign(job, size)
    folders.begin(target, identity, [shard.path for shard in shards], overwrite=overwrite)
    receipts = _receipts(job, shards, target, memory=budget, skip=on_error == "skip")
    _raise_failures(job, shards, receipts, skip=on_error == "skip")
    finish(job, shards, receipts, target)
    return open_archive(target)


def _job(
    frame: pl.DataFrame | pl.LazyFrame,
    fmt: str,
    columns: Sequence[str],
    dtype: Mapping[str, str],
) -> Job:
    """Sort the records by id and learn all that can be known without a voxel."""
    from entense.plan.survey import survey
    from entense.records.identity import with_record_id
    from entense.tensors.lazy import cells, tensor_columns

    table = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
    tensors = tensor_columns(table.schema)
    if not tensors:
        raise ArchiveError("the table has no lazy tensor to write; add one with transform")
    if not len(table):
        raise ArchiveError("the table has no records to write; look at what its filters dropped")
    check_names(table, columns)
    table = with_record_id(table).sort("record")
    plain = without_folders(table.drop(tensors))
    ids, scalars, splits = plain["record"].to_list(), scalars_of(plain, columns), splits_of(plain)
    numbers = numbers_of({name: cells(table[name]) for name in tensors})
    layout = formats[fmt]
    found = survey(table, tensors, dtype=dtype)
    if not any(found.specs):
        raise _failed(ids, found.errors)
    return Job(plain, ids, scalars, splits, numbers, found, layout)


def _receipts(
    job: Job, shards: Sequence[Planned], target: Path, *, memory: int | None, skip: bool
) -> list[Receipt]:
    """Return the receipt of each shard, writing those that are not there yet or not good."""
    from entense.execute.serial import run

    inputs = [inputs_of(job.survey, row) for row in range(len(job.ids))]
    known = {shard.path: _good(target, shard, inputs) for shard in shards}
    missing = [shard for shard in shards if known[shard.path] is None]
    folders.discard(target, [shard.path for shard in missing])
    rows = [row for shard in missing for row in shard.rows if job.survey.specs[row] is not None]
    computed = cast("Generator[Outcome]", run(job.survey, rows, memory=memory))
    counted = progress(computed, what="write", unit="record", total=len(rows))
    # one thread waits for the disk, while the next shard is decoded, computed and appended
    with closing(computed), ThreadPoolExecutor(1) as disk:
        last: Future[None] | None = None
        for shard in missing:
            file, receipt = _write_shard(job, shard, target, counted, inputs, skip=skip)
            finishing = disk.submit(_finish, file, target, receipt)
            if last is not None:
                last.result()
            last = finishing
            known[shard.path] = receipt
        if last is not None:
            last.result()
    return [receipt for receipt in known.values() if receipt is not None]


def _finish(file: Shard, target: Path, receipt: Receipt) -> None:
    """Make a shard last, then say so in its receipt."""
    try:
        file.finish()
    finally:
        file.abandon()
    if not any(receipt.errors):
        folders.keep(target, receipt)


def _good(target: Path, shard: Planned, inputs: Sequence[dict[str, Any]]) -> Receipt | None:
    """Return the receipt of a shard if it, the inputs and the bytes on the disk agree."""
    receipt = folders.kept(target, shard.path)
    if receipt is None or receipt.digest != shard.digest:
        return None
    if list(receipt.inputs) != [inputs[row] for row in shard.rows]:
        return None
    whole = folders.checksum(target / shard.path) == (receipt.bytes, receipt.crc32c)
    return receipt if whole else None


def _write_shard(
    job: Job,
    shard: Planned,
    target: Path,
    outcomes: Iterator[Outcome],
    inputs: Sequence[dict[str, Any]],
    *,
    skip: bool,
) -> tuple[Shard, Receipt]:
    """Append a shard's records; where one fails and may not be skipped, leave none but go on."""
    tensors: list[dict[str, Any] | None] = []
    errors: list[str | None] = []
    file = Shard(target / shard.path)
    try:
        for row in shard.rows:
            placement, error = _write_record(job, row, file, outcomes)
            tensors.append(placement)
            errors.append(error)
            file.wanted = file.wanted and (skip or error is None)
        file.append([job.format.trailer])
        file.wanted = file.wanted and any(tensors)
    except BaseException:  # Ctrl-C too: half a shard is of no use
        file.abandon()
        raise
    mine = [inputs[row] for row in shard.rows]
    return file, Receipt(shard.path, file.bytes, file.crc32c, shard.digest, mine, tensors, errors)


def _write_record(
    job: Job, row: int, file: Shard, outcomes: Iterator[Outcome]
) -> tuple[dict[str, Any] | None, str | None]:
    """Append a record to its shard; return where its tensors lie, or its error."""
    specs = job.survey.specs[row]
    if specs is None:
        return None, job.survey.errors[row] or "it could not be surveyed"
    outcome = next(outcomes)
    if outcome.arrays is None:
        return None, outcome.error or "it could not be computed"
    if not file.wanted:
        return None, None
    arrays = {name: outcome.arrays[name] for name in job.survey.tensors}
    framed = job.format.frame(job.ids[row], arrays, job.values(row))
    begin, counts = file.bytes, outcome.counts
    file.append(framed.buffers)
    return {
        name: _placement(framed, name, specs[name], begin) | _counts(counts.get(name, {}))
        for name in arrays
    }, None


def _placement(framed: Framed, name: str, spec: Spec, begin: int) -> dict[str, Any]:
    data = framed.data[name]
    return {
        "offset": begin + framed.offsets[name],
        "size": len(data),
        "shape": spec.shape,
        "frames_per_block": block_rows(spec.shape, len(data)),
        "crc32c": data.blocks,
        "mask": mask_digest(spec),
        "coords": coords_digest(spec),
        "tr": spec.tr,
    }


def _counts(counts: Mapping[str, int]) -> dict[str, int | None]:
    return {name: counts.get(name) for name in ("constant", "nonfinite", "absent")}


def _raise_failures(
    job: Job, shards: Sequence[Planned], receipts: Sequence[Receipt], *, skip: bool
) -> None:
    """Raise the one error that lists every record that failed, unless they may be skipped."""
    errors: list[str | None] = [None] * len(job.ids)
    for shard, receipt in zip(shards, receipts, strict=True):
        for row, error in zip(shard.rows, receipt.errors, strict=True):
            errors[row] = error
    if all(errors) or (any(errors) and not skip):
        raise _failed(job.ids, errors)


def _failed(ids: Sequence[str], errors: Sequence[str | None]) -> ArchiveError:
    lines = [f"\n  {key}: {error}" for key, error in zip(ids, errors, strict=True) if error]
    return ArchiveError(
        f"{len(lines)} of {len(ids)} records could not be computed; repair them and write again "
        '(the shards that are finished are kept), or pass on_error="skip" to leave them out:'
        + "".join(lines)
    )
