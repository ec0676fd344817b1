"""A stage becomes one jitted function, which is asked what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.errors import RecipeError, naming
from entense.ops.core import Kind, function_of, ops
from entense.ops.linear import Centred, Operator, Stored, apply, mix
from entense.ops.parcels import Codes, Weights
from entense.ops.standardize import within
from entense.plan.fuse import Stage
from entense.plan.optimize import kind
from entense.plan.shapes import BLOCK, FRAMES, frames_of, is_timed, is_wide, padded
from entense.tensors.graph import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


_OURS: dict[str, Callable[..., Any]] = {"apply": apply, "mix": mix, "dense": lambda x: x.dense}


@dataclass(frozen=True)
class Form:
    """What a jitted function of a stage depends on, beside the shapes of its inputs.

    Parameters
    ----------
    stage
        The stage, whose inputs are places: whatever is put there, the function is the same.
    pads
        Whether time is padded; frames beyond the last are zero.
    given
        Which of its inputs are series of columns, beyond whose last frame there may be anything.
    time
        Of each of its nodes, which axis is time, and how long it is made: 0 where it has none.
    promised
        Of each of its nodes, the shape and the dtype that it makes.
    """

    stage: Stage
    pads: bool
    given: tuple[int, ...]
    time: tuple[tuple[int, int], ...]
    promised: tuple[tuple[tuple[int, ...], str], ...]


def form_of(stage: Stage, specs: Mapping[Node, Any]) -> Form:
    """Return what a stage is compiled as."""
    pads = stage.cut == "frames" or all(_takes_padding(node, specs) for node in stage.nodes)
    if stage.cut == "frames":
        time = tuple((0, FRAMES) for _ in stage.nodes)
    else:
        time = tuple(_time(specs[node], pads=pads) for node in stage.nodes)
    padded_ones = pads and stage.cut == "columns"
    given = [place for place, node in enumerate(stage.inputs) if _is_series(specs.get(node))]
    promised = zip(stage.nodes, time, strict=True)
    return Form(
        stage=_with_places(stage),
        pads=pads,
        given=tuple(given) if padded_ones else (),
        time=time,
        promised=tuple(_promised(stage, specs[node], *when) for node, when in promised),
    )


def _promised(stage: Stage, spec: Any, axis: int, frames: int) -> tuple[tuple[int, ...], str]:
    shape = list(spec.shape)
    if frames:
        shape[axis] = frames
    if stage.cut == "columns" and is_wide(spec):
        shape[-1] = BLOCK
    return tuple(shape), spec.dtype


def _is_series(spec: Any) -> bool:
    return is_wide(spec) and spec.dims[0] == "time"


def _time(spec: Any, *, pads: bool) -> tuple[int, int]:
    if not is_timed(spec):
        return 0, 0
    frames = frames_of(spec)
    return spec.dims.index("time"), padded(frames) if pads else frames


def _takes_padding(node: Node, specs: Mapping[Node, Any]) -> bool:
    if node.op in _OURS or kind(node) is Kind.POOL or ops[node.op].padded:
        return True
    return not any(is_timed(specs[item]) for item in node.inputs)


@lru_cache(maxsize=256)
def _with_places(stage: Stage) -> Stage:
    new = {node: Node("input", place=place) for place, node in enumerate(stage.inputs)}
    for node in stage.nodes:
        new[node] = Node(node.op, *(new[item] for item in node.inputs), **node.params)
    nodes, inputs, outputs = (
        tuple(new[node] for node in some) for some in (stage.nodes, stage.inputs, stage.outputs)
    )
    return Stage(stage.cut, nodes, inputs, outputs)


@lru_cache(maxsize=256)
def function_for(form: Form, _generation: int) -> Callable[..., Any]:
    """Return the jitted function of a stage: of the lengths of its nodes, then of its inputs."""
    import jax

    stage = form.stage
    masks = form.pads and stage.cut != "frames"  # frames by themselves need none

    def run(lengths: Any, *inputs: Any) -> list[Any]:
        counts, lengths = lengths
        values = [value.numbers if isinstance(value, Stored) else value for value in inputs]
        for place in form.given:
            values[place] = _only(values[place], counts[place])
        env = dict(zip(stage.inputs, values, strict=True))
        for number, node in enumerate(stage.nodes):
            own, *before = lengths[number]
            with naming(node.op):
                value = _function(node)(*(env[i] for i in node.inputs), **_given(node, before))
            axis, length = form.time[number]
            if node.op in ops and kind(node) is not Kind.POOL:
                _check(node, value, form, number)
            if masks and length and kind(node) is not Kind.POOL:
                value = within(jax.lax.slice_in_dim(value, 0, length, axis=axis), own, axis)
            env[node] = value
        return [env[node] for node in stage.outputs]

    def _given(node: Node, before: Any) -> dict[str, Any]:
        if not (form.pads and node.op in ops and ops[node.op].padded):
            return {}
        return {"frames": before if kind(node) is Kind.GATHER else before[0]}

    jitted: Callable[..., Any] = jax.jit(run)
    return jitted


def _check(node: Node, value: Any, form: Form, number: int) -> None:
    """Hold an op to what its `infer` promised; joined runs that are padded may be longer."""
    (axis, length), (shape, dtype) = form.time[number], form.promised[number]
    made = list(value.shape)
    if form.pads and length and len(made) == len(shape) and kind(node) is Kind.GATHER:
        made[axis] = min(made[axis], length)
    if (tuple(made), str(value.dtype)) != (shape, dtype):
        raise RecipeError(
            f"the op {node.op!r} gives {value.dtype} {value.shape}, {dtype} {shape} was promised; "
            "its `infer` is wrong, mend it or leave it out"
        )


def _only(value: Any, frames: Any) -> Any:
    """Return a series with zeros beyond its last frame."""
    if isinstance(value, Centred):
        return Centred(within(value.delta, frames), value.first)
    return within(value, frames)


def _function(node: Node) -> Callable[..., Any]:
    return _OURS.get(node.op) or function_of(node)


def lengths_of(stage: Stage, specs: Mapping[Node, Any]) -> tuple[list[Any], list[list[Any]]]:
    """Return how many frames each input has, and each node and its inputs."""

    def frames(nodes: Iterable[Node]) -> list[np.float32]:
        return [np.float32(frames_of(specs.get(node))) for node in nodes]

    return frames(stage.inputs), [frames((node, *node.inputs)) for node in stage.nodes]


def padded_operator(value: Operator) -> Operator:
    """Return a filter of padded series: what is beyond the last frame counts as nothing."""
    after, before = value.matrix.shape
    matrix = np.zeros((padded(after), padded(before)), np.float32)
    matrix[:after, :before] = value.matrix
    ones = np.zeros(len(matrix), np.float32)
    ones[:after] = value.ones
    return Operator(matrix, ones)


@lru_cache(maxsize=64)
def finisher(name: str, _generation: int) -> Callable[..., Any]:
    """Return the jitted function that makes an array of a pool."""
    import jax

    jitted: Callable[..., Any] = jax.jit(ops[name].finish or (lambda pool: pool))
    return jitted


@dataclass(frozen=True)
class Cost:
    """What a stage takes for a record, as its compiled program says.

    Parameters
    ----------
    pieces
        How often the program runs: once a block of columns, or a few frames.
    flops
        Floating-point operations of all pieces together.
    bytes
        What one piece holds: arguments, results and what is between them.
    """

    pieces: int
    flops: float
    bytes: int


def cost_of(stage: Stage, specs: Mapping[Node, Any], hosted: Mapping[Node, Any]) -> Cost:
    """Compile a stage and return what it costs; nothing is run.

    Parameters
    ----------
    stage
        The stage.
    specs
        What is known of the program's nodes.
    hosted
        What was made on the CPU for it: operators, codes.
    """
    form = form_of(stage, specs)
    inputs = [_argument(form, node, specs[node], hosted) for node in stage.inputs]
    jitted: Any = function_for(form, ops.generation)
    compiled = jitted.lower(lengths_of(stage, specs), *inputs).compile()
    pieces, memory = _pieces(stage, specs), compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return Cost(pieces, pieces * float((compiled.cost_analysis() or {}).get("flops", 0)), int(held))


def _pieces(stage: Stage, specs: Mapping[Node, Any]) -> int:
    if stage.cut == "whole":
        return 1
    shape = specs[stage.nodes[0].inputs[0]].shape
    return -(-int(shape[-1]) // BLOCK) if stage.cut == "columns" else -(-int(shape[0]) // FRAMES)


def _argument(form: Form, node: Node, spec: Any, hosted: Mapping[Node, Any]) -> Any:
    """Return what an input looks like to the program: its shape, or what was made."""
    import jax

    if node.op in ("operator", "codes") or (node.op == "made" and spec is None):
        return _shaped(form, hosted[node])
    if not hasattr(spec, "shape"):  # a number, or none
        return None if spec is None else np.float32(spec)
    shape = list(spec.shape)
    if is_timed(spec):
        axis, frames = _time(spec, pads=form.pads)
        shape[axis] = FRAMES if form.stage.cut == "frames" else frames
    if form.stage.cut == "columns" and is_wide(spec):
        shape[-1] = BLOCK
    array = jax.ShapeDtypeStruct(tuple(shape), spec.dtype)
    if node.op not in ("centred", "parcels"):
        return array
    return Centred(array, jax.ShapeDtypeStruct(tuple(shape[1:]), spec.dtype))


def _shaped(form: Form, made: Any) -> Any:
    if isinstance(made, Operator):
        return padded_operator(made) if form.pads else made
    if isinstance(made, Codes) and form.stage.cut == "columns":
        return Codes(np.zeros(BLOCK, np.int32), made.values)
    if isinstance(made, Weights):
        rows = BLOCK if form.stage.cut == "columns" else made.matrix.shape[0]
        return Weights(np.zeros((rows, made.matrix.shape[1]), np.float32))
    return made
