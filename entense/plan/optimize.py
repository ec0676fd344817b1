"""The optimiser: rules that rewrite a bound graph into one that does less and means the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from entense.ops.core import Kind, ops
from entense.ops.load import SERIES
from entense.tensors.graph import Node, rebuild, walk

if TYPE_CHECKING:
    from collections.abc import Callable

Roots = tuple[Node, ...]

# The nodes that lowering and the rules make, beside the registered ops:
#   apply(x, operator)          a (time, time) matrix times a series
#   operator(a, b, …)           the matrix of the linear ops a, then b, …
#   codes(labels, x)            the parcel of each voxel of x
#   centred(series)             a file's columns less their first frame, and that frame
#   parcels(series, labels)     the same, averaged over parcels while the file is decoded
#     the nodes in these four are the recipe's own, of which only specs are looked at: no rule
#     enters them
#   dense(x)                    the series that a centred one stands for

HOSTED = ("operator", "codes")
CLOSED = (*HOSTED, "centred", "parcels")
DECODED = (*SERIES, "centred", "parcels")


@dataclass(frozen=True)
class Rule:
    """A rewriting rule: its name, what it does, and the function that does it."""

    name: str
    why: str
    rewrite: Callable[[Roots], Roots]


def lower(roots: Roots) -> Roots:
    """Write linear ops as matrices that are applied, and atlases as codes along the voxel axis."""
    new: dict[Node, Node] = {}
    for node in walk(*roots):
        inputs = tuple(new[item] for item in node.inputs)
        if kind(node) is Kind.OPERATOR:
            # the operator keeps the recipe's own node: specs are known by it
            new[node] = Node("apply", inputs[0], Node("operator", node))
        elif kind(node) is Kind.POOL:
            codes = Node("codes", node.inputs[1], node.inputs[0])
            new[node] = Node(node.op, inputs[0], codes, **node.params)
        else:
            new[node] = Node(node.op, *inputs, **node.params)
    return tuple(new[root] for root in roots)


def kind(node: Node) -> Kind | None:
    """Return the kind of a registered op; None for the nodes that lowering made."""
    return ops[node.op].kind if node.op in ops else None


def source(node: Node) -> Node:
    """Return the recipe's series that a decoded node stands for."""
    return node if node.op in SERIES else node.inputs[0]


def nodes(roots: Roots) -> list[Node]:
    """Return the nodes that compute, inputs first."""
    return walk(*roots, closed=CLOSED)


def rewrite(roots: Roots, change: Callable[[Node], Node]) -> Roots:
    """Return the graph with `change` applied to every node that computes, inputs first."""
    return rebuild(roots, change, closed=CLOSED)


def compose(roots: Roots) -> Roots:
    """Make apply(apply(x, A), B) apply(x, B A)."""

    def change(node: Node) -> Node:
        if node.op != "apply" or node.inputs[0].op != "apply":
            return node
        (x, first), second = node.inputs[0].inputs, node.inputs[1]
        return Node("apply", x, Node("operator", *first.inputs, *second.inputs))

    return rewrite(roots, change)


def reduce_first(roots: Roots) -> Roots:
    """Make parcellate(apply(x, A)) apply(parcellate(x), A): means and filters commute."""

    def change(node: Node) -> Node:
        if node.op != "parcellate" or node.inputs[0].op != "apply":
            return node
        x, operator = node.inputs[0].inputs
        return Node("apply", change(Node(node.op, x, *node.inputs[1:])), operator)

    return rewrite(roots, change)


def pool_at_decoder(roots: Roots) -> Roots:
    """Make parcellate(series) a sum that is kept while the file is decoded."""

    def change(node: Node) -> Node:
        inputs = [parcels(item) if node.op == "apply" else dense(item) for item in node.inputs]
        return Node(node.op, *inputs, **node.params)

    def parcels(node: Node) -> Node:
        if node.op != "parcellate" or node.inputs[0].op not in SERIES:
            return node
        return Node("parcels", node.inputs[0], node.inputs[1].inputs[0])

    def dense(node: Node) -> Node:
        return node if parcels(node) is node else Node("dense", parcels(node))

    changed = rewrite(roots, change)
    return tuple(dense(root) for root in changed)


def centre(roots: Roots) -> Roots:
    """Take a series' first frame off at the decoder, where a filter follows."""
    filtered = {node.inputs[0] for node in nodes(roots) if node.op == "apply"}
    wanted = {node: Node("centred", node) for node in filtered if node.op in SERIES}
    dense = {node: Node("dense", new) for node, new in wanted.items()}

    def change(node: Node) -> Node:
        first, rest = (wanted, 1) if node.op == "apply" else (dense, 0)
        inputs = [first.get(item, item) for item in node.inputs[:rest]]
        inputs += [dense.get(item, item) for item in node.inputs[rest:]]
        return Node(node.op, *inputs, **node.params)

    changed = rewrite(roots, change)
    return tuple(dense.get(root, root) for root in changed)


RULES: tuple[Rule, ...] = (
    Rule("compose", "a chain of linear filters is one matrix", compose),
    Rule("reduce-first", "parcels are averaged before they are filtered", reduce_first),
    Rule("pool-at-decoder", "parcels are summed while the file is decoded", pool_at_decoder),
    Rule("centre", "the decoder takes the first frame off before a filter", centre),
)


def optimize(roots: Roots, rules: tuple[Rule, ...] = RULES) -> tuple[Roots, list[Rule]]:
    """Apply the rules in order, each until it changes nothing.

    Returns
    -------
    The graph, and the rules that changed it.
    """
    roots = lower(roots)
    used: list[Rule] = []
    for rule in rules:
        while (changed := rule.rewrite(roots)) != roots:
            roots = changed
            if rule not in used:
                used.append(rule)
    return roots, used
