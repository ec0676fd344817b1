"""Run a survey's rows in this process: decode ahead in threads, compute, hand over in order."""

from __future__ import annotations

import os
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.errors import RecipeError, RecordError
from entense.execute.buffers import Buffers
from entense.execute.compute import run_blocks, run_whole
from entense.execute.decode import Decoded, ParcelSink, Sink, VoxelSink, decode
from entense.ops.core import Kind, Spec
from entense.ops.spatial import Pool
from entense.plan.fuse import DECODED, Program, compile_program
from entense.plan.host import freedom, make, read_tables
from entense.plan.optimize import RULES, Rule, kind, nodes
from entense.plan.survey import Survey, look, opened, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from entense.tensors.graph import Node

_MOST_DECODERS = 8  # more would only wait for the thread that computes and writes


@dataclass(frozen=True)
class Outcome:
    """What became of a row.

    Parameters
    ----------
    row
        Its number in the table.
    arrays
        Tensor to array, C-contiguous; None where the record failed.
    counts
        Tensor to how many of its voxels are ``constant`` or ``nonfinite``, how many of its parcels
        are ``absent``, and about how many degrees of ``freedom`` its filters leave in time.
    error
        The sentence that says what is wrong, or None.
    """

    row: int
    arrays: Mapping[str, NDArray[Any]] | None
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class _Loaded:
    """A record whose files have been read."""

    program: Program
    known: dict[Node, Any]
    env: dict[Node, Any]
    decoded: dict[Node, Decoded]


def run(
    survey: Survey,
    rows: Sequence[int],
    *,
    memory: int | None = None,
    rules: tuple[Rule, ...] = RULES,
) -> Iterator[Outcome]:
    """Compute rows of a surveyed table.

    Files are decoded ahead in threads while this one computes and the caller writes.

    Parameters
    ----------
    survey
        The table's survey.
    rows
        Which rows, in the order in which they are wanted.
    memory
        How many bytes of arrays may be held at once; at least one record always is. Unless
        given, one record a decoding thread.
    rules
        The optimiser's rules to use.

    Yields
    ------
    An outcome a row; its arrays are valid until the next one is asked for. One bad record never
    stops the others.
    """
    buffers = Buffers()
    for row, future in _loading(survey, rows, memory, rules, buffers):
        outcome = _outcome(survey, row, future, buffers)
        yield outcome
        # once each, though two tensors may be one array: others may have been lent it by then
        for array in {id(array): array for array in (outcome.arrays or {}).values()}.values():
            buffers.take_back(array)


def _loading(
    survey: Survey,
    rows: Sequence[int],
    memory: int | None,
    rules: tuple[Rule, ...],
    buffers: Buffers,
) -> Iterator[tuple[int, Future[_Loaded]]]:
    """Yield the rows in order, each on its way to be loaded, with others loading behind it."""
    todo = deque(rows)
    loading: deque[tuple[int, int, Future[_Loaded]]] = deque()
    threads = max(1, min(_cores(), _MOST_DECODERS))
    with ThreadPoolExecutor(threads, thread_name_prefix="entense-decode") as pool:
        try:
            while todo or loading:
                # the first is computed while the others load; more would only hold memory
                while todo and len(loading) < max(threads, 2):
                    size = survey.sizes[todo[0]]
                    held = sum(size for _, size, _ in loading)
                    if loading and memory is not None and held + size > memory:
                        break
                    row = todo.popleft()
                    future = pool.submit(_load, survey, row, rules, buffers)
                    loading.append((row, size, future))
                yield loading[0][0], loading[0][2]
                loading.popleft()
        finally:  # the caller may stop early, or be interrupted
            pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _load(survey: Survey, row: int, rules: tuple[Rule, ...], buffers: Buffers) -> _Loaded:
    """Read all files of a row; this runs in a decoding thread."""
    bound = survey.bound[row]
    if (error := survey.errors[row]) is not None:
        raise RecordError(error)
    program = compile_program(bound.roots, rules)
    known = look(bound)
    decoded: dict[Node, Decoded] = {}
    for stage in program.decodes:
        sinks = [_sink(node, known, buffers) for node in stage.sinks]
        header = known[opened(stage.sinks[0])].header
        decoded.update(zip(stage.sinks, decode(header, sinks), strict=True))
    env = {node: item.data for node, item in decoded.items()}
    read_tables(program, known)
    return _Loaded(program, known, env, decoded)


