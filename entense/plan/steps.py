"""The steps of a rewritten graph: what may be cut, along which axis, and what goes before what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from entense.errors import RecipeError
from entense.ops.core import Kind
from entense.ops.load import GIVEN
from entense.plan.optimize import CLOSED, DECODED, kind
from entense.tensors.graph import Node

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Cut: TypeAlias = Literal["columns", "frames", "whole"]
_BY_COLUMN = (Kind.COLUMNWISE, Kind.GATHER, Kind.POOL)


@dataclass(frozen=True)
class Step:
    """An op that runs on the device.

    Parameters
    ----------
    node
        The op.
    cut
        Whether it can run on blocks of columns, on some frames at a time, or on the whole only.
    axis
        What tells its columns, or its frames, from those of others: steps that are cut along one
        axis can run together.
    size
        How many bytes it makes, where a budget asks; else 0.
    """

    node: Node
    cut: Cut
    axis: Node | int | None
    size: int = 0

    def goes_with(self, other: Step) -> bool:
        """Whether both can be in one stage."""
        return (self.cut, self.axis) == (other.cut, other.axis)


def steps_of(
    order: Sequence[Node], axes: Mapping[Node, int], sizes: Mapping[Node, int]
) -> list[Step]:
    """Return the steps of a graph, in an order in which they can run.

    Parameters
    ----------
    order
        The nodes of the rewritten graph, inputs first.
    axes
        Of those whose last axis is one of columns, a number that is the same for the same columns.
    sizes
        How many bytes each makes; empty where no budget asks.
    """
    frames: dict[Node, Node] = {}
    steps = []
    for node in filter(computes, order):
        frames[node] = node
        if node.op not in (*DECODED, *GIVEN):
            step = _step(node, axes, frames, sizes.get(node, 0))
            frames[node] = step.axis if isinstance(step.axis, Node) else node
            steps.append(step)
    return steps


def computes(node: Node) -> bool:
    """Whether a node is an array of the record's own: no operator, codes, number or file."""
    host = node.op in (*CLOSED, "value", "absent") or kind(node) in (Kind.SOURCE, Kind.TABLE)
    return node.op in (*DECODED, *GIVEN) or not host


def _step(node: Node, axes: Mapping[Node, int], frames: Mapping[Node, Node], size: int) -> Step:
    if node.op == "mix" or kind(node) is Kind.FRAMEWISE:
        return Step(node, "frames", frames[node.inputs[0]], size)
    by_column = node.op in ("apply", "dense") or kind(node) in _BY_COLUMN
    over = {axes.get(item) for item in node.inputs if computes(item)}
    if by_column and len(over) == 1 and None not in over:
        if node not in axes and kind(node) is Kind.COLUMNWISE:
            raise RecipeError(
                f"the op {node.op!r} is COLUMNWISE, which treats each column by itself, and its "
                "result has no columns any more; leave kind= out"
            )
        return Step(node, "columns", over.pop(), size)
    return Step(node, "whole", None, size)
