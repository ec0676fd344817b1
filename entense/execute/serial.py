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
from entense.execute.ahead import fetch_ahead
from entense.execute.buffers import Buffers
from entense.execute.compute import run_blocks, run_whole
from entense.execute.coverage import coverage
from entense.execute.decode import ColumnSink, Decoded, ParcelSink, Sink, decode
from entense.ops.load import GIVEN
from entense.ops.parcels import codes_of
from entense.plan.fuse import Program, compile_program
from entense.plan.host import freedom, make, read_tables
from entense.plan.optimize import DECODED, RULES, Rule, nodes, source
from entense.plan.survey import Survey, look, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from entense.ops.core import Spec
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
        Tensor to how many of its columns are ``constant`` or ``nonfinite``, how many of its parcels
        are ``absent``, its ``coverage``, and about how many degrees of ``freedom`` its filters
        leave in time.
    error
        The sentence that says what is wrong, or None.
    """

    row: int
    arrays: Mapping[str, NDArray[Any]] | None
    counts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
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
    inputs = (() if survey.errors[row] else survey.inputs[row].values() for row in rows)
    with fetch_ahead(inputs) as done:
        for row, future in _loading(survey, rows, memory, rules, buffers):
            outcome = _outcome(survey, row, future, buffers)
            done()
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
        series = known[source(stage.sinks[0])].series
        decoded.update(zip(stage.sinks, decode(series, sinks), strict=True))
    env = {node: item.data for node, item in decoded.items()}
    env |= {node: known[node].data for node in nodes(program.roots) if node.op in GIVEN}
    env |= {n: np.float32(x) for n, x in known.items() if n.op == "value" and type(x) is float}
    env |= {n: None for n in known if n.op == "absent"}  # a number that may be missing
    read_tables(program, known)
    return _Loaded(program, known, env, decoded)


def _sink(node: Node, known: dict[Node, Any], buffers: Buffers) -> Sink:
    opened = known[source(node)]
    if node.op == "parcels":
        return ParcelSink(opened, codes_of(known[node.inputs[1]], opened.mask))
    return ColumnSink(opened, buffers, centred=node.op == "centred")


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
        run_blocks(stage, env, loaded.known[stage.series].size, buffers)
    run_whole(program.whole, env)
    for item in loaded.decoded.values():
        buffers.take_back(item.memory)
    return [np.asarray(env[root], order="C") for root in program.roots]


def _check(arrays: Mapping[str, NDArray[Any]], specs: Mapping[str, Spec]) -> None:
    for name, array in arrays.items():
        due = specs[name]
        if array.shape != due.shape or str(array.dtype) != due.dtype:
            raise RecipeError(
                f"the tensor {name!r} came out as {array.dtype} {array.shape}, "
                f"{due.dtype} {due.shape} was promised; an op's `infer` is wrong"
            )


def _counts(loaded: _Loaded) -> Iterator[dict[str, Any]]:
    for root in loaded.program.roots:
        under = nodes((root,))
        files = [loaded.decoded[node] for node in under if node.op in DECODED]
        counts: dict[str, Any] = {
            "constant": sum(int(item.constant.sum()) for item in files),
            "nonfinite": sum(int(item.nonfinite.sum()) for item in files),
        }
        filters = [freedom(loaded.env[node]) for node in under if node.op == "operator"]
        counts |= {"freedom": min(filters)} if filters else {}
        yield counts | coverage(root, loaded.known, loaded.decoded)
