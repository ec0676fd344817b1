"""What parts cost in time and memory, and batches of them that cost about the same."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from entense.distribute.batch import ENTRY
from entense.execute.pydra import Task, at_once
from entense.plan.demand import ITSELF

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from entense.archive.assign import Planned
    from entense.archive.executors import Elsewhere
    from entense.plan.survey import Survey

TASKS, SECONDS = 1_000, 20  # so many tasks at most, each of so many seconds at least
EACH = 4  # but so many for each process of this machine: the last ones end together
INFLATED, STORED = 40e6, 400e6  # bytes a second and core: of packed inputs, of outputs
HEADROOM = 1.25  # a scheduler kills what takes more than it asked for


def cut(
    survey: Survey, parts: Sequence[Planned], memory: int | None, where: Elsewhere
) -> list[list[Planned]]:
    """Cut parts, in their order, into batches that cost about the same."""
    if not parts:
        return []
    costs = [sum(seconds_of(survey, row) for row in part.rows) for part in parts]
    rows = chain.from_iterable(part.rows for part in parts)
    memory = memory or memory_of(survey, rows, where.cores)
    due = sum(costs) / number_of(sum(costs), len(parts), memory, where)
    batches: list[list[Planned]] = [[]]
    taken = 0.0
    for part, cost in zip(parts, costs, strict=True):
        if batches[-1] and taken + cost / 2 > due * len(batches):
            batches.append([])
        batches[-1].append(part)
        taken += cost
    return batches


def number_of(seconds: float, most: int, memory: int, where: Elsewhere) -> int:
    """Return how many tasks there are to be of so much work, in `most` pieces of so much memory."""
    if where.tasks:
        return where.tasks
    task = Task("", ENTRY, "", "", memory, where.cores, where.gpus)
    processes = at_once([task] * most, where.worker, **where.options) or 0
    return max(1, EACH * processes, min(TASKS, round(seconds / SECONDS)))


def seconds_of(survey: Survey, row: int) -> float:
    """Estimate how long a core works on a record: of the sizes of its inputs and outputs."""
    given = sum(spec.nbytes for spec in (survey.rows[row].specs or {}).values())
    return survey.bytes(row) / INFLATED + given / STORED


def memory_of(survey: Survey, rows: Iterable[int], cores: int) -> int:
    """Estimate what a process takes: its own, and the largest record for each one on its way."""
    demands = (survey.rows[row].demand for row in rows)
    largest = max((demand.bytes() for demand in demands if demand), default=0)
    return int(HEADROOM * (ITSELF + max(2, cores) * largest))
