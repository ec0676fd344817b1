"""Bind a row's recipes to its inputs: slots become places in one list of values."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from entense.errors import RecipeError, RecordError
from entense.geometry.grayordinates import Sides
from entense.ops.core import Kind, ops
from entense.tensors.graph import Node, slots, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Value: TypeAlias = str | Sides | float | None
Cell: TypeAlias = "Mapping[str, Any] | None"


@dataclass(frozen=True)
class Bound:
    """The recipes of one row: a graph whose leaves are places in `values`.

    Rows that share files in the same way have the same graph, and so the same program.

    Parameters
    ----------
    roots
        A root a tensor.
    values
        Paths and numbers.
    files
        Tensor and slot to path, of every file of the row, once.
    error
        Why it cannot be bound, or None.
    """

    roots: tuple[Node, ...] = ()
    values: tuple[Value, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class _Literal:
    """A parameter that comes from the cells: it is written into the graph."""

    kind: type  # 1, 1.0 and True are equal, and three parameters
    value: Any


@dataclass(frozen=True)
class _Slot:
    """An input of a tensor: of a list each item, an array's or a parameter."""

    tensor: str
    name: str
    each: bool
    param: bool
    nothing: bool  # the recipe says that there is none

    @classmethod
    def of(cls, tensor: str, node: Node) -> _Slot:
        flags = {name: bool(node.params.get(name)) for name in ("each", "param", "nothing")}
        return cls(tensor, node.params["name"], **flags)

    @property
    def use(self) -> str:
        """What its numbers are for: an onset of 2.0 and a TR of 2.0 are not one number."""
        return self.name.split(":")[0]


_Leaf: TypeAlias = "int | _Literal | tuple[int | _Literal, ...]"


class Binder:
    """Binds the rows of one table.

    Parameters
    ----------
    recipes
        Tensor to the root of its recipe.
    """

    def __init__(self, recipes: Mapping[str, Node]) -> None:
        self._names, self._roots = tuple(recipes), tuple(recipes.values())
        self._slots = [
            _Slot.of(name, node) for name, root in recipes.items() for node in slots(root).values()
        ]
        self._keys = tuple((slot.tensor, slot.name) for slot in self._slots)

    def bind(self, row: Mapping[str, Cell]) -> Bound:
        """Bind a row, in which what holds the same value is the same leaf."""
        places: dict[tuple[str, Value], int] = {}
        files: dict[str, str] = {}

        def leaf(value: Any, slot: _Slot, name: str) -> int | _Literal:
            if slot.param:
                return _Literal(type(value), value)
            if value is None or value == {"L": None, "R": None}:
                return -1 if slot.nothing else -2
            value = Sides(value["L"], value["R"]) if isinstance(value, dict) else value
            for label, path in _files(name, value):
                files.setdefault(path, label)
            use = slot.use if isinstance(value, float) else "file"
            return places.setdefault((use, value), len(places))

        leaves: list[_Leaf] = []
        for slot in self._slots:
            value = (row[slot.tensor] or {}).get(slot.name)
            label = f"{slot.tensor}:{slot.name}"
            if slot.each:
                items = enumerate(value or ())
                leaves.append(tuple(leaf(item, slot, f"{label}[{i}]") for i, item in items))
            else:
                leaves.append(leaf(value, slot, label))
        by_label = {label: path for path, label in files.items()}
        try:
            roots = _graph(self._roots, self._names, self._keys, tuple(leaves), ops.generation)
        except RecordError as error:
            return Bound(files=by_label, error=str(error))
        return Bound(roots, tuple(value for _, value in places), by_label)


def _files(label: str, value: Value) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield label, value
    elif isinstance(value, Sides):
        yield from ((f"{label}.{side}", path) for side, path in value._asdict().items() if path)


@lru_cache(maxsize=256)
def _graph(
    roots: tuple[Node, ...],
    names: tuple[str, ...],
    keys: tuple[tuple[str, str], ...],
    leaves: tuple[_Leaf, ...],
    _generation: int,
) -> tuple[Node, ...]:
    of = dict(zip(keys, leaves, strict=True))
    return tuple(
        _with_leaves(root, {slot: leaf for (n, slot), leaf in of.items() if n == name})
        for root, name in zip(roots, names, strict=True)
    )


def _with_leaves(root: Node, leaves: Mapping[str, _Leaf]) -> Node:
    """Put values in the place of slots; over a list all is a list, until it is gathered."""
    made: dict[Node, Any] = {}
    for node in walk(root):
        if node.op == "slot":
            leaf = leaves[node.params["name"]]
            made[node] = tuple(map(_leaf, leaf)) if isinstance(leaf, tuple) else _leaf(leaf)
        else:
            made[node] = _each(node, [made[item] for item in node.inputs])
    whole: Node = made[root]
    return whole


def _leaf(leaf: int | _Literal) -> Node | _Literal:
    if isinstance(leaf, _Literal):
        return leaf
    return Node("value", place=leaf) if leaf >= 0 else Node("absent", wanted=leaf < -1)


def _each(node: Node, inputs: Sequence[Any]) -> Any:
    if ops[node.op].kind is Kind.GATHER:
        items, *values = inputs
        if not items:
            raise RecordError(
                f"the record has no files to {node.op}: leave such records out with "
                ".entense.drop_incomplete()"
            )
        return _made(node, [*items, *values])
    lengths = {len(item) for item in inputs if isinstance(item, tuple)}
    if not lengths:
        return _made(node, inputs)
    if len(lengths) > 1:
        raise RecordError(
            f"the lists of files that go together differ in length ({sorted(lengths)}): the record "
            "lacks some of its files; use drop_incomplete before pivot"
        )
    return tuple(
        _made(node, [item[i] if isinstance(item, tuple) else item for item in inputs])
        for i in range(lengths.pop())
    )


def _made(node: Node, inputs: Sequence[Any]) -> Node:
    params = node.params
    names = params.pop("cells", [])
    if not names:
        return Node(node.op, *inputs, **params)
    arrays, values = inputs[: -len(names)], inputs[-len(names) :]
    given = {name: _value(one) for name, one in zip(names, values, strict=True)}
    try:
        return Node(node.op, *arrays, **ops[node.op].bind((), params | given))
    except RecipeError as error:  # of this record alone: the others go on
        raise RecordError(str(error)) from error


def _value(literal: _Literal | tuple[_Literal, ...]) -> Any:
    """Return a parameter; a list of them where a gather takes the whole list."""
    if isinstance(literal, tuple):
        return [item.value for item in literal]
    return literal.value
