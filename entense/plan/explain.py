"""Say what a plan will do, as Polars explains a query."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from entense.errors import EntenseError
from entense.ops.core import Kind, is_tr
from entense.plan.fuse import Blocks, Decode, Program, Whole, compile_program
from entense.plan.host import freedom, make, read_tables
from entense.plan.optimize import RULES, kind, source
from entense.plan.survey import Spec, Survey, look, survey
from entense.tensors.graph import Node, describe, from_json, walk
from entense.tensors.graph import said as _said

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

_LOOK_AT = 16  # records whose headers are read to find one that shows the shapes


def explain(frame: pl.DataFrame | pl.LazyFrame, *, optimized: bool = True) -> str:
    """Say how the lazy tensors of a table will be computed; no voxel is read.

    Parameters
    ----------
    frame
        A record table with lazy tensors. Headers of its first records are read, for the shapes.
    optimized
        Whether to show the program as the rules rewrite it, or as it was written.

    Returns
    -------
    A text: the recipes, the rules that apply, and the stages in the order in which they run.

    Examples
    --------
    >>> import polars as pl, entense as et
    >>> print(et.explain(pl.DataFrame({"age": [31]})))
    no lazy tensors: nothing to compute
    """
    head = frame.lazy().head(_LOOK_AT).collect()
    known = survey(head)
    if not known.tensors:
        return "no lazy tensors: nothing to compute"
    row = next((i for i, error in enumerate(known.errors) if error is None), None)
    lines = list(_recipes(known, row))
    if row is None:
        first = known.errors[0] if known.errors else "the table has no rows"
        lines.append(f"no record can be looked at: {first}")
    else:
        lines += _program(known, row, optimized=optimized)
    return "\n".join(lines)


def _recipes(known: Survey, row: int | None) -> Iterator[str]:
    yield "TENSORS"
    width = max(map(len, known.tensors))
    for name in known.tensors:
        spec = known.specs[row] if row is not None else None
        shape = f"  {_shape(spec[name])}" if spec else ""
        yield f"  {name:<{width}}  {describe(from_json(known.recipes[name]))}{shape}"


def _shape(spec: Spec) -> str:
    axes = ", ".join(f"{d}: {n:,}" for d, n in zip(spec.dims, spec.shape, strict=True))
    odd = "" if spec.tr is None or is_tr(spec.tr) else " (impossible: not used)"
    tr = f", TR {spec.tr:g} s{odd}" if spec.tr is not None and "time" in spec.dims else ""
    return f"[{axes}] {spec.dtype}{tr}, {1e-6 * spec.nbytes:,.1f} MB"


def _program(known: Survey, row: int, *, optimized: bool) -> Iterator[str]:
    bound = known.bound[row]
    program = compile_program(bound.roots, RULES if optimized else ())
    names = dict(zip(program.roots, known.tensors, strict=True))
    yield "RULES"
    yield from _rules(known, program)
    yield "STAGES  (a record; shapes are those of the first that could be read)"
    stages = groupby(_stages(program, look(bound), names))
    for i, (line, alike) in enumerate(stages, 1):
        times = sum(1 for _ in alike)
        yield f"  {i}. {line}" + (f"  ({times} times)" if times > 1 else "")


def _rules(known: Survey, program: Program) -> Iterator[str]:
    apart = sum(len(walk(root)) for root in program.recipe)
    together = len(walk(*program.recipe))
    if together < apart:
        yield f"  share: equal steps over equal inputs are one ({apart} nodes become {together})"
    yield from (f"  {rule.name}: {rule.why}" for rule in program.rules)
    if together == apart and not program.rules:
        yield "  none applies"


def _stages(program: Program, known: dict[Node, Any], names: dict[Node, str]) -> Iterator[str]:
    for decode in program.decodes:
        yield _decode(decode, known)
    yield from (_filter(node, program, known) for node in program.hosted if node.op == "operator")
    for blocks in program.blocks:
        yield f"blocks    device, jit    {_steps(blocks, names)}"
    if program.whole.outputs:
        yield f"whole     device, jit    {_steps(program.whole, names)}"


def _decode(stage: Decode, known: dict[Node, Any]) -> str:
    opened = known[source(stage.sinks[0])]
    frames = opened.series.frames
    kept = [_kept(node, known) for node in stage.sinks]
    grid = getattr(opened.series, "grid", None)
    size = " x ".join(map(str, grid.shape)) if grid else f"{opened.series.axis or 'parcels'}"
    return f"decode    disk and cpu   {frames} frames of {size}: keep {' and '.join(kept)}"


def _kept(node: Node, known: dict[Node, Any]) -> str:
    if node.op == "parcels":
        return f"{len(known[node.inputs[1]].values):,} parcel means"
    spec = known[source(node)].spec
    plural = {"vertex": "vertices"}.get(spec.dims[1], f"{spec.dims[1]}s")
    return f"{spec.shape[1]:,} {plural} ({1e-6 * spec.nbytes:,.0f} MB)"


def _filter(node: Node, program: Program, known: dict[Node, Any]) -> str:
    chain = " then ".join(_said(step) for step in node.inputs)
    try:
        read_tables(program, made := dict(known))
        operator = make(node, made)
    except EntenseError as error:
        return f"operator  cpu, float64   {chain}: {error}"
    frames, left = len(operator.ones), freedom(operator)
    return (
        f"operator  cpu, float64   {chain}: one (time, time) matrix, which leaves about {left} of "
        f"{frames} degrees of freedom"
    )


def _steps(stage: Blocks | Whole, names: dict[Node, str]) -> str:
    steps = [n.op + (f" [{names[n]}]" if n in names else "") for n in stage.nodes]
    finished = [
        f"mean [{names[n]}]"
        for n in stage.inputs
        if isinstance(stage, Whole) and kind(n) is Kind.POOL and n in names
    ]
    return " -> ".join([*finished, *steps]) or "pass on"
