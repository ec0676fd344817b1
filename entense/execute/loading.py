"""Read the files of a record: all of their columns, or a part of them after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.errors import RecordError
from entense.execute.decode import ColumnSink, Decoded, ParcelSink, Sink, decode, sparse_of
from entense.ops.core import Kind
from entense.ops.parcels import codes_of
from entense.plan.demand import kept_as
from entense.plan.fuse import Program, compile_program
from entense.plan.host import make, read_tables
from entense.plan.optimize import COLUMNS_OF_FILES, Roots, kind, nodes, source
from entense.plan.shapes import BLOCK
from entense.plan.survey import Survey, look

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from entense.buffers import Buffers
    from entense.execute.room import Room
    from entense.ops.load import Opened
    from entense.tensors.graph import Node


@dataclass(frozen=True)
class Running:
    """What is the same for all rows of a run; `cores` inflate each of its files."""

    survey: Survey
    room: Room
    buffers: Buffers
    cores: int = 1


@dataclass
class Loaded:
    """A record whose files have been read: all of their columns, or a first part of them.

    Parameters
    ----------
    row
        Its number.
    program
        What its graph compiles to.
    specs
        What is known of the program's nodes.
    known
        What is known of the recipe's nodes.
    parts
        In how many parts the columns are read.
    at_once
        How many blocks of columns are computed at once.
    buffers
        Where the memory of arrays comes from.
    cores
        How many inflate each of its files.
    decoded
        What was kept of the files.
    """

    row: int
    program: Program
    specs: Mapping[Node, Any]
    known: dict[Node, Any]
    parts: int
    at_once: int
    buffers: Buffers
    cores: int
    decoded: dict[Node, Decoded] = field(default_factory=dict)

    def of(self, running: Running, row: int) -> Loaded:
        """Return another row that has the same files: they are not read again."""
        if row == self.row:
            return self
        other = _opened(running, row)
        if other.parts > 1:
            other.read(0)
        else:
            other.decoded = self.decoded
        return other

    def read(self, part: int) -> None:
        """Read the files, and keep a part of the columns; what is no columns is kept at first."""
        for stage in self.program.decodes:
            wanted = [node for node in stage.sinks if part == 0 or node.op != "parcels"]
            sinks = [self._sink(node, part) for node in wanted]
            if not sinks:
                continue
            series = self.known[source(wanted[0])].series
            for node, kept in zip(wanted, decode(series, sinks, self.cores), strict=True):
                before = self.decoded.get(node)
                self.decoded[node] = kept if before is None else before.joined(kept)

    def _sink(self, node: Node, part: int) -> Sink:
        opened = self.known[source(node)]
        if node.op == "parcels":
            atlas, *weights = (self.known[one] for one in node.inputs[1:])
            return ParcelSink(opened, codes_of(atlas, opened.mask, *weights))
        size = self.specs[node].shape[-1]
        blocks = -(-size // BLOCK)
        first, last = (blocks * n // self.parts * BLOCK for n in (part, part + 1))
        span, centred = range(first, min(last, size)), node.op == "centred"
        series = node.inputs[0] if centred else node
        index, weights = self._taken(series, opened, span)
        dtype = kept_as(node, opened) if weights is None else None
        options: dict[str, Any] = {"centred": centred, "span": span, "weights": weights}
        return ColumnSink(opened.series, index, self.buffers, dtype=dtype, **options)

    def _taken(self, node: Node, opened: Opened, span: range) -> tuple[NDArray[np.intp], Any]:
        """Return where some columns lie in a stored frame, and how they are mixed, if they are."""
        if node.op != "mixed":
            return opened.index[span.start : span.stop], None
        neighbours = make(node.inputs[1], self.known)
        index, weights = (array[span.start : span.stop] for array in neighbours)
        if neighbours.selects:
            return opened.index[index[:, 0]], None
        return opened.index, sparse_of(index, weights, opened.size)

    def keep_raw(self, raw: dict[Node, NDArray[Any]]) -> None:
        """Put decoded columns that are tensors themselves in their places."""
        for root in {*self.program.roots}:
            if root.op in COLUMNS_OF_FILES:
                if root not in raw:
                    raw[root] = self.buffers.empty(self.specs[root].shape, np.float32)
                self.decoded[root].data.put_into(raw[root])

    def give_back(self) -> None:
        """Let others have the memory of what was decoded."""
        for item in self.decoded.values():
            self.buffers.take_back(item.memory)


def load(running: Running, row: int) -> Loaded:
    """Read all files of a row, a first part of them; this runs in a decoding thread."""
    loaded = _opened(running, row)
    loaded.read(0)
    return loaded


def files_of(running: Running, row: int) -> object:
    """Return what is equal for rows of which the same is read."""
    known = running.survey.rows[row]
    roots, values = known.bound.roots, known.bound.values
    if not _moved_by_numbers(roots):
        values = tuple(value for value in values if not isinstance(value, float))
    return row if known.error else (roots, values)


@lru_cache(maxsize=64)  # rows of one recipe follow each other
def _moved_by_numbers(roots: Roots) -> bool:
    """Whether which columns are read depends on a number of the row."""
    moved = (node for node in nodes(roots) if kind(node) is Kind.SPACE)
    return any(one.op == "value" for node in moved for one in node.inputs)


def _opened(running: Running, row: int) -> Loaded:
    surveyed, room = running.survey.rows[row], running.room
    if surveyed.error is not None:
        raise RecordError(surveyed.error)
    known, roots = look(surveyed.bound), surveyed.bound.roots
    program, specs = compile_program(roots, known, running.survey.how)
    at_once = 2 if room.bytes is None else 1
    read_tables(program, known)
    parts, cores = room.parts(row), running.cores
    return Loaded(row, program, specs, known, parts, at_once, running.buffers, cores)
