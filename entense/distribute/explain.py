"""Say what a plan will do, and what would run where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from entense.archive.executors import Elsewhere
from entense.archive.inputs import Inputs
from entense.distribute.batch import ENTRY
from entense.distribute.run import memory_of, number_of, seconds_of
from entense.execute.pydra import Task, draw
from entense.plan import explain as plans
from entense.plan.fuse import how_of
from entense.plan.survey import survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entense.plan.fuse import How


def explain(
    frame: pl.DataFrame | pl.LazyFrame,
    *,
    optimized: bool = True,
    without: Sequence[str] = (),
    fusion: str = "greedy",
    executor: str = "serial",
    worker: Any = "process",
    cores: int = 1,
    gpus: int = 0,
    tasks: int | None = None,
    modules: Sequence[str] = (),
    **options: Any,
) -> str:
    """Say how the lazy tensors of a table will be computed; no voxel is read.

    Parameters
    ----------
    frame
        A record table with lazy tensors. Headers of its first records are read, for the shapes.
    optimized
        Whether to show the program as the rules rewrite it, or as it was written.
    without
        Rules to leave out, by name: ``["reduce-first"]``.
    fusion
        How steps are fused into stages: ``"greedy"``, ``"none"``, or one of `register_fusion`.
    executor, worker, cores, gpus, tasks, modules, **options
        As in `write`: of another executor than ``"serial"`` its workflow is shown too. All stages
        of a record are one node of it: arrays stay in a process, and only paths travel.

    Returns
    -------
    A text: the recipes, the rules that apply, and the stages in the order in which they run, each
    with what it runs on, the memory that one piece of it takes and its floating-point operations,
    as the compiled program says.

    Examples
    --------
    >>> import polars as pl, entense as et
    >>> print(et.explain(pl.DataFrame({"age": [31]})))
    no lazy tensors: nothing to compute
    """
    said = plans.explain(frame, optimized=optimized, without=without, fusion=fusion)
    where = Elsewhere(worker, cores, gpus, tasks, modules, options)
    if executor == "serial":
        return said
    return f"{said}\n{_workflow(frame, where, how_of(without, fusion))}"


def _workflow(frame: pl.DataFrame | pl.LazyFrame, where: Elsewhere, how: How) -> str:
    """Draw the tasks of all records, as the first of them are."""
    head = frame.lazy().head(plans.LOOK_AT).collect()
    known = survey(head, how=how)
    total = frame.lazy().select(pl.len()).collect().item()
    inputs, rows = Inputs.of(known.rows), range(head.height)
    seconds = total * sum(seconds_of(inputs, row) for row in rows) / max(1, head.height)
    number = min(where.tasks or number_of(seconds), max(total, 1))
    memory = memory_of(known, rows, where.cores)
    tasks = [
        Task(f"batch {i + 1}", ENTRY, "", str(i), memory, where.cores, where.gpus)
        for i in range(number)
    ]
    drawn = draw(tasks, where.worker, **where.options).replace("\n", "\n  ")
    return (
        f"WORKFLOW  (about {seconds / 3600:,.2f} core hours, as the first records are)\n  {drawn}"
    )
