"""Where a tensor of each record lies: columns in which a record is looked up fast."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOWHERE = -1


class Placed:
    """The placements of one tensor, a row a record, as arrays.

    Parameters
    ----------
    table
        Columns `shard`, `offset`, `size`, `shape`, `frames_per_block`, `crc32c`; all null where the
        record could not be computed.
    axes
        How many dimensions the tensor has.
    """

    def __init__(self, table: pl.DataFrame, axes: int) -> None:
        self._table, self._axes = table, axes
        numbers = pl.col("shard", "offset", "size", "frames_per_block").fill_null(NOWHERE)
        self._numbers = table.select(numbers).to_numpy(order="c")

    def numbers(self, row: int) -> tuple[int, int, int, int]:
        """Return shard (or `NOWHERE`), offset, size and frames of a block."""
        shard, offset, size, step = self._numbers[row].tolist()
        return shard, offset, size, step

    def crcs(self, row: int) -> NDArray[np.uint32]:
        """Return the CRC-32C of each block."""
        return np.frombuffer(self._crcs[row], "<u4")

    @cached_property
    def shapes(self) -> NDArray[np.int64]:
        """Extents, (record, axis); zeros where there is no tensor."""
        shape = pl.col("shape").list
        axes = [shape.get(axis).fill_null(0).alias(str(axis)) for axis in range(self._axes)]
        if not axes:
            return np.empty((len(self._table), 0), np.int64)
        return self._table.select(axes).to_numpy(order="c")

    @cached_property
    def _crcs(self) -> pl.Series:
        return self._table["crc32c"].rechunk()
