"""What would be submitted, in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from entense.execute.pydra.workers.choose import choose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entense.execute.pydra.tasks import Task


def draw(tasks: Sequence[Task], worker: Any = "process", **options: Any) -> str:
    """Draw the workflow that `run_tasks` would run, without running or submitting anything.

    Raises an ExecutionError as `run_tasks` does, for a worker or an option that there is not.

    Examples
    --------
    >>> from entense.execute.pydra import Task
    >>> tasks = [Task(f"shard {i}", "entense.cli:main", "", f"{i}", 2 * 10**9) for i in range(3)]
    >>> print(draw(tasks, "process", n_procs=1))
    workflow Tasks: 1 node
      run: split over 3 tasks, shard 0 … shard 2
      a task asks for 2 GB, 1 core
      process: 1 process, on cores of its own
    """
    if not tasks:
        return "workflow Tasks: nothing to run"
    chosen = choose(worker, tasks, Path(), options)
    split = f"{len(tasks)} task{'s' if len(tasks) > 1 else ''}, {tasks[0].name} … {tasks[-1].name}"
    where = chosen.drawn(tasks) if hasattr(chosen, "drawn") else f"{chosen.plugin_name()} of Pydra"
    return "\n  ".join(
        [
            "workflow Tasks: 1 node",
            f"run: split over {split}",
            f"a task asks for {asks(tasks)}",
            where,
        ]
    )


def at_once(tasks: Sequence[Task], worker: Any = "process", **options: Any) -> int | None:
    """Return how many of some tasks would run at a time; None where nobody knows before.

    Raises an ExecutionError as `draw` does.
    """
    found: int | None = getattr(choose(worker, tasks, Path(), options), "at_once", None)
    return found


def asks(tasks: Sequence[Task]) -> str:
    """Say what the largest of the tasks asks for."""
    memory, cores, gpus = (max(getattr(t, w) for t in tasks) for w in ("memory", "cores", "gpus"))
    counted = [(cores, "core"), (gpus, "GPU")]
    told = [f"{number} {what}{'s' if number > 1 else ''}" for number, what in counted if number]
    return ", ".join([f"{memory / 1e9:.2g} GB", *told])
