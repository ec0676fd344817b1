"""The shards of an archive are written, but for those that are there and good."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from entense.archive import folder as folders
from entense.archive.assign import Planned, changed_since, hashed, inputs_of
from entense.archive.failures import FailedRecordsError, without_folders
from entense.archive.folder import Receipt
from entense.archive.part import Part
from entense.archive.series import shared_by
from entense.archive.store import is_whole
from entense.errors import ArchiveError
from entense.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from entense.archive.job import Job
    from entense.archive.manifest import Series, ShardFile
    from entense.execute.serial import Outcome

COUNTS = ("constant", "nonfinite", "absent", "freedom", "coverage")


def write_parts(writer: Writer, parts: Sequence[Planned], memory: int | None) -> list[Receipt]:
    """Return the receipt of each part, writing those that are not there yet or not good.

    Raises
    ------
    FailedRecordsError
        When records failed that may not be skipped, or all.
    """
    checked = progress(parts, what="check", unit="shards", total=len(parts))
    known = {part.name: writer.good(part) for part in checked}
    missing = [part for part in parts if known[part.name] is None]
    if writer.due is None:  # else each takes the place of what is there once it is right
        folders.discard(writer.folder, {part.name: part.files for part in missing})
    known.update((receipt.name, receipt) for receipt in _written(writer, missing, memory))
    receipts = [receipt for receipt in known.values() if receipt is not None]
    failures = writer.failures(parts, receipts)
    if failures and (not writer.skip or len(failures) == len(writer.job.ids)):
        raise FailedRecordsError(failures, len(writer.job.ids))
    return receipts


def _written(writer: Writer, parts: Sequence[Planned], memory: int | None) -> Iterator[Receipt]:
    """Write parts and yield their receipts."""
    from entense.execute.serial import run

    survey = writer.job.survey
    rows = [row for part in parts for row in part.rows if survey.specs[row] is not None]
    computed = cast("Generator[Outcome]", run(survey, rows, memory=memory))
    kept = sum(specs is not None for specs in survey.specs) - len(rows)
    total = kept + len(rows)
    outcomes = progress(computed, what="write", unit="records", total=total, done=kept)
    # one thread waits for the disk, while the next shard is decoded, computed and appended
    with closing(computed), ThreadPoolExecutor(1) as disk:
        last = disk.submit(lambda: None)
        for part in parts:
            receipt, finish = writer.append(part, outcomes)
            before, last = last, disk.submit(finish)
            before.result()
            yield receipt
        last.result()


class Writer:
    """What all shards of an archive are written with."""

    def __init__(
        self,
        job: Job,
        series: Sequence[Series],
        folder: Path,
        *,
        skip: bool,
        hash_inputs: bool = False,
    ) -> None:
        self.job, self.series, self.folder, self.skip = job, series, folder, skip
        self._inputs = inputs_of(job.survey)  # as they are before any voxel is read
        self._noted = hashed(self._inputs, job.survey) if hash_inputs else self._inputs
        self._shared = shared_by(job)
        self.written: list[str] = []  # the shards that were not good
        self.due: Mapping[str, list[ShardFile]] | None = None  # what `repair` is to bring back
        self._errors: dict[int, str] = {}  # with whole paths, which archives must not have

    def good(self, part: Planned) -> Receipt | None:
        """Return the receipt of a part if it, the inputs and the bytes on the disk agree."""
        receipt = folders.kept(self.folder, part.name)
        if receipt is None or not self.fits(receipt, part):
            return None
        if any(receipt.errors) and not self.skip:
            return None
        whole = all(is_whole(self.folder, file) for file in receipt.files)
        return receipt if whole else None

    def fits(self, receipt: Receipt, part: Planned) -> bool:
        """Whether a receipt is of a part made of what the table and the inputs are now."""
        known = [[inputs[row] for row in part.rows] for inputs in (self._inputs, self._noted)]
        return receipt.digest == part.digest and receipt.inputs in known

    def append(
        self, planned: Planned, outcomes: Iterator[Outcome]
    ) -> tuple[Receipt, Callable[[], None]]:
        """Write a part's records; return its receipt, and what makes both last."""
        part = Part(self.folder, planned, self.series, self._shared)
        try:
            tensors = [self._append(row, part, outcomes) for row in planned.rows]
            files = part.close()
            self._check_due(planned, files)
            self.written += [file.path for file in files]
        except BaseException:  # Ctrl-C too: half a shard is of no use
            part.abandon()
            raise
        errors = [self._short(row) for row in planned.rows]
        inputs = [self._noted[row] for row in planned.rows]
        receipt = Receipt(planned.name, files, planned.digest, inputs, tensors, errors)
        return receipt, partial(self._finish, part, receipt)

    def failures(self, parts: Sequence[Planned], receipts: Sequence[Receipt]) -> dict[str, str]:
        """Return record id to error, of every record that failed, now or in a run before."""
        return {
            self.job.ids[row]: self._errors.get(row, error)
            for part, receipt in zip(parts, receipts, strict=True)
            for row, error in zip(part.rows, receipt.errors, strict=True)
            if error
        }

    def _append(self, row: int, part: Part, outcomes: Iterator[Outcome]) -> dict[str, Any] | None:
        """Append a record to its part; return where its tensors lie, None where it failed."""
        specs = self.job.survey.specs[row]
        if specs is None:
            self._errors[row] = self.job.survey.errors[row] or "it could not be surveyed"
            return None
        outcome = next(outcomes)
        changed = changed_since(self._inputs[row], self.job.survey.inputs[row])
        if outcome.arrays is None or changed:
            self._errors[row] = outcome.error or changed or "it could not be computed"
            return None
        arrays = {name: outcome.arrays[name] for name in self.job.survey.tensors}
        places = part.append(self.job.ids[row], arrays, self.job.values(row), specs)
        return {
            name: place | {count: outcome.counts.get(name, {}).get(count) for count in COUNTS}
            for name, place in places.items()
        }

    def _finish(self, part: Part, receipt: Receipt) -> None:
        """Make a part last, then say so in its receipt; leave none that may not be there."""
        may_be = self.skip or not any(receipt.errors)
        try:
            if may_be:
                part.finish()
        finally:
            part.abandon()
        if may_be:
            folders.keep(self.folder, receipt)

    def _check_due(self, planned: Planned, files: list[ShardFile]) -> None:
        """Raise where a repair would put something else in the place of what was there."""
        failed = not self.skip and any(row in self._errors for row in planned.rows)
        if self.due is not None and not failed and files != self.due.get(planned.name, []):
            raise ArchiveError(
                f"{planned.name} of {self.folder} would not be what was written: its input files "
                "have changed since, or other records of it fail now; put those back, or run "
                "write, which computes such shards anew"
            )

    def _short(self, row: int) -> str | None:
        error = self._errors.get(row)
        return error and without_folders(error, self.job.survey.inputs[row].values())
