"""Parts of an archive that other processes write: on this machine, or on a cluster."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from entense.archive import folder as folders
from entense.archive import locks
from entense.archive.executors import register_executor
from entense.archive.finish import ops_of
from entense.archive.manifest import made_by
from entense.archive.shard import refusals
from entense.distribute.batch import ENTRY, Batch, Log, at
from entense.distribute.cost import cut, memory_of, seconds_of
from entense.errors import ExecutionError, RecipeError
from entense.execute.pydra import Ended, Task, draw, run_tasks
from entense.execute.room import Room
from entense.ops.core import ops
from entense.progress import Counter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from entense.archive.assign import Planned
    from entense.archive.executors import Elsewhere
    from entense.archive.folder import Receipt
    from entense.archive.job import Job
    from entense.archive.options import Options
    from entense.archive.writer import Writer

LINES = 10
DEADLY = (
    "it kills every process that computes it, often because memory runs out; look at its files, "
    'or give tasks more memory=; a rerun with on_error="raise" tries it again'
)


@dataclass(frozen=True)
class Distributed:
    """Writes parts in other processes.

    Parameters
    ----------
    asked
        What `write` was asked.
    memory
        How many bytes a task may take; None: what its records are estimated to take.
    where
        Where the processes are.
    """

    asked: Options
    memory: int | None
    where: Elsewhere

    def __call__(self, writer: Writer, parts: Sequence[Planned]) -> Iterator[Receipt]:
        """Write parts and yield their receipts.

        A record that kills its process is found by computing those that are left one by one; at
        its second death by itself it fails, and the others are written.

        Raises
        ------
        ExecutionError
            When tasks failed, were cancelled or took too long; what they have done is kept.
        """
        self._check(writer, parts)
        with _room(writer.home.making) as room:
            run = _Run(self, writer, room)
            run.wave(parts, alone=False)
            while left := [part for part in parts if part.name not in run.done]:
                run.take_back()
                run.wave(left, alone=True)
            yield from (run.done[part.name] for part in parts)

    def drawn(self, writer: Writer, parts: Sequence[Planned]) -> str:
        """Say what would be submitted; its files are put where only this user sees them."""
        self._check(writer, parts)
        run = _Run(self, writer, Path(tempfile.mkdtemp(prefix="entense-")))
        survey = writer.job.survey
        batches = cut(survey, parts, self.memory, self.where)
        tasks = [run.task(batch, alone=False) for batch in batches]
        seconds = sum(seconds_of(survey, row) for row in writer.computed(parts))
        return f"{drawn(tasks, seconds, self.where)}; the files of the tasks are in {run.room}"

    def _check(self, writer: Writer, parts: Sequence[Planned]) -> None:
        """Raise for what each task would raise."""
        writer.home.check_shared(self.where.worker)
        _check_importable(writer.job, self.where.modules)
        _check_device(self.where)
        Room(writer.job.survey, self.memory).check(writer.computed(parts))


def drawn(tasks: Sequence[Task], seconds: float, where: Elsewhere) -> str:
    """Say what would be submitted, and what it costs."""
    cost = f"COST  about {seconds / 3600:,.2f} core hours"
    return f"{draw(tasks, where.worker, **where.options)}\n{cost}"


class _Run:
    """Tasks on their way, what they have done, and which records killed theirs."""

    def __init__(self, how: Distributed, writer: Writer, room: Path) -> None:
        self.done: dict[str, Receipt] = {}
        self._suspects: set[str] = set()
        self._banned: dict[str, str] = {}
        self._how, self._writer, self.room, self._numbers = how, writer, room, count()

    def wave(self, parts: Sequence[Planned], *, alone: bool) -> None:
        """Write parts at once: maybe record by record, since one kills its process."""
        where = self._how.where
        batches = cut(self._writer.job.survey, parts, self._how.memory, where)
        tasks = [self.task(batch, alone=alone) for batch in batches]
        logs = deque(Log(Path(task.job)) for task in tasks)
        named = {part.name: part for part in parts}
        todo = sum(len(part.rows) for part in parts)
        total = len(self._writer.job.ids)
        what = "one by one" if alone else "write"  # a process was killed, or lost
        with Counter(what, "records", total, total - todo) as bar:
            ended = run_tasks(
                tasks,
                worker=where.worker,
                cache=self.room / "pydra",
                modules=where.modules,
                poll=lambda: self._look(logs, named, bar),
                **where.options,
            )
            self._look(logs, named, bar)
        ended = [self._seen(*one) for one in zip(ended, batches, strict=True)]
        self._learn(ended, alone=alone)

    def take_back(self) -> None:
        """Wait until workers that were given up write no more, and let none of them begin."""
        with locks.alone(self.room.parent):
            for batch in self.room.glob("*.json"):
                batch.unlink()

    def task(self, batch: Sequence[Planned], *, alone: bool) -> Task:
        """Save a batch, and say what it asks for."""
        path = self.room / f"{next(self._numbers):06}.json"
        rows = sorted(row for part in batch for row in part.rows)
        digest = self._batch(batch, rows, alone=alone).save(path, self._writer.job.slice(rows))
        names = dict.fromkeys((batch[0].name, batch[-1].name))
        where = self._how.where
        memory = self._how.memory or memory_of(self._writer.job.survey, rows, where.cores)
        name = " to ".join(names)
        return Task(name, ENTRY, str(path), digest, memory, where.cores, where.gpus)

    def _batch(self, batch: Sequence[Planned], rows: Sequence[int], *, alone: bool) -> Batch:
        asked = self._how.asked
        folder, scratch = self._writer.home.address
        return Batch(
            folder=folder,
            scratch=scratch,
            parts=[part.within(rows) for part in batch],
            series=self._writer.series,
            ragged=sorted(self._writer.shared.ragged),
            skip=self._writer.skip,
            columns=list(asked.columns),
            dtype=dict(asked.dtype or {}),
            without=list(asked.without),
            fusion=asked.fusion,
            memory=self._how.memory,
            hash_inputs=asked.hash_inputs,
            banned=self._banned,
            alone=alone,
        )

    def _look(self, logs: Iterable[Log], parts: Mapping[str, Planned], bar: Counter) -> None:
        """Take in what tasks have done since; a task that is run again may say so again."""
        for receipt, errors in chain.from_iterable(log.new() for log in logs):
            if receipt.name not in self.done:
                self.done[receipt.name] = receipt
                self._writer.hear(parts[receipt.name], errors)
                size = sum(file.bytes for file in receipt.files)
                bar.add(len(receipt.errors), size, sum(map(bool, receipt.errors)))
        bar.tell()

    def _seen(self, one: Ended, batch: Sequence[Planned]) -> Ended:
        """Return how a task ended, which is not well where its word does not come here."""
        if one.how != "done" or all(part.name in self.done for part in batch):
            return one
        return Ended(
            one.task,
            "raised",
            f"{one.task.name}: it is done, but nothing in {self.room} says so here; see that all "
            "machines share this disk",
        )

    def _learn(self, ended: Sequence[Ended], *, alone: bool) -> None:
        """Raise where tasks failed, or died and others in their place would go no better."""
        goes_on = self._suspect if alone else _may_go_well
        wrong = [one for one in ended if one.how != "done" and not goes_on(one)]
        if all(one.how == "killed" and at(Path(one.task.job)) is None for one in ended):
            wrong = [*ended]  # before they began: no record is to blame
        if wrong:
            raise ExecutionError(_said(wrong, len(ended)))

    def _suspect(self, one: Ended) -> bool:
        """Whether a record that was computed by itself is to blame; at its second death it is."""
        record = at(Path(one.task.job))
        if one.how == "killed" and record is None:
            return True  # it waited in a process that another task killed
        if one.how != "killed" or not record or record in self._banned:
            return False
        if record in self._suspects:
            self._banned[record] = DEADLY
        self._suspects.add(record)
        return True


def _may_go_well(one: Ended) -> bool:
    """Whether what a task left may go well in another: what kills is found there, and named."""
    return one.how in ("killed", "lost")


def _check_importable(job: Job, modules: Sequence[str]) -> None:
    """Raise where an op is of this process alone."""
    packages = {"entense", *(name.split(".")[0] for name in modules)}
    for name in ops_of(job):
        module = ops[name].function.__module__
        if module == "__main__":
            raise RecipeError(
                f"the op {name!r} is defined in this script or notebook, where other processes "
                'cannot find it; move it into a module of its own and give modules=["that_module"]'
            )
        if module.split(".")[0] not in packages:
            raise RecipeError(
                f"the op {name!r} is of the module {module}, which other processes import only if "
                f'you say so: modules=["{module}"] (on the command line: --import {module})'
            )


def _said(ended: Sequence[Ended], total: int) -> str:
    more = f"\n  and {len(ended) - LINES:,} more" if len(ended) > LINES else ""
    lines = "".join(f"\n  {one.error}" for one in ended[:LINES])
    return (
        f"{len(ended)} of {total} tasks did not end well; mend what they say and write again "
        f"(what the others finished is kept):{lines}{more}"
    )


def _check_device(where: Elsewhere) -> None:
    """Raise where each worker would find itself to be of another kind than this process."""
    if where.gpus and where.worker != "process" and made_by()["device"].startswith("cpu"):
        raise ExecutionError(
            f"gpus={where.gpus} is asked for, and JAX sees no GPU here, where the run is started: "
            "workers that have one refuse to write other bytes than were planned; start the run on "
            "a machine like theirs (as a small job with a GPU), or leave gpus= out"
        )


@contextmanager
def _room(folder: Path) -> Iterator[Path]:
    """Give the folder of a run's tasks; it goes when all is well, else errors name its logs."""
    runs = folder.absolute() / folders.RUNS  # workers may be started elsewhere
    with refusals(folder):
        runs.mkdir(exist_ok=True)
        # a name of its own: a late worker of a killed run must not find the tasks of this one
        room = Path(tempfile.mkdtemp(dir=runs))
    try:
        yield room
    finally:
        for table in room.glob("*.parquet"):  # of paths and URLs, which are nobody else's affair
            table.unlink()
    shutil.rmtree(runs, ignore_errors=True)


register_executor("pydra", Distributed)
