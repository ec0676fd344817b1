"""A stage becomes one jitted function, which is asked what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.ops.core import Kind, function_of, ops
from entense.ops.linear import Centred, Operator, apply, mix
from entense.ops.parcels import Codes, Weights
from entense.plan.optimize import kind
from entense.plan.shapes import BLOCK, FRAMES, is_timed, is_wide, padded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from entense.plan.fuse import Stage
    from entense.tensors.graph import Node

_OURS: dict[str, Callable[..., Any]] = {"apply": apply, "mix": mix, "dense": lambda x: x.dense}


@dataclass(frozen=True)
class Form:
    """What a jitted function of a stage depends on, beside the shapes of its inputs.

    Parameters
    ----------
    stage
        The stage.
    timed
        Of each of its nodes, whether its first axis is time.
    pads
        Whether time is padded; frames beyond the last are zero.
    """

    stage: Stage
    timed: tuple[bool, ...]
    pads: bool


def form_of(stage: Stage, specs: Mapping[Node, Any]) -> Form:
    """Return what a stage is compiled as."""
    timed = tuple(is_timed(specs[node]) for node in stage.nodes)
    return Form(stage, timed, stage.cut == "frames" or all(map(_takes_padding, stage.nodes)))


def _takes_padding(node: Node) -> bool:
    return node.op in _OURS or kind(node) is Kind.POOL or ops[node.op].padded


@lru_cache(maxsize=256)
def function_for(form: Form, _generation: int) -> Callable[..., Any]:
    """Return the jitted function of a stage: of the lengths of its nodes, then of its inputs."""
    import jax
    import jax.numpy as jnp

    stage = form.stage

    def run(lengths: Any, *inputs: Any) -> list[Any]:
        env = dict(zip(stage.inputs, inputs, strict=True))
        for number, (node, timed) in enumerate(zip(stage.nodes, form.timed, strict=True)):
            given = {}
            if form.pads and node.op in ops and ops[node.op].padded:
                given["frames"] = lengths[number, 0]
            value = _function(node)(*(env[item] for item in node.inputs), **given)
            if form.pads and timed and kind(node) is not Kind.POOL and stage.cut != "frames":
                there = jnp.arange(value.shape[0]) < lengths[number, 1]
                value = jnp.where(there.reshape(-1, *[1] * (value.ndim - 1)), value, 0)
            env[node] = value
        return [env[node] for node in stage.outputs]

    jitted: Callable[..., Any] = jax.jit(run)
    return jitted


def _function(node: Node) -> Callable[..., Any]:
    return _OURS.get(node.op) or function_of(node)


def lengths_of(form: Form, specs: Mapping[Node, Any]) -> NDArray[np.float32]:
    """Return (node, 2): the frames of each node's first input, and its own."""
    rows = [(_frames(specs[n.inputs[0]]), _frames(specs[n])) for n in form.stage.nodes]
    return np.array(rows, np.float32)


def _frames(spec: Any) -> int:
    return spec.shape[0] if is_timed(spec) else 0


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
    compiled = jitted.lower(lengths_of(form, specs), *inputs).compile()
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
        frames = padded(shape[0]) if form.pads else shape[0]
        shape[0] = FRAMES if form.stage.cut == "frames" else frames
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
