"""An archive as a source of the loader: windows straight from the shards, by offset."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from entense.archive.blocks import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    import polars as pl
    from numpy.typing import NDArray

    from entense.archive.read import Archive
    from entense.archive.schema import Tensor


class ArchiveSource:
    """Some records of an archive.

    Parameters
    ----------
    archive
        The archive.
    rows
        Its rows to load, none of which failed.
    """

    dear = False

    def __init__(self, archive: Archive, rows: Sequence[int]) -> None:
        self._archive = archive
        self._rows = list(rows)
        self.tensors: Mapping[str, Tensor] = archive.schema
        self.ids: Sequence[str] = archive.records["record"][self._rows].to_list()
        self._shapes = {name: archive.shapes(name, self._rows) for name in self.tensors}

    def shape(self, record: int, tensor: str) -> tuple[int, ...]:
        """Return the extents of a tensor."""
        return self._shapes[tensor][record]

    def scalars(self, records: Sequence[int]) -> pl.DataFrame:
        """Return the scalars of some records."""
        return self._archive.scalars([self._rows[record] for record in records])

    def readers(
        self, records: Sequence[int]
    ) -> Generator[Callable[[str, int, int, NDArray[Any]], None]]:
        """Yield for each record a function that reads rows: ``read(tensor, start, stop, out)``."""
        for record in records:
            yield partial(self._read, self._rows[record])

    def _read(self, row: int, tensor: str, start: int, stop: int, out: NDArray[Any]) -> None:
        read_rows(self._archive.place(row, tensor), start, stop, out)
