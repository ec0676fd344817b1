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
from entense.archive.executors import end_killed, register_executor
from entense.archive.finish import ops_of
from entense.distribute.batch import ENTRY, Batch, Log, at
from entense.errors import ExecutionError, RecipeError
from entense.execute.pydra import Task, draw, run_tasks
from entense.ops.core import ops
from entense.plan.demand import ITSELF
from entense.progress import Counter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from entense.archive.assign import Planned
    from entense.archive.executors import Elsewhere
    from entense.archive.folder import Receipt
    from entense.archive.inputs import Inputs
    from entense.archive.job import Job
    from entense.archive.options import Options
    from entense.archive.writer import Writer
    from entense.execute.pydra import Ended
    from entense.plan.survey import Survey

TASKS, SECONDS = 300, 20  # so many tasks at most, each of so many seconds at least
INFLATED, STORED = 40e6, 400e6  # bytes a second and core: of packed inputs, of outputs
HEADROOM = 1.25  # a scheduler kills what takes more than it asked for
AGAIN = ("killed", "lost")  # what may go well with other records
LINES = 10
DEADLY = (
    "it kills every process that computes it, often because memory runs out; look at its files, "
    "or give tasks more memory="
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

        A record that kills its process is found by computing those of its part one by one; it
        fails, and the others are written.

        Raises
        ------
        ExecutionError
            When tasks failed, were cancelled or took too long; what they have done is kept.
        """
        _check_importable(writer.job, self.where.modules)
        with _room(writer.folder) as room:
            run = _Run(self, writer, room)
            run.wave(cut(writer, parts, self.where.tasks), alone=False)
            while left := [[part] for part in parts if part.name not in run.done]:
                run.wave(left, alone=True)
            yield from (run.done[part.name] for part in parts)

    def drawn(self, writer: Writer, parts: Sequence[Planned]) -> str:
        """Say what would be submitted; its files stay in the archive's folder."""
        with _room(writer.folder, keeps=True) as room:
            run = _Run(self, writer, room)
            tasks = [run.task(batch, alone=False) for batch in cut(writer, parts, self.where.tasks)]
            rows = chain.from_iterable(part.rows for part in parts)
            hours = sum(seconds_of(writer.inputs, row) for row in rows) / 3600
            return (
                f"{draw(tasks, self.where.worker, **self.where.options)}\n"
                f"COST  about {hours:,.2f} core hours; the files of the tasks are in {room}"
            )


def cut(writer: Writer, parts: Sequence[Planned], tasks: int | None) -> list[list[Planned]]:
    """Cut parts, in their order, into batches that cost about the same."""
    costs = [sum(seconds_of(writer.inputs, row) for row in part.rows) for part in parts]
    due = sum(costs) / (tasks or number_of(sum(costs)))
    batches: list[list[Planned]] = [[]]
    taken = 0.0
    for part, cost in zip(parts, costs, strict=True):
        if batches[-1] and taken + cost / 2 > due * len(batches):
            batches.append([])
        batches[-1].append(part)
        taken += cost
    return batches


def number_of(seconds: float) -> int:
    """Return how many tasks there are for so much work."""
    return max(1, min(TASKS, round(seconds / SECONDS)))


def seconds_of(inputs: Inputs, row: int) -> float:
    """Estimate how long a core works on a record: of the sizes of its inputs and outputs."""
    given = sum(spec.nbytes for spec in (inputs.rows[row].specs or {}).values())
    return inputs.bytes(row) / INFLATED + given / STORED


def memory_of(survey: Survey, rows: Iterable[int], cores: int) -> int:
    """Estimate what a process takes: its own, and the largest record for each one on its way."""
    demands = (survey.rows[row].demand for row in rows)
    largest = max((demand.bytes() for demand in demands if demand), default=0)
    return int(HEADROOM * (ITSELF + max(2, cores) * largest))


class _Run:
    """Tasks on their way, what they have done, and which records killed theirs."""

    def __init__(self, how: Distributed, writer: Writer, room: Path) -> None:
        self.done: dict[str, Receipt] = {}
        self._banned: dict[str, str] = {}
        self._how, self._writer, self._room, self._numbers = how, writer, room, count()

    def wave(self, batches: Sequence[Sequence[Planned]], *, alone: bool) -> None:
        """Run batches at once: `alone` each record by itself, since one kills its process."""
        where = self._how.where
        tasks = [self.task(batch, alone=alone) for batch in batches]
        logs = deque(Log(Path(task.job)) for task in tasks)
        todo = sum(len(part.rows) for part in chain(*batches))
        total = len(self._writer.job.ids)
        with Counter("write", "records", total, total - todo) as bar:
            ended = run_tasks(
                tasks,
                worker=where.worker,
                cache=self._room / "pydra",
                modules=where.modules,
                poll=lambda: self._look(logs, bar),
                **where.options,
            )
            self._look(logs, bar)
        self._learn(ended, alone=alone)

    def task(self, batch: Sequence[Planned], *, alone: bool) -> Task:
        """Save a batch, and say what it asks for."""
        path = self._room / f"{next(self._numbers):06}.json"
        rows = sorted(row for part in batch for row in part.rows)
        digest = self._batch(batch, rows, alone=alone).save(path, self._writer.job.slice(rows))
        names = dict.fromkeys((batch[0].name, batch[-1].name))
        where = self._how.where
        memory = self._how.memory or memory_of(self._writer.job.survey, rows, where.cores)
        name = " to ".join(names)
        return Task(name, ENTRY, str(path), digest, memory, where.cores, where.gpus)

    def _batch(self, batch: Sequence[Planned], rows: Sequence[int], *, alone: bool) -> Batch:
        asked = self._how.asked
        return Batch(
            folder=str(self._writer.folder.absolute()),
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

    def _look(self, logs: Iterable[Log], bar: Counter) -> None:
        """Take in what tasks have done since."""
        for log in logs:
            for receipt, errors in log.new():
                self.done[receipt.name] = receipt
                self._writer.hear(errors)
                size = sum(file.bytes for file in receipt.files)
                bar.add(len(receipt.errors), size, sum(map(bool, receipt.errors)))

    def _learn(self, ended: Sequence[Ended], *, alone: bool) -> None:
        """Ban the record that killed a task; raise where it is not known, or tasks failed."""
        killed = [one for one in ended if one.how in AGAIN]
        wrong = [one for one in ended if one.how not in ("done", *AGAIN)]
        for one in killed if alone else ():
            record = at(Path(one.task.job))
            if record is None or record in self._banned:
                wrong.append(one)
            else:
                self._banned[record] = DEADLY
        if wrong:
            raise ExecutionError(_said(wrong, len(ended)))


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
    lines = "".join(f"\n  {one.task.name}: {one.error}" for one in ended[:LINES])
    return (
        f"{len(ended)} of {total} tasks did not end well; mend what they say and write again "
        f"(what the others finished is kept):{lines}{more}"
    )


@contextmanager
def _room(folder: Path, *, keeps: bool = False) -> Iterator[Path]:
    """Give the folder of a run's tasks, once no other run's are there; it goes when all is well."""
    end_killed(folder)
    runs = folder / folders.RUNS
    runs.mkdir(exist_ok=True)
    # a name of its own: a late worker of a killed run must not find the tasks of this one
    yield Path(tempfile.mkdtemp(dir=runs))  # after an error it stays: the error names its logs
    if not keeps:
        shutil.rmtree(runs, ignore_errors=True)


register_executor("pydra", Distributed)
