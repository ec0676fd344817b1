"""Run a program's device stages on what was decoded of a record."""

from __future__ import annotations

import operator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.execute.decode import BLOCK
from entense.ops.core import Kind, function_of, ops
from entense.ops.linear import Centred, apply
from entense.ops.parcels import Codes, Weights
from entense.plan.optimize import kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from entense.execute.buffers import Buffers
    from entense.plan.fuse import Blocks, Whole
    from entense.tensors.graph import Node

Arrays = dict["Node", Any]


def _function(node: Node) -> Callable[..., Any]:
    if node.op == "apply":
        return apply
    if node.op == "dense":
        return lambda x: x.dense
    return function_of(node)


def _evaluate(nodes: tuple[Node, ...], env: dict[Node, Any]) -> None:
    for node in nodes:
        env[node] = _function(node)(*(env[item] for item in node.inputs))


@lru_cache(maxsize=256)
def _block_function(stage: Blocks, _generation: int) -> Callable[..., Any]:
    """Return the jitted function of a block of voxels."""
    import jax

    def run(*inputs: Any) -> tuple[list[Any], list[Any]]:
        env = dict(zip(stage.inputs, inputs, strict=True))
        _evaluate(stage.nodes, env)
        return [env[node] for node in stage.arrays], [env[node] for node in stage.pools]

    jitted: Callable[..., Any] = jax.jit(run)
    return jitted


@lru_cache(maxsize=256)
def _whole_function(stage: Whole, _generation: int) -> Callable[..., Any]:
    """Return the jitted function of whole arrays; pools over blocks are finished on the way in."""
    import jax

    def run(*inputs: Any) -> list[Any]:
        env = dict(zip(stage.inputs, inputs, strict=True))
        for node in (*stage.inputs, *stage.nodes):
            if node not in env:
                _evaluate((node,), env)
            env[node] = _finished(node, env[node])
        return [env[node] for node in stage.outputs]

    jitted: Callable[..., Any] = jax.jit(run)
    return jitted


def _finished(node: Node, value: Any) -> Any:
    finish = ops[node.op].finish if kind(node) is Kind.POOL else None
    return value if finish is None else finish(value)


def run_blocks(stage: Blocks, env: Arrays, columns: int, buffers: Buffers) -> None:
    """Run a stage block by block; its arrays and pools are put into `env`.

    Parameters
    ----------
    stage
        The stage.
    env
        Its inputs: arrays of columns as blocks, codes, operators, numbers.
    columns
        How many there are; blocks are padded to one fixed size.
    buffers
        Where the memory of the arrays comes from.
    """
    import jax

    function = _block_function(stage, ops.generation)
    count = -(-columns // BLOCK)
    inputs = [_blocked(env[node]) for node in stage.inputs]
    arrays: list[NDArray[Any]] = []
    pools: list[Any] | None = None
    running: list[Any] = []
    for number in range(count + 1):  # one block is computed while another is copied out
        if number < count:
            running.append(function(*(_block_of(value, number) for value in inputs)))
        if number > 0:
            done, sums = running.pop(0)
            arrays = arrays or [buffers.lend((*a.shape[:-1], columns), a.dtype) for a in done]
            _put(done, arrays, number - 1)
            pools = sums if pools is None else jax.tree.map(operator.add, pools, sums)
    env.update(zip(stage.arrays, arrays, strict=True))
    env.update(zip(stage.pools, pools or [], strict=True))


def _blocked(value: Any) -> Any:
    """Return codes in padded blocks, in which padding belongs to no parcel; the rest as it is."""
    if not isinstance(value, Codes):
        return value
    padded = np.zeros(-(-value.codes.size // BLOCK) * BLOCK, np.int32)
    padded[: value.codes.size] = value.codes
    return Codes(padded.reshape(-1, BLOCK), value.values)


def _block_of(value: Any, number: int) -> Any:
    """Return what block `number` needs of an input."""
    if isinstance(value, Centred):
        return Centred(value.delta[number], value.first[number])
    if isinstance(value, Codes):
        return Codes(value.codes[number], value.values)
    if isinstance(value, Weights):
        dense = np.zeros((BLOCK, value.matrix.shape[1]), np.float32)
        part = value.matrix[number * BLOCK : (number + 1) * BLOCK]
        dense[: part.shape[0]] = part.toarray()
        return Weights(dense)
    return value[number] if isinstance(value, np.ndarray) else value


def _put(done: list[Any], arrays: list[NDArray[Any]], number: int) -> None:
    start = number * BLOCK
    for array, block in zip(arrays, done, strict=True):
        width = min(BLOCK, array.shape[-1] - start)
        array[..., start : start + width] = np.asarray(block)[..., :width]


def run_whole(stage: Whole, env: Arrays) -> None:
    """Run the stage of whole arrays; its outputs are put into `env`."""
    if not stage.outputs:
        return
    inputs = [_dense(env[node]) for node in stage.inputs]
    outputs = _whole_function(stage, ops.generation)(*inputs)
    env.update(zip(stage.outputs, map(np.asarray, outputs), strict=True))


def _dense(value: Any) -> Any:
    return Weights(value.matrix.toarray()) if isinstance(value, Weights) else value
