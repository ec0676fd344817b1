"""The recipe: a graph of interned, immutable nodes, with one canonical JSON form."""

from __future__ import annotations

import json
import math
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, final
from weakref import WeakValueDictionary

import numpy as np

from entense.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

VERSION = 1
MAX_NODES = 10_000
MAX_BYTES = 16 << 20
_interning = RLock()  # reentrant: collecting garbage may end a node while another is made


@final
class Node:
    """One operation of a recipe.

    Two nodes with the same op, inputs and parameters are the same object, so that equality is
    identity. Parameters are typed: ``1.0`` is never ``1``, nor ``True``.

    Parameters
    ----------
    op
        The name of a registered op, or ``"slot"`` for an input that comes from the cells.
    inputs
        The nodes whose results it takes.
    params
        What `inputs` leaves open: None, bool, int, float, str, or lists of these.

    Examples
    --------
    >>> slot = Node("slot", name="volume.image")
    >>> Node("zscore", slot) is Node("zscore", slot)
    True
    """

    __slots__ = ("__weakref__", "_values", "inputs", "op")
    _interned: ClassVar[WeakValueDictionary[tuple[object, ...], Node]] = WeakValueDictionary()
    op: str
    inputs: tuple[Node, ...]
    _values: dict[str, Any]

    def __new__(cls, op: str, *inputs: Node, **params: Any) -> Node:  # noqa: D102
        values = {name: canonical(params[name], name) for name in sorted(params)}
        key = (op, tuple(map(id, inputs)), dumps(values))
        with _interning:
            if (node := cls._interned.get(key)) is None:
                node = object.__new__(cls)
                node.op, node.inputs, node._values = op, inputs, values
                cls._interned[key] = node
        return node

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, as Python values: the caller's own."""
        return {name: _copied(value) for name, value in self._values.items()}

    def __repr__(self) -> str:
        inside = [*map(repr, self.inputs), *(f"{k}={v!r}" for k, v in self.params.items())]
        return f"{self.op}({', '.join(inside)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (from_json, (to_json(self),))


def _copied(value: Any) -> Any:
    return [*map(_copied, value)] if type(value) is list else value


def canonical(value: Any, name: str = "value") -> Any:
    """Return `value` as the one Python object that stands for it in a recipe."""
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        value = np.dtype(value).name
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RecipeError(f"the parameter {name} is {value}; give a finite number or None")
        return value + 0.0  # -0.0 is 0.0
    if isinstance(value, (list, tuple)):
        return [canonical(item, name) for item in value]
    raise RecipeError(
        f"the parameter {name} is a {type(value).__name__}; a recipe holds numbers, strings, "
        "booleans, None and lists of them"
    )


def dumps(value: Any) -> str:
    """Write canonical JSON: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def walk(*roots: Node, closed: tuple[str, ...] = ()) -> list[Node]:
    """Return every node under `roots` once, inputs before what takes them.

    Nodes of the ops in `closed` are not entered.
    """
    seen: dict[Node, None] = {}
    todo: list[tuple[Node, bool]] = [(root, False) for root in reversed(roots)]
    while todo:
        node, ready = todo.pop()
        if node in seen:
            continue
        if ready:
            seen[node] = None
        else:
            todo.append((node, True))
            inputs = () if node.op in closed else node.inputs
            todo.extend((item, False) for item in reversed(inputs))
    return list(seen)


def rebuild(
    roots: tuple[Node, ...], change: Callable[[Node], Node], closed: tuple[str, ...] = ()
) -> tuple[Node, ...]:
    """Return the graph with `change` applied to every node, inputs first.

    Nodes of the ops in `closed` stay as they are, with all that is under them.
    """
    new: dict[Node, Node] = {}
    for node in walk(*roots, closed=closed):
        if node.op in closed:
            new[node] = node
        else:
            new[node] = change(Node(node.op, *(new[item] for item in node.inputs), **node.params))
    return tuple(new[root] for root in roots)


def slots(root: Node) -> dict[str, Node]:
    """Return the slots of a recipe by name."""
    return {node.params["name"]: node for node in walk(root) if node.op == "slot"}


def rename_slots(root: Node, names: Mapping[str, str]) -> Node:
    """Return the recipe with its slots under other names."""

    def change(node: Node) -> Node:
        if node.op != "slot":
            return node
        params = node.params
        return Node("slot", **{**params, "name": names.get(params["name"], params["name"])})

    return rebuild((root,), change)[0]


def mark_each(root: Node) -> Node:
    """Return the recipe with each slot standing for every item of a list."""

    def change(node: Node) -> Node:
        return Node("slot", **node.params, each=True) if node.op == "slot" else node

    return rebuild((root,), change)[0]


def to_json(root: Node) -> str:
    """Write a recipe: nodes in order, each ``[op, [places of its inputs], parameters]``."""
    return dumps({"nodes": list(_rows(root)), "version": VERSION})


def _rows(root: Node) -> Iterator[list[Any]]:
    place: dict[Node, int] = {}
    for node in walk(root):
        yield [node.op, [place[item] for item in node.inputs], node.params]
        place[node] = len(place)


def from_json(text: str) -> Node:
    """Read a recipe. Nothing is imported or run; ops are looked up when the recipe is compiled.

    Raises
    ------
    RecipeError
        Where the text is no recipe, is of a later version, or is larger than a recipe may be.
    """
    if len(text) > MAX_BYTES:
        raise RecipeError(f"the recipe is {len(text):,} bytes long, more than {MAX_BYTES:,}")
    try:
        data = json.loads(text)
        version, rows = data["version"], data["nodes"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecipeError(f"this is no recipe of entense ({error!r})") from error
    if type(version) is not int or version != VERSION:
        raise RecipeError(f"the recipe is of version {version}; install a newer entense")
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_NODES:
        raise RecipeError(f"a recipe has between 1 and {MAX_NODES:,} nodes")
    return _from_rows(rows)


def _from_rows(rows: list[Any]) -> Node:
    nodes: list[Node] = []
    for row in rows:
        try:
            op, places, params = row
            if not isinstance(op, str):
                raise TypeError(f"the op {op!r} is no name")
            if not all(type(i) is int and 0 <= i < len(nodes) for i in places):
                raise ValueError(f"the node {op!r} takes a node that comes after it")
            if op == "slot" and not isinstance(params.get("name"), str):
                raise ValueError("a slot has no name")
            nodes.append(Node(op, *(nodes[i] for i in places), **params))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise RecipeError(f"the recipe is damaged: {error}") from error
    return nodes[-1]


def describe(root: Node) -> str:
    """Say a recipe in a line: ``volume → denoise(36P, high_pass=0.01) → zscore``."""
    steps: list[str] = []
    node = root
    while node.op != "slot":
        steps.append(said(node))
        if not node.inputs:
            break
        node = node.inputs[0]
    return " → ".join(reversed(steps))


def said(node: Node) -> str:
    """Say one step with its parameters: ``denoise(model=36P)``."""
    params = node.params
    cells = params.pop("cells", [])
    shown = [f"{k}={v}" for k, v in params.items() if v is not None]
    shown += [f"{name}=…" for name in cells]
    return f"{node.op}({', '.join(shown)})" if shown else node.op
