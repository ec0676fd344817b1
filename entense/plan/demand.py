"""What a program asks of memory, and in how many parts its columns must be read to stay within."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.ops.load import GIVEN, Opened
from entense.plan.optimize import DECODED, kind, source
from entense.plan.shapes import BLOCK, FRAMES, is_timed, is_wide, padded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from entense.plan.fuse import Program, Stage
    from entense.tensors.graph import Node

ITSELF = 220_000_000
"""About what a process takes to compute at all: SciPy, a survey, XLA's compiler."""
_BESIDE = 32  # bytes a voxel of a frame: what a decoder holds beside what it keeps


@dataclass(frozen=True)
class Demand:
    """About how many bytes a record takes at its worst.

    Parameters
    ----------
    decoded
        What is decoded and can be read in parts.
    fixed
        What is there beside it, while it is there.
    after
        The worst once it is gone.
    parts
        In how many parts the columns can be read: as many as there are blocks.
    """

    decoded: int
    fixed: int
    after: int
    parts: int

    def bytes(self, parts: int = 1) -> int:
        """Return the worst when the columns are read in some parts."""
        largest = -(-self.parts // parts) / self.parts
        return max(math.ceil(self.decoded * largest) + self.fixed, self.after)

    def with_process(self, parts: int = 1) -> int:
        """Return the same with what a process takes to compute at all: what `memory` must allow."""
        return self.bytes(parts) + ITSELF

    @property
    def least(self) -> int:
        """The worst when as many parts are read as there can be."""
        return self.bytes(self.parts)

    def parts_within(self, memory: float) -> int:
        """Return the fewest parts that stay within some memory; as many as can be where none do."""
        fits = (n for n in range(1, self.parts) if self.bytes(n) <= memory)
        return next(fits, self.parts)


def demand_of(program: Program, specs: Mapping[Node, Any], known: Mapping[Node, Any]) -> Demand:
    """Estimate what a program takes for a record.

    Parameters
    ----------
    program
        The program.
    specs
        What is known of its nodes.
    known
        What is known of the recipe's nodes: its files.
    """
    sinks = [sink for stage in program.decodes for sink in stage.sinks]
    columns = [sink for sink in sinks if sink.op != "parcels"]
    blocks = min((_blocks(specs[sink]) for sink in columns), default=1)
    decoded = sum(_kept(specs[sink], kept_as(sink, known[source(sink)])) for sink in columns)
    first = _first(program, columns)
    later = {node for stage in program.stages[first:] for node in stage.inputs}
    cut = not later.intersection(columns)
    beside = sum(_beside(known[source(stage.sinks[0])]) for stage in program.decodes)
    made = sum(_made(stage, specs) for stage in program.stages[:first])
    working = max((_working(stage, specs) for stage in program.stages[:first]), default=0)
    after, live = 0, made + (0 if cut else decoded)
    for stage in program.stages[first:]:
        live += _made(stage, specs)
        after = max(after, live + _working(stage, specs))
    raw = sum(specs[root].nbytes for root in {*program.roots} if root.op in (*DECODED, *GIVEN))
    return Demand(
        decoded=decoded if cut else 0,
        fixed=beside + made + working + raw + (0 if cut else decoded),
        after=after + raw,
        parts=blocks if cut else 1,
    )


def _first(program: Program, columns: Sequence[Node]) -> int:
    """Return how many stages run on the blocks of a file as they come, part by part."""
    for number, stage in enumerate(program.stages):
        taken = [i for i in stage.inputs if i.op in DECODED or kind(i) is not None]
        if stage.cut != "columns" or not all(node in columns for node in taken):
            return number
    return len(program.stages)


def parted(program: Program) -> int:
    """Return how many of a program's first stages run on the columns part by part."""
    sinks = [sink for stage in program.decodes for sink in stage.sinks if sink.op != "parcels"]
    return _first(program, sinks)


def _blocks(spec: Any) -> int:
    return -(-int(spec.shape[-1]) // BLOCK)


def _kept(spec: Any, dtype: np.dtype[Any] | None) -> int:
    width = np.dtype(dtype or np.float32).itemsize
    return _blocks(spec) * BLOCK * width * int(spec.shape[0])


def kept_as(sink: Node, opened: Opened) -> np.dtype[Any] | None:
    """Return as what a sink's columns are kept: as stored, where float32 holds them exactly.

    None where the decoder makes float32 of them: of wide numbers, of mixed columns, and of scaled
    ones that are not centred.
    """
    series, dtype = opened.series, np.dtype(opened.series.dtype)
    centred = sink.op == "centred"
    mixed = (sink.inputs[0] if centred else sink).op == "mixed"
    is_exact = dtype.itemsize <= 2 or dtype == np.float32
    is_meant = centred or (series.slope == 1 and series.inter == 0)
    return dtype.newbyteorder("=") if is_exact and is_meant and not mixed else None


def _beside(opened: Opened) -> int:
    frame = getattr(opened.series, "voxels", opened.size)
    return int(opened.series.held) + _BESIDE * int(frame)


def _made(stage: Stage, specs: Mapping[Node, Any]) -> int:
    return sum(int(specs[node].nbytes) for node in stage.outputs)


def _working(stage: Stage, specs: Mapping[Node, Any]) -> int:
    """Return what a stage holds while it runs, beside what it takes and gives."""
    if stage.cut == "whole":
        return sum(int(specs[node].nbytes) for node in stage.nodes)
    sizes: list[int] = [
        _piece(stage, specs[node]) for node in (*stage.nodes, *stage.inputs) if specs.get(node)
    ]
    return sum(sizes)  # where memory counts, one piece is computed at a time


def _piece(stage: Stage, spec: Any) -> int:
    """Return the bytes of a block of columns, or of a few frames."""
    if not hasattr(spec, "nbytes"):
        return 0
    if stage.cut == "columns" and is_wide(spec):
        frames = spec.shape[0] if is_timed(spec) else 1
        block = spec.nbytes * BLOCK // max(spec.shape[-1], 1)
        return int(block * (padded(frames) / max(frames, 1) if is_timed(spec) else 1))
    if stage.cut == "frames" and is_timed(spec):
        return int(spec.nbytes * FRAMES // max(spec.shape[0], 1))
    return int(spec.nbytes)
