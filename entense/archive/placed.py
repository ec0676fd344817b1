"""Where the tensors of an archive lie, looked up fast, and how they are read."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl

from entense.archive.blocks import Lying, check_there, read_rows
from entense.archive.formats import library_format
from entense.archive.manifest import NAME
from entense.archive.opened import Opened
from entense.archive.store import Remote
from entense.errors import ArchiveError, RecordError, StaleError, hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from entense.archive.manifest import Manifest
    from entense.archive.schema import Tensor
    from entense.archive.store import Place

NOWHERE = -1
Seen: TypeAlias = tuple[int, ...]


def seen(folder: Place) -> Seen | None:
    """Return what tells a manifest from one that was written later; None of one elsewhere."""
    if isinstance(folder, Remote):
        return None
    try:
        stat = (folder / NAME).stat()
    except OSError:
        return ()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


@dataclass(frozen=True, eq=False)
class Stored:
    """The tensors of an archive by row of its records.

    It can be pickled. Once the shapes of a tensor were asked for it is read without Polars, whose
    threads a forked process has not.
    """

    folder: Place
    manifest: Manifest
    records: pl.DataFrame
    seen: Seen | None = None  # what the manifest's file was when it was read

    def check_current(self) -> None:
        """Raise where the archive was written again since it was opened: shards may be others."""
        if self.seen is not None and seen(self.folder) != self.seen:
            raise StaleError(
                f"the archive {self.folder} was written again since it was opened, so its shards "
                "may be others; open it again with et.open once that is done"
            )

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Take for damage only what is wrong with the archive that was opened."""
        try:
            yield
        except ArchiveError:
            self.check_current()
            raise

    @property
    def local(self) -> Path:
        """The folder, for what cannot read a URL; an `ArchiveError` where it is one."""
        if isinstance(self.folder, Remote):
            raise ArchiveError(
                f"{self.folder}: this needs the archive on this machine; copy it here and open "
                "the copy"
            )
        return self.folder

    def tensor(self, name: str) -> Tensor:
        """Return what all records share of a tensor; an ArchiveError where there is none."""
        if name not in self.manifest.tensors:
            raise ArchiveError(
                f"there is no tensor {name!r} in {self.folder}; {hint(name, self.manifest.tensors)}"
            )
        return self.manifest.tensors[name]

    def shapes(self, tensor: str) -> NDArray[np.int64]:
        """Return the shape of a tensor in every record, (records, dims); zeros where it failed."""
        return self._placed(tensor).shapes

    def check(self, row: int, tensor: str) -> None:
        """Raise where a shard is too short for a tensor of a record, before memory is taken."""
        self._check(self.lying(row, tensor))

    def read(self, row: int, tensor: str) -> NDArray[Any]:
        """Return one tensor of a record, checked."""
        lying = self.lying(row, tensor)
        self._check(lying)
        out = np.empty(lying.shape, self.tensor(tensor).dtype)
        self.read_rows(row, tensor, 0, lying.rows, out)
        return out

    def read_rows(
        self, row: int, tensor: str, start: int, stop: int, out: NDArray[Any], *, check: bool = True
    ) -> None:
        """Read rows (frames) of a tensor of a record into `out`, which is C-contiguous."""
        with self._current():
            read_rows(self.lying(row, tensor), start, stop, out, self._opened, check=check)

    def lying(self, row: int, tensor: str) -> Lying:
        """Return where a tensor of a record lies; a RecordError where it could not be computed."""
        placed = self._placed(tensor)
        record, (shard, offset, size, step) = placed.ids[row], placed.numbers(row)
        if shard == NOWHERE:
            raise RecordError(
                f"record {record} could not be computed: {self.records['error'][row]}"
            )
        path, shape = self._shards[shard], tuple(placed.shapes[row].tolist())
        lying = Lying(path, max(offset, 0), size, shape, step, placed.crcs(row), record)
        if offset != NOWHERE:
            return lying
        whole, rows = self.manifest.shards[shard].bytes, self._foreign(shard, record, tensor)
        return replace(lying, foreign=rows, whole=whole)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a process needs that gets a copy: not what can be made of it anew."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def _check(self, lying: Lying) -> None:
        beside = self._beside.get(lying.shard, ()) if lying.foreign else ()
        for one in (lying, *(replace(lying, shard=path, whole=size) for path, size in beside)):
            if one.end > self._known[one.shard]:
                with self._current():
                    there = check_there(one)
                self._known[one.shard] = max(there, self._known[one.shard])

    def _foreign(self, shard: int, record: str, tensor: str) -> Callable[..., NDArray[Any]]:
        """Return what reads rows of a tensor that a library alone finds in its shard."""
        file = self.manifest.shards[shard]
        fmt = library_format(self.manifest.series[file.series].format)
        return partial(fmt.read, self.local / file.path, record, tensor)

    def _placed(self, tensor: str) -> Placed:
        if tensor not in self._looked_up:
            axes = len(self.tensor(tensor).dims)
            self._looked_up[tensor] = Placed(self._ids, self.records[tensor], axes)
        return self._looked_up[tensor]

    @cached_property
    def _looked_up(self) -> dict[str, Placed]:
        return {}

    @cached_property
    def _ids(self) -> list[str]:
        return self.records["record"].to_list()

    @cached_property
    def _shards(self) -> list[Place]:
        return [self.folder / shard.path for shard in self.manifest.shards]

    @cached_property
    def _beside(self) -> dict[Place, list[tuple[Place, int]]]:
        """The files, and their bytes, in which a record goes on that begins in another."""
        found: dict[Place, list[tuple[Place, int]]] = defaultdict(list)
        first = None
        for path, file in zip(self._shards, self.manifest.shards, strict=True):
            if file.records:
                first = path
            elif first is not None:
                found[first].append((path, file.bytes))
        return found

    @cached_property
    def _known(self) -> dict[Place, int]:
        """How many bytes of a shard were there when it was looked at."""
        return defaultdict(int)

    @cached_property
    def _opened(self) -> Opened:
        return Opened(self.check_current)


class Placed:
    """The placements of one tensor, a row a record, as arrays.

    Parameters
    ----------
    ids
        The records.
    column
        Structs of `shard`, `offset`, `size`, `shape`, `frames_per_block`, `crc32c`; all null where
        the record could not be computed.
    axes
        How many dimensions the tensor has.

    Attributes
    ----------
    shapes
        Extents, (record, axis); zeros where there is no tensor.
    """

    def __init__(self, ids: Sequence[str], column: pl.Series, axes: int) -> None:
        table = column.struct.unnest()
        self.ids = ids
        numbers = pl.col("shard", "offset", "size", "frames_per_block").fill_null(NOWHERE)
        self._numbers = table.select(numbers).to_numpy(order="c")
        self._crcs = table["crc32c"].to_list()
        self.shapes = _shapes(table, axes)

    def numbers(self, row: int) -> tuple[int, int, int, int]:
        """Return shard (or `NOWHERE`), offset, size and frames of a block."""
        shard, offset, size, step = self._numbers[row].tolist()
        return shard, offset, size, step

    def crcs(self, row: int) -> NDArray[np.uint32]:
        """Return the CRC-32C of each block."""
        return np.frombuffer(self._crcs[row], "<u4")


def _shapes(table: pl.DataFrame, axes: int) -> NDArray[np.int64]:
    if not axes:
        return np.empty((len(table), 0), np.int64)
    shape = pl.col("shape").list
    extents = (shape.get(axis).fill_null(0).alias(str(axis)) for axis in range(axes))
    return table.select(extents).to_numpy(order="c")
