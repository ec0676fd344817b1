"""Where a loader gets records from: what it may know of them, and how it reads them."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from entense.archive.schema import Tensor

Reader: TypeAlias = "Callable[[int, str, int, int, NDArray[Any]], None]"
"""Reads rows of a record: ``read(record, tensor, start, stop, out)``."""


class Skipped(NamedTuple):
    """A record, or a window of one, that a loader left out, and why."""

    record: str
    reason: str


def trusted(record: int) -> None:
    """Take it that a record is there."""


@dataclass(frozen=True, eq=False)
class Source:
    """Records by number: of an archive, or of a table and computed on the fly.

    It can be pickled where `opened` and `check` can.
    """

    tensors: Mapping[str, Tensor]
    shapes: Mapping[str, NDArray[np.int64]]  # (records, dims)
    columns: Mapping[str, NDArray[Any]]  # `record`, the ids, and what else goes into batches
    # for records, in this order where they are dear
    opened: Callable[[Sequence[int]], AbstractContextManager[Reader]]
    check: Callable[[int], None] = trusted  # raises before memory is taken for what is not there
    dear: bool = False  # a record is costly to come by, and only one thread may read
    failed: Sequence[Skipped] = ()  # what is known beforehand to be unreadable, and is no record

    @cached_property
    def digest(self) -> str:
        """What tells these records from others: ids, tensors and shapes."""
        digest = hashlib.sha256("\n".join([*self.columns["record"], *self.tensors]).encode())
        for shapes in self.shapes.values():
            digest.update(shapes.tobytes())
        return digest.hexdigest()[:16]


def readable(read: Reader, records: Sequence[int]) -> AbstractContextManager[Reader]:
    """Open what needs no opening: a reader that takes records in any order, in any thread."""
    return nullcontext(read)


def named(tensors: Sequence[str] | None, known: Iterable[str]) -> Sequence[str]:
    """Return the names of tensors that were asked for, all that are known unless there are any.

    A single name is an error, not letters.
    """
    if tensors is None:
        return tuple(known)
    if isinstance(tensors, str):
        raise ArchiveError(f'tensors={tensors!r} is one name, a list is due: tensors=["{tensors}"]')
    if not len(tensors):
        raise ArchiveError("tensors=[] names no tensor; name some, or leave it out for all")
    return tensors


def columns_of(table: pl.DataFrame) -> dict[str, NDArray[Any]]:
    """Return columns as arrays: numbers that may be null as floats, with NaN; strings as objects.

    Examples
    --------
    >>> columns_of(pl.DataFrame({"n": [1, None], "sex": ["f", None]}))
    {'n': array([ 1., nan]), 'sex': array(['f', None], dtype=object)}
    """
    return {column.name: _array(column) for column in table}


def _array(column: pl.Series) -> NDArray[Any]:
    if column.dtype == pl.String:
        return np.array(column.to_list(), object)
    if column.null_count():
        column = column.cast(pl.Float64).fill_null(float("nan"))
    return column.to_numpy()