def _sink(node: Node, known: dict[Node, Any], buffers: Buffers) -> Sink:
    volume = known[opened(node)]
    if node.op == "parcels":
        return ParcelSink(volume.header, volume.mask, known[node.inputs[3]])
    return VoxelSink(volume.header, volume.mask, buffers, centred=node.op == "centred")


def _outcome(survey: Survey, row: int, future: Future[_Loaded], buffers: Buffers) -> Outcome:
    bound, specs = survey.bound[row], survey.specs[row]
    try:
        loaded = future.result()
        arrays = _compute(loaded, buffers)
        named = dict(zip(survey.tensors, arrays, strict=True))
        _check(named, specs or {})
        return Outcome(row, named, dict(zip(survey.tensors, _counts(loaded), strict=True)))
    except (RecipeError, ImportError):  # no record's fault
        raise
    except Exception as error:  # whatever it is, the other records go on
        return Outcome(row, None, error=sentence(error, bound))


def _compute(loaded: _Loaded, buffers: Buffers) -> list[NDArray[Any]]:
    program, env = loaded.program, loaded.env
    env.update((node, make(node, loaded.known)) for node in program.hosted)
    for stage in program.blocks:
        run_blocks(stage, env, _voxels(stage.mask, loaded), buffers)
    run_whole(program.whole, env)
    for item in loaded.decoded.values():
        buffers.take_back(item.memory)
    return [np.asarray(env[root], order="C") for root in program.roots]


def _voxels(mask: Node, loaded: _Loaded) -> int:
    volumes = (n for n in loaded.known if n.op == "volume" and n.inputs[1] is mask)
    return int(loaded.known[next(volumes)].mask.voxels)


def _check(arrays: Mapping[str, NDArray[Any]], specs: Mapping[str, Spec]) -> None:
    for name, array in arrays.items():
        due = specs[name]
        if array.shape != due.shape or str(array.dtype) != due.dtype:
            raise RecipeError(
                f"the tensor {name!r} came out as {array.dtype} {array.shape}, "
                f"{due.dtype} {due.shape} was promised; an op's `infer` is wrong"
            )


def _counts(loaded: _Loaded) -> Iterator[dict[str, int]]:
    for root in loaded.program.roots:
        under = nodes((root,))
        files = [loaded.decoded[node] for node in under if node.op in DECODED]
        counts = {
            "constant": sum(item.constant for item in files),
            "nonfinite": sum(item.nonfinite for item in files),
        }
        pooled = [_absent(n, loaded) for n in under if n.op == "parcels" or kind(n) is Kind.POOL]
        filters = [freedom(loaded.env[node]) for node in under if node.op == "operator"]
        counts |= {"absent": max(pooled)} if pooled else {}
        yield counts | ({"freedom": min(filters)} if filters else {})


def _absent(node: Node, loaded: _Loaded) -> int:
    """Return how many parcels have no voxel."""
    if node.op == "parcels":
        return int(np.isnan(loaded.decoded[node].data.first).sum())
    pool = loaded.env.get(node)
    if isinstance(pool, Pool):
        return int((np.asarray(pool.count) == 0).sum())
    if pool is not None:  # it is a tensor, and finished
        return int(np.isnan(pool[0]).sum())
    codes = loaded.env[node.inputs[1]]  # it stayed inside a program
    return int((np.bincount(codes.codes, minlength=codes.values.size + 1)[1:] == 0).sum())
