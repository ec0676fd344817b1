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
from entense.execute.compute import Record, finish, run_stage
from entense.execute.coverage import coverage, seen
from entense.execute.decode import ColumnSink, Decoded, ParcelSink, Sink, decode, sparse_of
from entense.ops.load import GIVEN
from entense.ops.parcels import codes_of
from entense.plan.demand import parted
from entense.plan.fuse import How, Program, compile_program
from entense.plan.host import freedom, make, read_tables
from entense.plan.optimize import COLUMNS_OF_FILES, nodes, source
from entense.plan.shapes import BLOCK
from entense.plan.survey import Survey, look, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from entense.ops.core import Spec
    from entense.ops.load import Opened
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


@dataclass
class _Loaded:
    """A record whose files have been read: all of their columns, or a first part of them."""

    program: Program
    specs: Mapping[Node, Any]
    known: dict[Node, Any]
    decoded: dict[Node, Decoded]
    parts: int


@dataclass(frozen=True)
class _Running:
    """What is the same for all rows of a run."""

    survey: Survey
    how: How
    memory: int | None
    buffers: Buffers


def run(
    survey: Survey, rows: Sequence[int], *, memory: int | None = None, how: How | None = None
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
        How many bytes may be taken at once. Unless given, what a record a decoding thread takes.
    how
        The rules of the optimiser, and the way of fusing; the survey's own unless given.

    Yields
    ------
    An outcome a row; its arrays are valid until the next one is asked for. One bad record never
    stops the others.

    Raises
    ------
    RecipeError
        Before anything is computed, where a record cannot be computed within the memory.
    """
    if memory is not None:
        _check_memory(survey, rows, memory)
    running = _Running(survey, how or survey.how, memory, Buffers())
    inputs = (() if survey.errors[row] else survey.inputs[row].values() for row in rows)
    with fetch_ahead(inputs) as done:
        for row, future in _loading(running, rows):
            outcome = _outcome(running, row, future)
            done()
            yield outcome
            # once each, though two tensors may be one array: others may have been lent it by then
            for array in {id(array): array for array in (outcome.arrays or {}).values()}.values():
                running.buffers.take_back(array)


def _check_memory(survey: Survey, rows: Sequence[int], memory: int) -> None:
    """Raise where a record cannot be computed within the memory, however it is cut."""
    demands = {row: demand for row in rows if (demand := survey.demands[row]) is not None}
    row = max(demands, key=lambda row: demands[row].least, default=None)
    if row is None or demands[row].least <= memory:
        return
    least, whole = (f"{size / 1e6:,.0f} MB" for size in (demands[row].least, demands[row].bytes()))
    first = next(iter(survey.inputs[row].values()), f"row {row}")
    raise RecipeError(
        f"{first}: its tensors take {least} at the least ({whole} at once), and memory= allows "
        f"{memory / 1e6:,.0f} MB; allow more, write float16, or fewer tensors at a time"
    )


def _loading(running: _Running, rows: Sequence[int]) -> Iterator[tuple[int, Future[_Loaded]]]:
    """Yield the rows in order, each on its way to be loaded, with others loading behind it."""
    todo = deque(rows)
    loading: deque[tuple[int, int, Future[_Loaded]]] = deque()
    threads = max(1, min(_cores(), _MOST_DECODERS))
    with ThreadPoolExecutor(threads, thread_name_prefix="entense-decode") as pool:
        try:
            while todo or loading:
                # the first is computed while the others load; more would only hold memory
                while todo and len(loading) < max(threads, 2):
                    size = _size(running, todo[0])
                    held = sum(size for _, size, _ in loading)
                    if loading and running.memory is not None and held + size > running.memory:
                        break
                    row = todo.popleft()
                    loading.append((row, size, pool.submit(_load, running, row)))
                yield loading[0][0], loading[0][2]
                loading.popleft()
        finally:  # the caller may stop early, or be interrupted
            pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _parts(running: _Running, row: int) -> int:
    demand = running.survey.demands[row]
    if demand is None or running.memory is None:
        return 1
    return demand.parts_within(running.memory)


def _size(running: _Running, row: int) -> int:
    demand = running.survey.demands[row]
    return 0 if demand is None else demand.bytes(_parts(running, row))


def _load(running: _Running, row: int) -> _Loaded:
    """Read all files of a row; this runs in a decoding thread."""
    survey = running.survey
    bound = survey.bound[row]
    if (error := survey.errors[row]) is not None:
        raise RecordError(error)
    known = look(bound)
    program, specs = compile_program(bound.roots, known, running.how, room=running.memory)
    loaded = _Loaded(program, specs, known, {}, _parts(running, row))
    read_tables(program, known)
    _decode(loaded, 0, running.buffers)
    return loaded


def _decode(loaded: _Loaded, part: int, buffers: Buffers) -> None:
    """Read the files, and keep a part of the columns; what is no columns is kept at first."""
    for stage in loaded.program.decodes:
        wanted = [node for node in stage.sinks if part == 0 or node.op != "parcels"]
        sinks = [_sink(node, loaded, part, buffers) for node in wanted]
        if not sinks:
            continue
        series = loaded.known[source(wanted[0])].series
        for node, kept in zip(wanted, decode(series, sinks), strict=True):
            before = loaded.decoded.get(node)
            loaded.decoded[node] = kept if before is None else before.joined(kept)


def _sink(node: Node, loaded: _Loaded, part: int, buffers: Buffers) -> Sink:
    known, opened = loaded.known, loaded.known[source(node)]
    if node.op == "parcels":
        _, labels, *weights = node.inputs
        codes = codes_of(known[labels], opened.mask, *(known[one] for one in weights))
        return ParcelSink(opened, codes)
    size = loaded.specs[node].shape[-1]
    blocks = -(-size // BLOCK)
    first, last = (blocks * n // loaded.parts * BLOCK for n in (part, part + 1))
    span = range(first, min(last, size))
    series = node.inputs[0] if node.op == "centred" else node
    index, weights = _taken(series, opened, span, known)
    centred = node.op == "centred"
    return ColumnSink(opened.series, index, buffers, centred=centred, span=span, weights=weights)


def _taken(
    node: Node, opened: Opened, span: range, known: Mapping[Node, Any]
) -> tuple[NDArray[np.intp], Any]:
    """Return where some columns lie in a stored frame, and how they are mixed, if they are."""
    if node.op != "mixed":
        return opened.index[span.start : span.stop], None
    neighbours = make(node.inputs[1], dict(known))
    index, weights = (array[span.start : span.stop] for array in neighbours)
    if neighbours.selects:
        return opened.index[index[:, 0]], None
    return opened.index, sparse_of(index, weights, opened.size)


def _outcome(running: _Running, row: int, future: Future[_Loaded]) -> Outcome:
    survey = running.survey
    bound, specs = survey.bound[row], survey.specs[row]
    try:
        loaded = future.result()
        env = _compute(loaded, running.buffers)
        arrays = [np.asarray(env[root], order="C") for root in loaded.program.roots]
        named = dict(zip(survey.tensors, arrays, strict=True))
        _check(named, specs or {})
        return Outcome(row, named, dict(zip(survey.tensors, _counts(loaded, env), strict=True)))
    except (RecipeError, ImportError):  # no record's fault
        raise
    except Exception as error:  # whatever it is, the other records go on
        return Outcome(row, None, error=sentence(error, bound))


def _compute(loaded: _Loaded, buffers: Buffers) -> dict[Node, Any]:
    program, known = loaded.program, loaded.known
    env: dict[Node, Any] = {node: make(node, known) for node in program.hosted}
    env |= {node: known[node].data for node in nodes(program.roots) if node.op in GIVEN}
    env |= {n: np.float32(x) for n, x in known.items() if n.op == "value" and type(x) is float}
    env |= {n: None for n in known if n.op == "absent"}  # a number that may be missing
    record, raw = Record(env, loaded.specs, buffers), dict[Any, Any]()
    first = parted(program)
    for part in range(loaded.parts):
        if part:
            _decode(loaded, part, buffers)
        env |= {node: item.data for node, item in loaded.decoded.items()}
        for stage in program.stages[:first]:
            run_stage(stage, record)
        _keep_raw(loaded, raw, buffers)
        if part < loaded.parts - 1:
            _give_back(loaded, buffers)
    for number, stage in enumerate(program.stages):
        if number >= first:
            run_stage(stage, record)
        finish(stage, record)
    _give_back(loaded, buffers)
    return env | raw


def _keep_raw(loaded: _Loaded, raw: dict[Node, NDArray[Any]], buffers: Buffers) -> None:
    """Put decoded columns that are tensors themselves in their places."""
    for root in {*loaded.program.roots}:
        if root.op in COLUMNS_OF_FILES:
            blocks = loaded.decoded[root].data
            if root not in raw:
                raw[root] = buffers.lend(loaded.specs[root].shape, np.float32)
            blocks.put_into(raw[root])


def _give_back(loaded: _Loaded, buffers: Buffers) -> None:
    for item in loaded.decoded.values():
        buffers.take_back(item.memory)


def _check(arrays: Mapping[str, NDArray[Any]], specs: Mapping[str, Spec]) -> None:
    for name, array in arrays.items():
        due = specs[name]
        if array.shape != due.shape or str(array.dtype) != due.dtype:
            raise RecipeError(
                f"the tensor {name!r} came out as {array.dtype} {array.shape}, "
                f"{due.dtype} {due.shape} was promised; an op's `infer` is wrong"
            )


def _counts(loaded: _Loaded, env: Mapping[Node, Any]) -> Iterator[dict[str, Any]]:
    for root in loaded.program.roots:
        under = nodes((root,))
        files = seen(root, loaded.known, loaded.decoded)
        counts: dict[str, Any] = {
            "constant": sum(int(item.constant.sum()) for item in files),
            "nonfinite": sum(int(item.nonfinite.sum()) for item in files),
        }
        filters = [
            freedom(node, env[node], loaded.known) for node in under if node.op == "operator"
        ]
        counts |= {"freedom": min(filters)} if filters else {}
        yield counts | coverage(root, loaded.known, loaded.decoded)
