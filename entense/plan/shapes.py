"""What is known of a node before it runs: of a recipe's, and of one that rules made."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.errors import RecipeError, RecordError, naming
from entense.ops.core import Kind, Spec, function_of, ops
from entense.ops.load import GIVEN, SERIES, Given, Opened
from entense.ops.spec import COLUMNS
from entense.plan.optimize import Roots, kind, nodes
from entense.tensors.graph import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

BLOCK = 4_096
"""Columns that are computed at once: the same for every record, whatever the memory."""
FRAMES = 8
"""Frames that are computed at once where a stage is cut along time."""
PAD = 40
"""Frames that time is padded to: runs of many lengths share few programs.

Scanners are mostly told round numbers: 120, 200, 240, 400 or 1,200 frames take no padding.
"""


_NUMPY = (
    "it asks for numbers that are not there yet; use jax.numpy for numpy, and jnp.where for an "
    "`if`: "
)


def spec_of(known: Any) -> Any:
    """Return the spec of what was opened; anything else as it is."""
    return known.spec if isinstance(known, Opened | Given) else known


def infer(node: Node, inputs: Sequence[Any]) -> Spec:
    """Return what a registered op makes of what is known of its inputs."""
    if ops[node.op].infer is None:
        return _traced(node, inputs)
    if all(one is None or (isinstance(one, Spec) and one.kept is None) for one in inputs):
        return _inferred(node, tuple(inputs), ops.generation)
    return _infer(node, inputs)


@lru_cache(maxsize=1024)  # many records ask the same
def _inferred(node: Node, inputs: tuple[Spec | None, ...], _generation: int) -> Spec:
    return _infer(node, inputs)


def _infer(node: Node, inputs: Sequence[Any]) -> Spec:
    operation: Any = ops[node.op]
    given = [list(inputs)] if operation.kind is Kind.GATHER else inputs
    with naming(node.op):
        spec = operation.infer(*given, **node.params)
    if not isinstance(spec, Spec):
        raise RecipeError(
            f"the `infer` of the op {node.op!r} gives {type(spec).__name__}, a Spec is due; make "
            "it of the first input's, with dataclasses.replace"
        )
    return spec


def specs_of(roots: Roots, known: Mapping[Node, Any]) -> dict[Node, Any]:
    """Return the specs of a program's nodes.

    Parameters
    ----------
    roots
        The graph as the rules left it.
    known
        What is known of the recipe's nodes.

    Returns
    -------
    Node to `Spec`; to the number itself of an input that is one; to None of what has none.
    """
    specs: dict[Node, Any] = {}
    for node in nodes(roots):
        specs[node] = _spec(node, specs, known)
    return specs


def _spec(node: Node, specs: Mapping[Node, Any], known: Mapping[Node, Any]) -> Any:
    if node.op in (*SERIES, *GIVEN, "value", "absent"):
        return spec_of(known[node])
    if node.op in _MADE_BY_RULES:
        return _MADE_BY_RULES[node.op](node, specs, known)
    if len(node.inputs) == 2 and node.inputs[1].op == "made":
        return _hosted(node, node.inputs[1].inputs[0], specs, known)
    if kind(node) is Kind.POOL:
        files = node.inputs[1].inputs[1:]
        return infer(node, [specs[node.inputs[0]], *(spec_of(known[file]) for file in files)])
    return infer(node, [specs[item] for item in node.inputs])


def _hosted(node: Node, recipe: Node, specs: Mapping[Node, Any], known: Mapping[Node, Any]) -> Any:
    """Return the spec of what is computed with something that the recipe's op made on the CPU."""
    x = spec_of(known[node.inputs[0]]) if node.op == "mixed" else specs[node.inputs[0]]
    return infer(recipe, [x, *(spec_of(known[file]) for file in recipe.inputs[1:])])


def _nothing(*_: Any) -> None:
    return None


def _filtered(node: Node, specs: Mapping[Node, Any], known: Mapping[Node, Any]) -> Spec:
    x: Spec = specs[node.inputs[0]]
    after: Spec = known[node.inputs[1].inputs[-1]]
    in_time = {name: getattr(after, name) for name in ("tr", "kept", "begins", "windowed")}
    return replace(x, shape=(after.shape[0], *x.shape[1:]), dtype="float32", **in_time)


def _parcels(node: Node, _: Mapping[Node, Any], known: Mapping[Node, Any]) -> Spec:
    return infer(Node("parcellate", *node.inputs), [spec_of(known[item]) for item in node.inputs])


