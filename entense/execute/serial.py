"""Run a survey's rows in this process: decode ahead in threads, compute, hand over in order."""

from __future__ import annotations

import os
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.buffers import Buffers
from entense.errors import RecipeError, RecordError
from entense.execute.ahead import fetch_ahead
from entense.execute.compute import Record, finish, run_stage
from entense.execute.coverage import counts_of
from entense.execute.loading import Loaded, Running, files_of, load
from entense.execute.room import Room
from entense.ops.dtype import LARGEST
from entense.ops.load import GIVEN
from entense.plan.demand import parted
from entense.plan.host import freedom, make
from entense.plan.optimize import nodes
from entense.plan.passing import check_machine
from entense.plan.survey import Survey, sentence

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


def run(
    survey: Survey,
    rows: Sequence[int],
    *,
    memory: int | None = None,
    keeps: bool = False,
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
    keeps
        Whether the caller keeps the arrays; else they are valid until the next row is asked for.

    Yields
    ------
    An outcome a row. One bad record never stops the others.

    Raises
    ------
    RecipeError
        Before anything is computed, where a record cannot be computed within the memory.
    """
    room = Room(survey, memory)
    room.check(rows)
    # of few files each is inflated by several cores, where their memory is not counted
    cores = 1 if memory is not None else max(1, min(_cores(), _MOST_DECODERS) // max(len(rows), 1))
    running = Running(survey, room, Buffers(), cores)
    known = (survey.rows[row] for row in rows)
    inputs = (() if one.error else one.bound.paths for one in known)
    with fetch_ahead(inputs) as done:
        for row, future, is_last in _loading(running, rows):
            outcome = _outcome(running, row, future, is_last=is_last)
            room.measured()
            done()
            yield outcome
            if keeps:
                continue
            # once each, though two tensors may be one array: others may have been lent it by then
            for array in {id(array): array for array in (outcome.arrays or {}).values()}.values():
                running.buffers.take_back(array)


def _loading(running: Running, rows: Sequence[int]) -> Iterator[tuple[int, Future[Loaded], bool]]:
    """Yield the rows in order, each on its way to be loaded, with others loading behind it.

    Rows of the same files that follow each other, such as the trials of a run, are loaded once; the
    last of them is told.
    """
    todo = deque(list(group) for _, group in groupby(rows, partial(files_of, running)))
    loading: deque[tuple[list[int], Future[Loaded]]] = deque()
    threads = max(1, min(_cores(), _MOST_DECODERS))
    with ThreadPoolExecutor(threads, thread_name_prefix="entense-decode") as pool:
        try:
            while todo or loading:
                # the first is computed while the others load; more would only hold memory
                while todo and len(loading) < max(threads, 2):
                    if not running.room.admits(todo[0][0], [group[0] for group, _ in loading]):
                        break
                    group = todo.popleft()
                    loading.append((group, pool.submit(load, running, group[0])))
                group, future = loading[0]
                for left, row in zip(reversed(range(len(group))), group, strict=True):
                    yield row, future, not left
                loading.popleft()
        finally:  # the caller may stop early, or be interrupted
            pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    """Return how many cores there are for this process, or fewer where NPROC says so."""
    there = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    told = os.environ.get("NPROC", "")  # of a cluster that binds no job to its cores
    return min(there, int(told)) if told.isdecimal() and int(told) else there


def _outcome(running: Running, row: int, future: Future[Loaded], *, is_last: bool) -> Outcome:
    survey = running.survey
    bound, specs = survey.rows[row].bound, survey.rows[row].specs
    try:
        loaded = future.result().of(running, row)
        env = _compute(loaded)
        if is_last or loaded.parts > 1:
            loaded.give_back()
        arrays = [np.asarray(env[root], order="C") for root in loaded.program.roots]
        named = dict(zip(survey.tensors, arrays, strict=True))
        _check(named, specs or {})
        return Outcome(row, named, dict(zip(survey.tensors, _counts(loaded, env), strict=True)))
    except (RecipeError, ImportError):  # no record's fault
        raise
    except Exception as error:  # whatever it is, the other records go on
        check_machine(error, bound)
        return Outcome(row, None, error=sentence(error, bound))


def _compute(loaded: Loaded) -> dict[Node, Any]:
    program, known = loaded.program, loaded.known
    env: dict[Node, Any] = {node: make(node, known) for node in program.hosted}
    env |= {node: known[node].data for node in nodes(program.roots) if node.op in GIVEN}
    env |= {n: np.float32(x) for n, x in known.items() if n.op == "value" and type(x) is float}
    env |= {n: None for n in known if n.op == "absent"}  # a number that may be missing
    record = Record(env, loaded.specs, loaded.buffers, at_once=loaded.at_once)
    raw: dict[Node, Any] = {}
    first = parted(program)
    for part in range(loaded.parts):
        if part:
            loaded.read(part)
        env |= {node: item.data for node, item in loaded.decoded.items()}
        for stage in program.stages[:first]:
            run_stage(stage, record)
        loaded.keep_raw(raw)
        if part < loaded.parts - 1:
            loaded.give_back()
    for number, stage in enumerate(program.stages):
        if number >= first:
            run_stage(stage, record)
        finish(stage, record)
    return env | raw


def _check(arrays: Mapping[str, NDArray[Any]], specs: Mapping[str, Spec]) -> None:
    for name, array in arrays.items():
        due = specs[name]
        if array.shape != due.shape or str(array.dtype) != due.dtype:
            raise RecipeError(
                f"the tensor {name!r} came out as {array.dtype} {array.shape}, "
                f"{due.dtype} {due.shape} was promised; an op's `infer` is wrong"
            )
        if due.dtype == "float16" and any(map(_overflows, np.atleast_2d(array))):
            raise RecordError(
                f"the tensor {name!r} has values that float16 does not hold (beyond 65,504): "
                "z-score it first, or store it as bfloat16 or float32"
            )
        if due.scale is not None and _is_cut(array):
            most = LARGEST[due.dtype] * due.scale
            raise RecordError(
                f"the tensor {name!r} lies mostly beyond what {due.dtype} with a scale of "
                f"{due.scale:g} holds (±{most:g}): z-score it first, or give a larger scale"
            )


def _overflows(row: NDArray[np.float16]) -> bool:
    """Whether a number is infinite; the bits are looked at a few times faster than the numbers."""
    return bool(((row.view(np.uint16) & 0x7FFF) == 0x7C00).any())


def _is_cut(array: NDArray[Any]) -> bool:
    """Whether more than half of the values are the last ones; a few are as documented."""
    most = LARGEST[str(array.dtype)]
    last = sum(np.count_nonzero((row == most) | (row == -most)) for row in np.atleast_2d(array))
    return bool(2 * last > array.size)


def _counts(loaded: Loaded, env: Mapping[Node, Any]) -> Iterator[dict[str, Any]]:
    for root in loaded.program.roots:
        filters = [
            freedom(node, env[node], loaded.known)
            for node in nodes((root,))
            if node.op == "operator"
        ]
        left = {"freedom": min(filters)} if filters else {}
        yield counts_of(root, loaded.known, loaded.decoded) | left
