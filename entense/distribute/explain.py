"""Say what a plan will do, and what would run where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entense.archive.executors import Elsewhere, executors
from entense.distribute.batch import ENTRY
from entense.distribute.cost import memory_of, number_of, seconds_of
from entense.distribute.run import drawn
from entense.execute.pydra import Task
from entense.plan import explain as plans
from entense.plan.fuse import How, how_of
from entense.plan.survey import survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from entense.plan.survey import Survey

LOOK_AT = 16  # records whose headers are read to find one that shows the shapes


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
    where = Elsewhere(worker, cores, gpus, tasks, modules, options)
    has_workflow = hasattr(executors[executor], "drawn")
    if executor == "serial":
        where.check_here()
    how = how_of(without, fusion) if optimized else How((), fusion)
    table = (frame.lazy() if has_workflow else frame.lazy().head(LOOK_AT)).collect()
    known = survey(table.head(LOOK_AT), how=how)
    said = plans.explain(known)
    if not (has_workflow and known.tensors and known.rows):
        return said
    return f"{said}\nWORKFLOW  (as the first records are)\n{_workflow(known, table.height, where)}"


def _workflow(known: Survey, total: int, where: Elsewhere) -> str:
    """Draw the tasks of so many records that are as those that are known."""
    rows = range(len(known.rows))
    seconds = total * sum(seconds_of(known, row) for row in rows) / len(rows)
    memory = memory_of(known, rows, where.cores)
    number = min(number_of(seconds, total, memory, where), total)
    tasks = [
        Task(f"batch {i + 1}", ENTRY, "", str(i), memory, where.cores, where.gpus)
        for i in range(number)
    ]
    return drawn(tasks, seconds, where)