def _summary(node: Node, _: Mapping[Node, Any], known: Mapping[Node, Any]) -> Any:
    (recipe,) = node.inputs
    return known[recipe] if kind(recipe) is Kind.SUMMARY else None


_MADE_BY_RULES: Mapping[str, Callable[..., Any]] = {
    "operator": _nothing,
    "codes": _nothing,
    "made": _summary,
    "apply": _filtered,
    "dense": lambda node, specs, known: specs[node.inputs[0]],
    "centred": lambda node, specs, known: _spec(node.inputs[0], specs, known),
    "parcels": _parcels,
}


def is_wide(spec: Any) -> bool:
    """Whether a tensor's last axis is one of columns, which can be cut."""
    return (
        isinstance(spec, Spec)
        and spec.dims[-1:] != ()
        and spec.dims[-1] in COLUMNS
        and spec.dims.count(spec.dims[-1]) == 1
    )


def axes_of(specs: Mapping[Node, Any]) -> dict[Node, int]:
    """Return, of each wide tensor, a number that is the same for those of the same columns."""
    numbers: dict[Any, int] = {}
    wide = {node: spec for node, spec in specs.items() if is_wide(spec)}
    return {n: numbers.setdefault(spec.mask or n, len(numbers)) for n, spec in wide.items()}


def is_timed(spec: Any) -> bool:
    """Whether a tensor has an axis of time."""
    return isinstance(spec, Spec) and "time" in spec.dims


def frames_of(spec: Any) -> int:
    """Return how many frames a tensor has; 0 where it has no time."""
    return spec.size("time") if is_timed(spec) else 0


def real(array: Any, spec: Any) -> Any:
    """Return an array without the padding of its time axis."""
    if not is_timed(spec):
        return array
    return array[(slice(None),) * spec.dims.index("time") + (slice(spec.size("time")),)]


def longer(array: NDArray[Any], spec: Any) -> NDArray[Any]:
    """Return an array whose time axis is padded with zeros, where it has one."""
    if not is_timed(spec) or padded(spec.size("time")) == spec.size("time"):
        return array
    axis = spec.dims.index("time")
    shape = (*array.shape[:axis], padded(array.shape[axis]), *array.shape[axis + 1 :])
    whole = np.zeros(shape, array.dtype)
    real(whole, spec)[...] = array
    return whole


def padded(frames: int) -> int:
    """Return how many frames a series is padded to.

    Examples
    --------
    >>> padded(200), padded(224)
    (200, 240)
    """
    return -(-frames // PAD) * PAD


def _traced(node: Node, inputs: Sequence[Any]) -> Spec:
    """Infer the shape of an op that does not say: by tracing it."""
    first: Spec = inputs[0]
    known = tuple(None if s is None else _traceable(s) for s in inputs)
    shape, dtype = _shape(node, known, ops.generation)
    if shape == first.shape:  # what is known of its frames stays known
        return replace(first, dtype=dtype)
    if first.dims[:1] == ("time",) and shape[:1] == first.shape[:1]:
        dims = ("time", *(f"{node.op}_{i}" for i in range(1, len(shape))))
        return replace(first, dims=dims, shape=shape, dtype=dtype, coords={}, mask=None)
    return Spec(tuple(f"{node.op}_{i}" for i in range(len(shape))), shape, dtype)


def _traceable(known: Any) -> tuple[tuple[int, ...], str]:
    return (known.shape, known.dtype) if isinstance(known, Spec) else ((), "float32")


@lru_cache(maxsize=4096)
def _shape(node: Node, inputs: tuple[Any, ...], _generation: int) -> tuple[tuple[int, ...], str]:
    import jax

    arrays = [None if known is None else jax.ShapeDtypeStruct(*known) for known in inputs]
    try:
        out = jax.eval_shape(function_of(node), *arrays)
    except Exception as error:
        # several arrays may not fit together in one record and do so in the others
        kind = RecordError if len(arrays) > 1 else RecipeError
        hint = _NUMPY if "racer" in type(error).__name__ else ""
        raise kind(f"the op {node.op!r} cannot be applied: {hint}{error}") from error
    if not hasattr(out, "shape"):
        raise RecipeError(
            f"the op {node.op!r} gives {type(out).__name__}, an array is due; mend its function"
        )
    return tuple(out.shape), str(out.dtype)
