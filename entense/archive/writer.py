"""The shards of an archive are written, but for those that are there and good."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from entense.archive import folder as folders
from entense.archive.failures import FailedRecordsError, without_folders
from entense.archive.folder import Receipt
from entense.archive.inputs import AT_ONCE, Inputs
from entense.archive.part import Part
from entense.errors import ArchiveError
from entense.index.fetch import forget
from entense.progress import progress
from entense.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from entense.archive.assign import Planned
    from entense.archive.formats.foreign import Shared
    from entense.archive.home import Home
    from entense.archive.job import Job
    from entense.archive.manifest import Series, ShardFile
    from entense.execute.serial import Outcome

COUNTS = ("constant", "nonfinite", "absent", "freedom", "coverage")


Execute: TypeAlias = "Callable[[Writer, Sequence[Planned]], Iterator[Receipt]]"
"""What writes parts: here, or elsewhere."""


def write_parts(writer: Writer, parts: Sequence[Planned], execute: Execute) -> list[Receipt]:
    """Return the receipt of each part, writing those that are not there yet or not good.

    Raises
    ------
    FailedRecordsError
        When records failed that may not be skipped, or all.
    """
    known = writer.checked(parts)
    missing = [part for part in parts if known[part.name] is None]
    if writer.due is None:  # else each takes the place of what is there once it is right
        folders.discard(writer.home, {part.name: part.files for part in missing})
    if missing:
        known.update((receipt.name, receipt) for receipt in execute(writer, missing))
    receipts = [receipt for receipt in known.values() if receipt is not None]
    failures = writer.failures(parts, receipts)
    if failures and (not writer.skip or len(failures) == len(writer.job.ids)):
        raise FailedRecordsError(failures, len(writer.job.ids))
    return receipts


def serial(writer: Writer, parts: Sequence[Planned], *, memory: int | None) -> Iterator[Receipt]:
    """Write parts in this process and yield their receipts."""
    from entense.execute.serial import run

    survey = writer.job.survey
    rows = writer.computed(parts)
    computed = cast("Generator[Outcome]", run(survey, rows, memory=memory))
    total = sum(row.specs is not None for row in survey.rows)
    outcomes = progress(computed, what="write", unit="records", total=total, done=total - len(rows))
    with closing(computed):
        yield from written(writer, parts, outcomes)


def written(
    writer: Writer, parts: Sequence[Planned], outcomes: Iterator[Outcome]
) -> Iterator[Receipt]:
    """Write parts of what is computed, and yield their receipts once they last."""
    # one thread waits for the disk, while the next shard is decoded, computed and appended
    with ThreadPoolExecutor(1) as disk:
        on_its_way: deque[tuple[Receipt, Future[None]]] = deque()
        for part in [*parts, None]:
            if part is not None:
                receipt, finish = writer.append(part, outcomes)
                on_its_way.append((receipt, disk.submit(finish)))
            while len(on_its_way) > (part is not None):
                receipt, finished = on_its_way.popleft()
                finished.result()
                yield receipt.placed


class Writer:
    """What all shards of an archive are written with."""

    def __init__(
        self,
        job: Job,
        series: Sequence[Series],
        home: Home,
        *,
        skip: bool,
        shared: Shared,
        hash_inputs: bool = False,
    ) -> None:
        self.job, self.series, self.home, self.skip = job, series, home, skip
        self.shared = shared
        self.inputs = Inputs(job.survey.rows, job.survey.versions)
        self._noted = self.inputs.hashed() if hash_inputs else self.inputs
        self.written: list[str] = []  # the shards that were not good
        self.due: Mapping[str, list[ShardFile]] | None = None  # what `repair` is to bring back
        self.errors: dict[int, str] = {}  # by row, with whole paths, which archives must not have

    def checked(self, parts: Sequence[Planned]) -> dict[str, Receipt | None]:
        """Return the receipt of each part that is good, by name; several are read at once."""
        found = in_threads(self.good, parts, AT_ONCE)
        shown = progress(found, what="check", unit="shards", total=len(parts))
        return dict(zip((part.name for part in parts), shown, strict=True))

    def good(self, part: Planned) -> Receipt | None:
        """Return the receipt of a part if it, the inputs and the bytes there agree."""
        receipt = folders.kept(self.home, part.name)
        if receipt is None or not self.fits(receipt, part):
            return None
        if any(receipt.errors) and not self.skip:
            return None
        said = receipt.said
        whole = all(self.home.is_whole(file, said.get(file.path)) for file in receipt.files)
        return receipt.placed if whole else None

    def fits(self, receipt: Receipt, part: Planned) -> bool:
        """Whether a receipt is of a part made of what the table and the inputs are now."""
        if receipt.digest != part.digest:
            return False
        either = (self.inputs, self._noted)
        return any([*map(one.said, part.rows)] == receipt.inputs for one in either)

    def computed(self, parts: Sequence[Planned]) -> list[int]:
        """Return the rows of parts that are computed, in the order in which they are due."""
        known = self.job.survey.rows
        return [row for part in parts for row in part.rows if known[row].specs is not None]

    def hear(self, part: Planned, errors: Sequence[str | None]) -> None:
        """Take in what went wrong with the records of a part in another process."""
        self.errors.update((row, e) for row, e in zip(part.rows, errors, strict=True) if e)

    def append(
        self, planned: Planned, outcomes: Iterator[Outcome]
    ) -> tuple[Receipt, Callable[[], None]]:
        """Write a part's records; return its receipt, and what makes both last."""
        part = Part(self.home, planned, self.series, self.shared)
        try:
            tensors = [self._append(row, part, outcomes) for row in planned.rows]
            files = part.close()
            self._check_due(planned, files)
            self.written += [file.path for file in files]
        except BaseException:  # Ctrl-C too: half a shard is of no use
            part.abandon()
            raise
        errors = [self._short(row) for row in planned.rows]
        inputs = [self._noted.said(row) for row in planned.rows]
        receipt = Receipt(planned.name, files, planned.digest, inputs, tensors, errors)
        return receipt, partial(self._finish, part, receipt)

    def failures(self, parts: Sequence[Planned], receipts: Sequence[Receipt]) -> dict[str, str]:
        """Return record id to error, of every record that failed, now or in a run before."""
        return {
            self.job.ids[row]: self.errors.get(row, error)
            for part, receipt in zip(parts, receipts, strict=True)
            for row, error in zip(part.rows, receipt.errors, strict=True)
            if error
        }

    def _append(self, row: int, part: Part, outcomes: Iterator[Outcome]) -> dict[str, Any] | None:
        """Append a record to its part; return where its tensors lie, None where it failed."""
        known = self.job.survey.rows[row]
        if known.specs is None:
            self.errors[row] = known.error or "it could not be surveyed"
            return None
        outcome = next(outcomes)
        if outcome.error:
            forget()  # what a store has said: it may be away since, which is no record's fault
        changed = self.inputs.changed(known.bound.paths)
        if outcome.arrays is None or changed:
            self.errors[row] = outcome.error or changed or "it could not be computed"
            return None
        arrays = {name: outcome.arrays[name] for name in self.job.survey.tensors}
        places = part.append(self.job.ids[row], arrays, self.job.values(row), known.specs)
        return {
            name: place | {count: outcome.counts.get(name, {}).get(count) for count in COUNTS}
            for name, place in places.items()
        }

    def _finish(self, part: Part, receipt: Receipt) -> None:
        """Make a part last, then say so in its receipt; leave none that may not be there."""
        may_be = self.skip or not any(receipt.errors)
        try:
            said = part.finish() if may_be else {}
        finally:
            part.abandon()
        if may_be:
            folders.keep(self.home, replace(receipt, said=said))

    def _check_due(self, planned: Planned, files: list[ShardFile]) -> None:
        """Raise where a repair would put something else in the place of what was there."""
        failed = not self.skip and any(row in self.errors for row in planned.rows)
        if self.due is not None and not failed and files != self.due.get(planned.name, []):
            raise ArchiveError(
                f"{planned.name} of {self.home} would not be what was written: its input files "
                "have changed since, or other records of it fail now; put those back, or run "
                "write, which computes such shards anew"
            )

    def _short(self, row: int) -> str | None:
        error = self.errors.get(row)
        return error and without_folders(error, self.job.survey.rows[row].bound.paths)
