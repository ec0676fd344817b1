"""From a table with lazy tensors to an archive on disk, in steps that a rerun can skip."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from entense.archive import folder as folders
from entense.archive.assign import Planned, assign, inputs_of
from entense.archive.checksum import block_rows
from entense.archive.failures import FailedRecordsError, without_folders
from entense.archive.finish import finish, identity_of
from entense.archive.folder import Begun, Options, Receipt
from entense.archive.formats import formats
from entense.archive.job import prepare
from entense.archive.read import Archive, open_archive
from entense.archive.schema import coords_digest, mask_digest, tr_of
from entense.archive.shard import Shard, make_folder
from entense.archive.table import check_free
from entense.errors import ArchiveError
from entense.progress import progress
from entense.sizes import bytes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from entense.archive.formats import Format
    from entense.archive.formats.base import Framed
    from entense.archive.job import Job
    from entense.execute.serial import Outcome
    from entense.ops.core import Spec

ON_ERROR = ("raise", "skip")
COUNTS = ("constant", "nonfinite", "absent", "freedom", "coverage")


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
    without: Sequence[str] = (),
    fusion: str = "greedy",
    overwrite: bool = False,
) -> Archive:
    """Compute every lazy tensor of a table and write an archive.

    A write that was interrupted, by whatever, is finished by calling it again: shards that are
    good are kept. The same table, inputs, versions and kind of machine give the same bytes. A
    table that has gained records adds them; one that has lost any is refused.

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
        ``"skip"``: finish the archive without them; `Archive.records` has their errors, and a
        rerun tries again those whose files have changed.
    memory
        About how much memory the computation may take: ``"4GB"`` or a number of bytes. A record
        that would take more is read in parts; the bytes are the same.
    without, fusion
        Rules to leave out, and how steps are fused; see `explain`.
    overwrite
        Replace the archive that is there, whatever it is and whatever made it. Nothing else in
        the folder is touched.

    Returns
    -------
    Archive

    Raises
    ------
    TableError
        When the table has no record or no lazy tensor.
    RecipeError
        When a record cannot be computed within `memory`, however it is cut, before any is.
    ArchiveError
        When the folder holds something else or another archive, another process is writing there,
        a column cannot go into a sample, or the disk is full. When records failed, its attribute
        `failures` has the reasons by record id.

    Examples
    --------
    >>> import polars as pl
    >>> write(pl.DataFrame({"record": ["a"]}), "out")
    Traceback (most recent call last):
    entense.errors.TableError: the table has no lazy tensor to compute; add one with transform
    """
    budget = None if memory is None else bytes_of(memory, "memory")
    target = Path(path)
    asked = Options(format, columns, shard_size, dtype or {}, on_error, without, fusion)
    work = plan_archive(frame, target, asked)
    with folders.locked(target):
        folders.begin(target, work.begun, overwrite=overwrite)
        work.complete(budget)
    archive = open_archive(target)
    _say_noise(archive)
    return archive


@dataclass(frozen=True)
class Work:
    """An archive to write: what it is, its shards, and what writes them."""

    begun: Begun
    shards: Sequence[Planned]
    writer: Writer

    def complete(self, memory: int | None) -> None:
        """Write what is not there yet, or not good; the folder is locked."""
        receipts = _receipts(self.writer, self.shards, memory)
        finish(self.writer.job, self.begun.identity, self.shards, receipts, self.writer.folder)


def plan_archive(frame: pl.DataFrame | pl.LazyFrame, folder: Path, asked: Options) -> Work:
    """Decide all that can be decided without a voxel; see `write`."""
    from entense.plan.fuse import how_of

    skip = asked.on_error == "skip"
    if asked.on_error not in ON_ERROR:
        raise ArchiveError(f'on_error={asked.on_error!r} is neither "raise" nor "skip"; use one')
    fmt, size = formats[asked.format], bytes_of(asked.shard_size, "shard_size")
    folders.claim(folder)
    job = prepare(frame, asked.columns, asked.dtype, how_of(asked.without, asked.fusion))
    check_free(job.table.columns, job.survey.tensors)
    if not any(job.survey.specs):
        errors = map(str, job.survey.errors)
        raise FailedRecordsError(dict(zip(job.ids, errors, strict=True)), len(job.ids))
    identity, shards = identity_of(job, fmt), assign(job, fmt, size)
    begun = Begun(identity, job.ids, [shard.path for shard in shards], asked.plain())
    return Work(begun, shards, Writer(job, fmt, folder, skip=skip))


def _say_noise(archive: Archive) -> None:
    from entense.plan.host import FEW, warn_of_noise

    for name in archive.schema:
        few = archive.records.filter(pl.col(name).struct.field("freedom") <= FEW)["record"]
        warn_of_noise(name, few.to_list(), len(archive))


def _receipts(writer: Writer, shards: Sequence[Planned], memory: int | None) -> list[Receipt]:
    """Return the receipt of each shard, writing those that are not there yet or not good.

    Raises
    ------
    FailedRecordsError
        When records failed that may not be skipped, or all.
    """
    checked = progress(shards, what="check", unit="shards", total=len(shards))
    known = {shard.path: writer.good(shard) for shard in checked}
    missing = [shard for shard in shards if known[shard.path] is None]
    folders.discard(writer.folder, [shard.path for shard in missing])
    known.update((receipt.path, receipt) for receipt in _written(writer, missing, memory))
    receipts = [receipt for receipt in known.values() if receipt is not None]
    failures = writer.failures(shards, receipts)
    if failures and (not writer.skip or len(failures) == len(writer.job.ids)):
        raise FailedRecordsError(failures, len(writer.job.ids))
    return receipts


def _written(writer: Writer, shards: Sequence[Planned], memory: int | None) -> Iterator[Receipt]:
    """Write shards and yield their receipts."""
    from entense.execute.serial import run

    survey = writer.job.survey
    rows = [row for shard in shards for row in shard.rows if survey.specs[row] is not None]
    computed = cast("Generator[Outcome]", run(survey, rows, memory=memory))
    kept = sum(specs is not None for specs in survey.specs) - len(rows)
    total = kept + len(rows)
    outcomes = progress(computed, what="write", unit="records", total=total, done=kept)
    # one thread waits for the disk, while the next shard is decoded, computed and appended
    with closing(computed), ThreadPoolExecutor(1) as disk:
        last = disk.submit(lambda: None)
        for shard in shards:
            receipt, finish = writer.append(shard, outcomes)
            before, last = last, disk.submit(finish)
            before.result()
            yield receipt
        last.result()


class Writer:
    """What all shards of an archive are written with."""

    def __init__(self, job: Job, fmt: Format, folder: Path, *, skip: bool) -> None:
        self.job, self.format, self.folder, self.skip = job, fmt, folder, skip
        self._inputs = inputs_of(job.survey)  # as they are before any voxel is read
        self.written: list[str] = []  # the shards that were not good
        self._errors: dict[int, str] = {}  # with whole paths, which archives must not have

    def good(self, shard: Planned) -> Receipt | None:
        """Return the receipt of a shard if it, the inputs and the bytes on the disk agree."""
        receipt = folders.kept(self.folder, shard.path)
        if receipt is None or not self.fits(receipt, shard):
            return None
        if any(receipt.errors) and not self.skip:
            return None
        lost = any(receipt.tensors) and not folders.is_whole(self.folder, receipt)
        return None if lost else receipt

    def fits(self, receipt: Receipt, shard: Planned) -> bool:
        """Whether a receipt is of a shard made of what the table and the inputs are now."""
        return receipt.digest == shard.digest and receipt.inputs == self._inputs_of(shard)

    def append(
        self, shard: Planned, outcomes: Iterator[Outcome]
    ) -> tuple[Receipt, Callable[[], None]]:
        """Write a shard's records; return its receipt, and what makes both last."""
        tensors: list[dict[str, Any] | None] = []
        self.written.append(shard.path)
        make_folder((self.folder / shard.path).parent)
        file = Shard(self.folder / shard.path)
        try:
            tensors.extend(self._append(row, file, outcomes) for row in shard.rows)
            file.append([self.format.trailer])
        except BaseException:  # Ctrl-C too: half a shard is of no use
            file.abandon()
            raise
        errors, inputs = [self._short(row) for row in shard.rows], self._inputs_of(shard)
        receipt = Receipt(
            shard.path, file.bytes, file.crc32c, shard.digest, inputs, tensors, errors
        )
        return receipt, partial(self._finish, file, receipt)

    def failures(self, shards: Sequence[Planned], receipts: Sequence[Receipt]) -> dict[str, str]:
        """Return record id to error, of every record that failed, now or in a run before."""
        return {
            self.job.ids[row]: self._errors.get(row, error)
            for shard, receipt in zip(shards, receipts, strict=True)
            for row, error in zip(shard.rows, receipt.errors, strict=True)
            if error
        }

    def _append(self, row: int, file: Shard, outcomes: Iterator[Outcome]) -> dict[str, Any] | None:
        """Append a record to its shard; return where its tensors lie, None where it failed."""
        specs = self.job.survey.specs[row]
        if specs is None:
            self._errors[row] = self.job.survey.errors[row] or "it could not be surveyed"
            return None
        outcome = next(outcomes)
        if outcome.arrays is None:
            self._errors[row] = outcome.error or "it could not be computed"
            return None
        arrays = {name: outcome.arrays[name] for name in self.job.survey.tensors}
        framed = self.format.frame(self.job.ids[row], arrays, self.job.values(row))
        begin = file.bytes
        file.append(framed.buffers)
        file.start_writeback(begin)
        return {
            name: _placement(framed, name, specs[name], begin)
            | {count: outcome.counts.get(name, {}).get(count) for count in COUNTS}
            for name in arrays
        }

    def _finish(self, file: Shard, receipt: Receipt) -> None:
        """Make a shard last, then say so in its receipt; leave none that may not be there."""
        may_be = self.skip or not any(receipt.errors)
        if may_be and any(receipt.tensors):
            file.finish()
        file.abandon()
        if may_be:
            folders.keep(self.folder, receipt)

    def _inputs_of(self, shard: Planned) -> list[dict[str, Any]]:
        return [self._inputs[row] for row in shard.rows]

    def _short(self, row: int) -> str | None:
        error = self._errors.get(row)
        return error and without_folders(error, self.job.survey.inputs[row].values())


def _placement(framed: Framed, name: str, spec: Spec, begin: int) -> dict[str, Any]:
    data = framed.data[name]
    return {
        "offset": begin + framed.offsets[name],
        "size": len(data),
        "shape": spec.shape,
        "frames_per_block": block_rows(spec.shape, len(data)),
        "crc32c": data.blocks.tobytes().hex(),
        "mask": mask_digest(spec),
        "coords": coords_digest(spec.coords),
        "tr": tr_of(spec),
    }
