"""The optimiser: rules that rewrite a bound graph into one that does less and means the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
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
#   mix(x, made)                a linear map in space
#   made(a)                     what the op a makes on the CPU: neighbours, kernels, a summary
#   codes(x, labels, …)         the parcel of each column of x
#   mixed(series, made)         the same map, while the file is decoded
#   parcels(series, labels, …)  a series less its first frame, and that frame, averaged over parcels
#                               while the file is decoded
#   centred(series)             a file's columns less their first frame, and that frame
#     the nodes in these are the recipe's own, whose specs are looked at: no rule enters them
#   dense(x)                    the series that a centred one stands for

HOSTED = ("operator", "codes", "made")
CLOSED = (*HOSTED, "centred", "parcels", "mixed")
COLUMNS_OF_FILES = (*SERIES, "mixed")
DECODED = (*COLUMNS_OF_FILES, "centred", "parcels")


@dataclass(frozen=True)
class Rule:
    """A rewriting rule: its name, what it does, and the function that does it."""

    name: str
    why: str
    rewrite: Callable[[Roots], Roots]


def lower(roots: Roots) -> Roots:
    """Write linear ops as what is applied, and atlases as codes along the axis of columns."""
    new: dict[Node, Node] = {}
    for node in walk(*roots):
        new[node] = _lowered(node, tuple(new[item] for item in node.inputs))
    return tuple(new[root] for root in roots)


def _lowered(node: Node, inputs: tuple[Node, ...]) -> Node:
    # what is hosted keeps the recipe's own node: specs are known by it
    match kind(node):
        case Kind.OPERATOR:
            return Node("apply", inputs[0], Node("operator", node))
        case Kind.SPACE:
            return Node("mix", inputs[0], Node("made", node))
        case Kind.SUMMARY:
            return Node("made", node)
        case Kind.POOL:
            return Node(node.op, inputs[0], Node("codes", *node.inputs), **node.params)
        case Kind.FRAMEWISE if ops[node.op].host is not None:
            return Node(node.op, inputs[0], Node("made", node), **node.params)
    return Node(node.op, *inputs, **node.params)


def kind(node: Node) -> Kind | None:
    """Return the kind of a registered op; None for the nodes that lowering made."""
    return ops[node.op].kind if node.op in ops else None


def source(node: Node) -> Node:
    """Return the recipe's series that a decoded node stands for."""
    return node if node.op in SERIES else source(node.inputs[0])


@lru_cache(maxsize=256)  # many records have one graph
def nodes(roots: Roots) -> tuple[Node, ...]:
    """Return the nodes that compute, inputs first."""
    return tuple(walk(*roots, closed=CLOSED))


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
    return _before_filters(roots, lambda node: node.op == "parcellate")


def space_first(roots: Roots) -> Roots:
    """Make mix(apply(x, A)) apply(mix(x), A): linear maps in space and in time commute."""
    return _before_filters(roots, lambda node: node.op == "mix")


def _before_filters(roots: Roots, moves: Callable[[Node], bool]) -> Roots:
    def change(node: Node) -> Node:
        if not moves(node) or node.inputs[0].op != "apply":
            return node
        x, operator = node.inputs[0].inputs
        return Node("apply", change(Node(node.op, x, *node.inputs[1:], **node.params)), operator)

    return rewrite(roots, change)


def pool_at_decoder(roots: Roots) -> Roots:
    """Make parcellate(series) a sum that is kept while the file is decoded."""

    def change(node: Node) -> Node:
        inputs = [parcels(item) if node.op == "apply" else dense(item) for item in node.inputs]
        return Node(node.op, *inputs, **node.params)

    def parcels(node: Node) -> Node:
        if node.op != "parcellate" or node.inputs[0].op not in SERIES:
            return node
        return Node("parcels", node.inputs[0], *node.inputs[1].inputs[1:])

    def dense(node: Node) -> Node:
        return node if parcels(node) is node else Node("dense", parcels(node))

    changed = rewrite(roots, change)
    return tuple(dense(root) for root in changed)


def mix_at_decoder(roots: Roots) -> Roots:
    """Make mix(series) what is kept while the file is decoded."""

    def change(node: Node) -> Node:
        at_decoder = node.op == "mix" and node.inputs[0].op in SERIES
        return Node("mixed", *node.inputs) if at_decoder else node

    return rewrite(roots, change)


def centre(roots: Roots) -> Roots:
    """Take a series' first frame off at the decoder, where a filter follows."""
    filtered = {node.inputs[0] for node in nodes(roots) if node.op == "apply"}
    wanted = {n: Node("centred", n) for n in filtered if n.op in COLUMNS_OF_FILES}
    dense = {node: Node("dense", new) for node, new in wanted.items()}

    def change(node: Node) -> Node:
        first, rest = (wanted, 1) if node.op == "apply" else (dense, 0)
        inputs = [first.get(item, item) for item in node.inputs[:rest]]
        inputs += [dense.get(item, item) for item in node.inputs[rest:]]
        return Node(node.op, *inputs, **node.params)

    changed = rewrite(roots, change)
    return tuple(dense.get(root, root) for root in changed)


RULES: tuple[Rule, ...] = (
    Rule("space-first", "columns are selected and resampled before they are filtered", space_first),
    Rule("compose", "a chain of linear filters is one matrix", compose),
    Rule("reduce-first", "parcels are averaged before they are filtered", reduce_first),
    Rule("pool-at-decoder", "parcels are summed while the file is decoded", pool_at_decoder),
    Rule(
        "mix-at-decoder", "columns are selected and resampled as they are decoded", mix_at_decoder
    ),
    Rule("centre", "the decoder takes the first frame off before a filter", centre),
)


def optimize(roots: Roots, rules: tuple[Rule, ...] = RULES) -> tuple[Roots, list[Rule]]:
    """Apply the rules in order, again and again until none changes anything.

    Returns
    -------
    The graph, and the rules that changed it.
    """
    roots = lower(roots)
    used: list[Rule] = []
    before: Roots = ()
    while roots != before:
        before = roots
        for rule in rules:
            changed = rule.rewrite(roots)
            used += [rule] if changed != roots and rule not in used else []
            roots = changed
    return roots, used
