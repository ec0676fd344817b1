"""Say what a plan will do, as Polars explains a query."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from entense.errors import EntenseError
from entense.ops.core import Spec, is_tr, ops
from entense.plan.demand import demand_of
from entense.plan.fuse import Decode, Program, Stage, compile_program
from entense.plan.host import freedom, make
from entense.plan.jit import cost_of
from entense.plan.optimize import source
from entense.plan.shapes import FRAMES
from entense.plan.survey import Survey, look
from entense.tensors.graph import Node, describe, from_json, said, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entense.plan.rows import Row


def explain(known: Survey) -> str:
    """Say how the lazy tensors of a table will be computed here; see `entense.explain`."""
    if not known.tensors:
        return "no lazy tensors: nothing to compute"
    row = next((row for row in known.rows if row.error is None), None)
    lines = list(_recipes(known, row))
    if row is None:
        first = known.rows[0].error if known.rows else "the table has no rows"
        lines.append(f"no record can be looked at: {first}")
    else:
        lines += _program(known, row)
    return "\n".join(lines)


def _recipes(known: Survey, row: Row | None) -> Iterator[str]:
    yield "TENSORS"
    width = max(map(len, known.tensors))
    for name in known.tensors:
        shape = f"  {_shape(row.specs[name])}" if row and row.specs else ""
        yield f"  {name:<{width}}  {describe(from_json(known.recipes[name]))}{shape}"


def _shape(spec: Spec) -> str:
    axes = ", ".join(f"{d}: {n:,}" for d, n in zip(spec.dims, spec.shape, strict=True))
    odd = "" if spec.tr is None or is_tr(spec.tr) else " (impossible: not used)"
    tr = f", TR {spec.tr:g} s{odd}" if spec.tr is not None and "time" in spec.dims else ""
    return f"[{axes}] {spec.dtype}{tr}, {1e-6 * spec.nbytes:,.1f} MB"


def _program(known: Survey, row: Row) -> Iterator[str]:
    found = look(row.bound)
    program, specs = compile_program(row.bound.roots, found, known.how)
    names = dict(zip(program.roots, known.tensors, strict=True))
    yield "RULES"
    yield from _rules(program)
    yield "STAGES  (a record; shapes are those of the first that could be read)"
    stages = groupby(_stages(program, specs, found, names))
    for i, (line, alike) in enumerate(stages, 1):
        times = sum(1 for _ in alike)
        yield f"  {i}. {line}" + (f"  ({times} times)" if times > 1 else "")
    demand = demand_of(program, specs, found)
    many, parts = demand.parts > 1, demand.parts
    least = f"; {_mb(demand.with_process(parts))} in {parts} parts" if many else ""
    whole = _mb(demand.with_process())
    yield f"MEMORY  about {whole} for the process and a record at a time{least}"


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e6:,.3f} MB"


def _rules(program: Program) -> Iterator[str]:
    apart = sum(len(walk(root)) for root in program.recipe)
    together = len(walk(*program.recipe))
    if together < apart:
        yield f"  share: equal steps over equal inputs are one ({apart} nodes become {together})"
    yield from (f"  {rule.name}: {rule.why}" for rule in program.rules)
    if together == apart and not program.rules:
        yield "  none applies"


def _stages(
    program: Program, specs: dict[Node, Any], known: dict[Node, Any], names: dict[Node, str]
) -> Iterator[str]:
    for decode in program.decodes:
        yield _decode(decode, specs, known)
    made: dict[Node, Any] = {}
    for node in program.hosted:
        yield from _hosted(node, known, made)
    for stage in program.stages:
        yield _stage(stage, specs, made, names)


def _decode(stage: Decode, specs: dict[Node, Any], known: dict[Node, Any]) -> str:
    opened = known[source(stage.sinks[0])]
    frames = opened.series.frames
    kept = [_kept(node, specs[node]) for node in stage.sinks]
    grid = getattr(opened.series, "grid", None)
    size = " x ".join(map(str, grid.shape)) if grid else f"{opened.series.axis or 'parcels'}"
    return f"decode    disk and cpu   {frames} frames of {size}: keep {' and '.join(kept)}"


def _kept(node: Node, spec: Spec) -> str:
    if node.op == "parcels":
        return f"{spec.shape[1]:,} parcel means"
    plural = {"vertex": "vertices"}.get(spec.dims[1], f"{spec.dims[1]}s")
    return f"{spec.shape[1]:,} {plural} ({_mb(spec.nbytes)})"


def _hosted(node: Node, known: dict[Node, Any], made: dict[Node, Any]) -> Iterator[str]:
    chain = " then ".join(said(step) for step in node.inputs if step.op in ops)
    try:
        made[node] = make(node, known)
    except EntenseError as error:
        made[node] = None
        yield f"{node.op:<9} cpu, float64   {chain}: {error}"
        return
    if node.op == "operator":
        matrix, left = made[node].matrix, freedom(node, made[node], known)
        size = " x ".join(map(str, matrix.shape))
        yield (
            f"operator  cpu, float64   {chain}: one {size} matrix, which leaves about {left} of "
            f"{matrix.shape[1]} degrees of freedom"
        )


def _stage(
    stage: Stage, specs: dict[Node, Any], made: dict[Node, Any], names: dict[Node, str]
) -> str:
    steps = " -> ".join(n.op + (f" [{names[n]}]" if n in names else "") for n in stage.nodes)
    if any(made.get(node, node) is None for node in stage.inputs):  # it was said why
        return f"{stage.cut:<9} device, jit    {steps}"
    cost = cost_of(stage, specs, made)
    pieces = {"columns": "x a block of columns", "frames": f"x {FRAMES} frames"}.get(stage.cut)
    many = f"{cost.pieces} {pieces}, {_mb(cost.bytes)}" if pieces else _mb(cost.bytes)
    return f"{stage.cut:<9} device, jit    {steps}  ({many}, {cost.flops / 1e9:,.3f} GFLOP)"
