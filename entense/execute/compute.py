"""Run a program's device stages on what was decoded of a record."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from entense.execute.blocks import Blocks
from entense.ops.core import Kind, ops
from entense.ops.linear import Centred, Operator
from entense.ops.parcels import Codes, Weights
from entense.plan.host import one_thread
from entense.plan.jit import Form, finisher, form_of, function_for, lengths_of, padded_operator
from entense.plan.optimize import kind
from entense.plan.shapes import BLOCK, FRAMES, is_timed, longer, padded, real

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from entense.buffers import Buffers
    from entense.plan.fuse import Stage
    from entense.tensors.graph import Node

Function: TypeAlias = "Callable[..., Any]"


@dataclass
class Record:
    """A record while it is computed.

    Parameters
    ----------
    env
        What there is: `Blocks` and arrays of columns, codes, operators, numbers.
    specs
        What is known of the program's nodes.
    buffers
        Where the memory of arrays comes from.
    at_once
        How many blocks of columns are computed while others are copied out.
    """

    env: dict[Node, Any]
    specs: Mapping[Node, Any]
    buffers: Buffers
    at_once: int = 2


def run_stage(stage: Stage, record: Record) -> None:
    """Run a stage; what it gives is put with what there is of the record.

    Of a part of the columns where the `Blocks` are; `finish` completes what parts have made.
    """
    form = form_of(stage, record.specs)
    function = partial(function_for(form, ops.generation), lengths_of(stage, record.specs))
    run = {"columns": _run_columns, "frames": _run_frames, "whole": _run_whole}[stage.cut]
    run(stage, form, function, record)


def finish(stage: Stage, record: Record) -> None:
    """Make the arrays that a stage's pools stand for, once all columns are in."""
    for node in stage.outputs:
        if kind(node) is Kind.POOL:
            spec, made = record.specs[node], finisher(node.op, ops.generation)
            record.env[node] = real(np.asarray(made(record.env[node])), spec)


# columns


def _run_columns(stage: Stage, form: Form, function: Function, record: Record) -> None:
    """Run block by block; blocks are padded to one size, so that results depend on no budget."""
    env, specs = record.env, record.specs
    span = _span(stage, env, specs)
    inputs = [_of_columns(env[node], specs[node], pads=form.pads) for node in stage.inputs]
    running: list[Any] = []
    numbers = range(span.start // BLOCK, -(-span.stop // BLOCK))
    for number in [*numbers, None]:
        if number is not None:
            running.append((number, function(*(value(number) for value in inputs))))
        while running and (number is None or len(running) >= record.at_once):
            done, made = running.pop(0)
            for node, value in zip(stage.outputs, made, strict=True):
                _keep(node, value, done, record)


def _span(stage: Stage, env: Mapping[Node, Any], specs: Mapping[Node, Any]) -> range:
    """Return the columns that are run: those that were decoded, or all."""
    for node in stage.inputs:
        if isinstance(env[node], Blocks):
            part: range = env[node].span
            return part
    return range(next(_widths(stage, specs)))


def _widths(stage: Stage, specs: Mapping[Node, Any]) -> Iterator[int]:
    yield from (specs[i].shape[-1] for n in stage.nodes for i in n.inputs if specs.get(i))


def _of_columns(value: Any, spec: Any, *, pads: bool) -> Callable[[int], Any]:
    """Return a function from the number of a block to what the block needs of an input."""
    if isinstance(value, Blocks):
        frames = padded(spec.shape[0]) if pads else None
        return lambda number: value.block(number, frames)
    if isinstance(value, Codes):
        whole = np.zeros(-(-value.codes.size // BLOCK) * BLOCK, np.int32)
        whole[: value.codes.size] = value.codes
        return lambda number: Codes(whole[number * BLOCK :][:BLOCK], value.values)
    if isinstance(value, Weights):
        return lambda number: _weights_of(value, number)
    if isinstance(value, Operator):
        operated = padded_operator(value) if pads else value
        return lambda number: operated
    if isinstance(value, np.ndarray) and value.ndim:
        return lambda number: _cut(value, number, spec, pads=pads)
    return lambda number: value


def _weights_of(value: Weights, number: int) -> Weights:
    dense = np.zeros((BLOCK, value.matrix.shape[1]), np.float32)
    part = value.matrix[number * BLOCK : (number + 1) * BLOCK]
    dense[: part.shape[0]] = part.toarray()
    return Weights(dense)


def _cut(array: NDArray[Any], number: int, spec: Any, *, pads: bool) -> NDArray[Any]:
    part = array[..., number * BLOCK : (number + 1) * BLOCK]
    part = longer(part, spec) if pads else part
    if part.shape[-1] == BLOCK:
        return part
    block = np.zeros((*part.shape[:-1], BLOCK), part.dtype)
    block[..., : part.shape[-1]] = part
    return block


def _keep(node: Node, value: Any, number: int, record: Record) -> None:
    """Put a block of an array in its place, and add a pool to what there is of it."""
    import jax

    env, spec = record.env, record.specs[node]
    if kind(node) is Kind.POOL:
        jax.block_until_ready(value)  # it reads the memory of its columns, which others get next
        env[node] = jax.tree.map(operator.add, env[node], value) if node in env else value
        return
    if node not in env:
        env[node] = record.buffers.empty(spec.shape, value.dtype)
    start = number * BLOCK
    block = real(np.asarray(value), spec)[..., : min(BLOCK, spec.shape[-1] - start)]
    place = env[node][..., start : start + BLOCK]
    place[...] = block


# frames


def _run_frames(stage: Stage, _: Form, function: Function, record: Record) -> None:
    """Run a few frames at a time."""
    env, specs = record.env, record.specs
    total = specs[stage.nodes[0]].shape[0]
    for start in range(0, total, FRAMES):
        frames = min(FRAMES, total - start)
        inputs = [_of_frames(env[node], specs.get(node), start) for node in stage.inputs]
        for node, value in zip(stage.outputs, function(*inputs), strict=True):
            if node not in env:
                env[node] = record.buffers.empty(specs[node].shape, value.dtype)
            place = env[node][start : start + frames]
            place[...] = np.asarray(value)[:frames]


def _of_frames(value: Any, spec: Any, start: int) -> Any:
    """Return some frames of an array of the record's; anything else as it is."""
    if isinstance(value, Blocks):
        part = value.dense(start, min(start + FRAMES, spec.shape[0]))
    elif is_timed(spec) and isinstance(value, np.ndarray):
        part = value[start : start + FRAMES]
    else:
        return value
    if len(part) == FRAMES:
        return part
    return np.concatenate([part, np.zeros((FRAMES - len(part), *part.shape[1:]), part.dtype)])


# whole arrays


def _run_whole(stage: Stage, form: Form, function: Function, record: Record) -> None:
    """Run on all there is; BLAS is held to one thread, for LAPACK's bits depend on how many."""
    env, specs = record.env, record.specs
    inputs = [_whole(env[node], specs.get(node), pads=form.pads) for node in stage.inputs]
    with one_thread():
        arrays = [np.asarray(value) for value in function(*inputs)]
    for node, array in zip(stage.outputs, arrays, strict=True):
        env[node] = real(array, specs[node])


def _whole(value: Any, spec: Any, *, pads: bool) -> Any:
    if isinstance(value, Blocks):
        value = value.dense()
    if isinstance(value, Weights):
        return Weights(value.matrix.toarray())
    if not pads:
        return value
    if isinstance(value, Operator):
        return padded_operator(value)
    if isinstance(value, Centred):
        return Centred(longer(value.delta, spec), value.first)
    return longer(value, spec) if isinstance(value, np.ndarray) else value
