"""Bind a row's recipes to its inputs: slots become places in one list of values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from entense.errors import RecipeError, RecordError
from entense.geometry.grayordinates import Sides
from entense.ops.core import Kind, ops
from entense.tensors.graph import Node, slots, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Value: TypeAlias = str | Sides | float | None


@dataclass(frozen=True, slots=True)
class Bound:
    """The recipes of one row: a graph whose leaves are places in `values`.

    Rows that share files in the same way have the same graph, and so the same program.

    Parameters
    ----------
    roots
        A root a tensor.
    values
        Paths and numbers.
    labels
        Tensor and slot of each file of the row.
    error
        Why it cannot be bound, or None.
    """

    roots: tuple[Node, ...]
    values: tuple[Value, ...]
    labels: tuple[str, ...]
    error: str | None = None

    @property
    def paths(self) -> list[str]:
        """Every file of the row, once."""
        return paths_of(self.values)

    @property
    def files(self) -> dict[str, str]:
        """Tensor and slot to path, of every file of the row, once."""
        return dict(zip(self.labels, self.paths, strict=True))


def paths_of(values: Iterable[Value]) -> list[str]:
    """Return the paths among some values, each once.

    Examples
    --------
    >>> paths_of(["a", 2.0, Sides("b", None), Sides("a", "c")])
    ['a', 'b', 'c']
    """
    found: dict[str, None] = {}
    for value in values:
        if isinstance(value, str):
            found[value] = None
        elif isinstance(value, Sides):
            found.update((path, None) for path in value if path)
    return list(found)


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
    label: str
    use: str  # what its numbers are for: an onset of 2.0 and a TR of 2.0 are not one number
    each: bool
    param: bool
    nothing: bool  # the recipe says that there is none

    @classmethod
    def of(cls, tensor: str, node: Node) -> _Slot:
        name, params = node.params["name"], node.params
        flags = {flag: bool(params.get(flag)) for flag in ("each", "param", "nothing")}
        return cls(tensor, name, label=f"{tensor}:{name}", use=name.split(":")[0], **flags)


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
        self.keys = tuple((slot.tensor, slot.name) for slot in self._slots)
        self._same: dict[Any, Any] = {}  # what rows have in common they share: masks, atlases

    def bind(self, cells: Sequence[Any]) -> Bound:
        """Bind a row, a value for each of `keys`; what holds the same value is the same leaf."""
        places: dict[tuple[str, Value], int] = {}
        files: dict[str, str] = {}

        def leaf(value: Any, slot: _Slot, name: str) -> int | _Literal:
            if slot.param:
                return _Literal(type(value), value)
            if value is None or value == {"L": None, "R": None}:
                return -1 if slot.nothing else -2
            value = Sides(value["L"], value["R"]) if isinstance(value, dict) else value
            if isinstance(value, float):
                return places.setdefault((slot.use, value), len(places))
            for path in paths_of([value]):
                files.setdefault(path, _label(name, value, path))
            return places.setdefault(("file", value), len(places))

        leaves: list[_Leaf] = []
        for slot, value in zip(self._slots, cells, strict=True):
            if slot.each:
                items = enumerate(value or ())
                leaves.append(tuple(leaf(item, slot, f"{slot.label}[{i}]") for i, item in items))
            else:
                leaves.append(leaf(value, slot, slot.label))
        values = tuple(self._shared(v) if isinstance(v, str) else v for _, v in places)
        labels = self._shared(tuple(files.values()))
        try:
            roots = _graph(self._roots, self._names, self.keys, tuple(leaves), ops.generation)
        except RecordError as error:
            return Bound((), values, labels, str(error))
        return Bound(roots, values, labels)

    def _shared(self, value: Any) -> Any:
        return self._same.setdefault(value, value)


def _label(name: str, value: Value, path: str) -> str:
    """Return what a file is called: of two hemispheres each has a name."""
    if isinstance(value, Sides):
        return f"{name}.{'L' if path == value.L else 'R'}"
    return name


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
