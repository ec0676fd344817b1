"""Fusion: a rewritten graph becomes a program of as few stages as its resources allow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from entense.ops.core import Kind, ops
from entense.ops.load import GIVEN, SERIES
from entense.plan.optimize import (
    CLOSED,
    DECODED,
    HOSTED,
    RULES,
    Roots,
    Rule,
    kind,
    nodes,
    optimize,
    source,
)
from entense.tensors.graph import Node

if TYPE_CHECKING:
    from collections.abc import Iterable

_SEES_COLUMNS = (Kind.COLUMNWISE, Kind.GATHER, Kind.POOL)


@dataclass(frozen=True)
class Decode:
    """A stage on disk and CPU: one pass over one file, whatever number of tensors it feeds."""

    sinks: tuple[Node, ...]


@dataclass(frozen=True)
class Blocks:
    """A stage on the device: one jitted function over blocks of columns of one fixed shape.

    Parameters
    ----------
    series
        One of the recipe's series that have these columns.
    nodes
        What it computes, in order.
    inputs
        What it takes: decoded series, operators, labels, numbers.
    arrays, pools
        What it gives: arrays of columns, put together, and pools, added up.
    """

    series: Node
    nodes: tuple[Node, ...]
    inputs: tuple[Node, ...]
    arrays: tuple[Node, ...]
    pools: tuple[Node, ...]


@dataclass(frozen=True)
class Whole:
    """A stage on the device: one jitted function over whole arrays."""

    nodes: tuple[Node, ...]
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]


@dataclass(frozen=True)
class Program:
    """What a graph compiles to; every record of that graph runs it.

    Parameters
    ----------
    recipe
        The graph as it was bound.
    roots
        The same, rewritten; a root a tensor.
    rules
        The rules that changed it.
    decodes, hosted, blocks, whole
        The stages, in the order in which they run; `hosted` are the operators and codes, made in
        float64 on the CPU.
    """

    recipe: Roots
    roots: Roots
    rules: tuple[Rule, ...]
    decodes: tuple[Decode, ...]
    hosted: tuple[Node, ...]
    blocks: tuple[Blocks, ...]
    whole: Whole


def compile_program(recipe: Roots, rules: tuple[Rule, ...] = RULES) -> Program:
    """Compile a bound graph.

    Parameters
    ----------
    recipe
        The roots, one a tensor.
    rules
        The optimiser's rules; none still gives a right, slower program.
    """
    return _compiled(recipe, rules, ops.generation)


@lru_cache(maxsize=256)
def _compiled(recipe: Roots, rules: tuple[Rule, ...], _generation: int) -> Program:
    roots, used = optimize(recipe, rules)
    order = nodes(roots)
    axes = _axes(order)
    blocks = tuple(_blocks(axis, axes, roots, order) for axis in dict.fromkeys(axes.values()))
    blocks = tuple(stage for stage in blocks if stage.nodes or stage.arrays)
    return Program(
        recipe=recipe,
        roots=roots,
        rules=tuple(used),
        decodes=_decodes(order),
        hosted=tuple(node for node in order if node.op in HOSTED),
        blocks=blocks,
        whole=_whole(order, axes, roots),
    )


def _decodes(order: list[Node]) -> tuple[Decode, ...]:
    files: dict[tuple[str, Node], list[Node]] = {}
    for node in order:
        if node.op in DECODED:
            series = source(node)
            files.setdefault((series.op, series.inputs[0]), []).append(node)
    return tuple(Decode(tuple(sinks)) for sinks in files.values())


def _axes(order: list[Node]) -> dict[Node, Node]:
    """Return the nodes that can run in blocks of columns, and what tells their columns apart."""
    axes: dict[Node, Node] = {}
    for node in order:
        if node.op in (*SERIES, "centred"):
            axes[node] = _columns(source(node))
        elif node.op in ("apply", "dense") or kind(node) in _SEES_COLUMNS:
            over = {axes.get(item) for item in node.inputs if _computes(item)}
            axis = over.pop() if len(over) == 1 else None
            # what follows a pool has no columns any more
            if axis is not None and not any(kind(i) is Kind.POOL for i in node.inputs):
                axes[node] = axis
    return axes


def _columns(series: Node) -> Node:
    """Return a node that is the same for series that keep the same columns."""
    mask = series.inputs[1]
    return series if mask.op == "absent" else Node(series.op, mask, **series.params)


def _computes(node: Node) -> bool:
    """Whether a node is an array of the record's own: no operator, codes, number or file."""
    host = node.op in (*CLOSED, "value", "absent") or kind(node) in (Kind.SOURCE, Kind.TABLE)
    return node.op in (*DECODED, *GIVEN) or not host


def _blocks(axis: Node, axes: dict[Node, Node], roots: Roots, order: list[Node]) -> Blocks:
    decoded = [n for n in order if n.op in (*SERIES, "centred") and axes[n] is axis]
    inside = [n for n in order if axes.get(n) is axis and n not in decoded]
    taken = _taken_outside(inside, roots, order)
    given = [n for n in decoded if n in _taken_outside(decoded, roots, order, inside)]
    pools = tuple(n for n in inside if kind(n) is Kind.POOL)
    arrays = tuple(n for n in [*given, *inside] if n in {*taken, *given} and n not in pools)
    needed = _inputs(inside)
    inputs = tuple(dict.fromkeys([*(n for n in given if n not in needed), *needed]))
    return Blocks(source(decoded[0]), tuple(inside), inputs, arrays, pools)


def _taken_outside(
    inside: list[Node], roots: Roots, order: list[Node], near: Iterable[Node] = ()
) -> set[Node]:
    """Return the nodes of a stage that are tensors, or that another stage takes."""
    own = {*inside, *near}
    outside = {item for n in order if n not in own for item in n.inputs}
    return {node for node in inside if node in outside or node in roots}


def _inputs(inside: Iterable[Node]) -> list[Node]:
    own = set(inside)
    return list(dict.fromkeys(i for n in inside for i in n.inputs if i not in own))


def _whole(order: list[Node], axes: dict[Node, Node], roots: Roots) -> Whole:
    read = (*DECODED, *GIVEN)
    inside = [n for n in order if n not in axes and _computes(n) and n.op not in read]
    inputs = _inputs(inside)
    outputs = [
        n
        for n in dict.fromkeys(roots)
        if n in inside or n.op in GIVEN or (kind(n) is Kind.POOL and n in axes)
    ]
    inputs += [n for n in outputs if n not in inside and n not in inputs]
    return Whole(tuple(inside), tuple(inputs), tuple(outputs))
