"""An archive opened: its records, its tensors, its images."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from entense.archive import manifest as names
from entense.archive.blocks import Place, check_there, read_rows
from entense.archive.folder import HIDDEN
from entense.archive.manifest import Manifest
from entense.archive.table import read_records
from entense.archive.verify import Verified, verify
from entense.errors import ArchiveError, RecordError, hint

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    import tensorflow as tf
    from nibabel import Cifti2Image, Nifti1Image
    from numpy.typing import NDArray

    from entense.archive.loaders.batches import Loader, Reader, Source
    from entense.archive.repair import Repaired
    from entense.archive.schema import Tensor


def open_archive(path: str | Path) -> Archive:
    """Open an archive that was written whole.

    Parameters
    ----------
    path
        The folder that `write` was given.

    Raises
    ------
    ArchiveError
        When there is none, it is unfinished, its manifest or records.parquet are damaged, or it
        is of a newer version.

    Examples
    --------
    >>> open_archive("nowhere")
    Traceback (most recent call last):
    entense.errors.ArchiveError: there is no archive at nowhere; write one, or mend the path
    """
    folder = Path(path)
    where = folder / names.NAME
    if not where.exists():
        if (folder / HIDDEN).exists():
            raise ArchiveError(f"the archive {folder} is unfinished; run the same write again")
        raise ArchiveError(f"there is no archive at {folder}; write one, or mend the path")
    manifest = Manifest.from_json(where.read_bytes(), where)
    return Archive(folder, manifest, read_records(folder, manifest))


@dataclass(frozen=True, eq=False, repr=False)
class Archive:
    """Shards and their manifest; made by `write` and `open_archive`.

    ``len(archive)`` counts its records, failed ones among them; ``archive[i]`` (or
    ``archive["id"]``) is one of them, as NumPy arrays beside its scalars.

    Parameters
    ----------
    folder
        Where it lies.
    manifest
        What it holds.
    records
        A row a record: id, entities, tables, split, shard, where each tensor lies, error.
    """

    folder: Path
    manifest: Manifest
    records: pl.DataFrame

    @property
    def schema(self) -> Mapping[str, Tensor]:
        """Tensor name to its dtype, dims, shape, coords, mask and TR."""
        return self.manifest.tensors

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, record: int | str) -> dict[str, Any]:
        """Return a record: its tensors as arrays, its scalars, and its id under ``"record"``.

        An IndexError or KeyError where there is no such record, a `RecordError` where it could
        not be computed, an `ArchiveError` where its bytes are damaged.
        """
        row = self.row(record)
        tensors = {name: self.read(row, name) for name in self.schema}
        return tensors | self._scalars.row(row, named=True)

    def row(self, record: int | str) -> int:
        """Return the row of a record, given by id or by number; negative counts from the end."""
        if isinstance(record, str):
            if record not in self._rows:
                raise KeyError(f"there is no record {record!r} in {self.folder}")
            return self._rows[record]
        if isinstance(record, slice):
            raise TypeError("an archive gives one record at a time: archive[3], or archive[id]")
        record = operator.index(record)  # NumPy's integers too
        if not -len(self) <= record < len(self):
            raise IndexError(f"there is no record {record} in {self.folder}, it has {len(self)}")
        return record % len(self)

    def read(self, row: int, tensor: str) -> NDArray[Any]:
        """Return one tensor of a record, checked."""
        place = self._place(row, tensor)
        check_there(place)
        out = np.empty(place.shape, self._tensor(tensor).dtype)
        read_rows(place, 0, place.rows, out)
        return out

    def verify(self) -> Verified:
        """Read every byte and compare it with what was written.

        Returns how many shards, records and bytes are right; raises an `ArchiveError` that names
        every file that is damaged and the records in it.
        """
        return verify(self)

    def repair(self, frame: pl.DataFrame | pl.LazyFrame) -> Repaired:
        """Write what is damaged again, from the table it was made of; see `entense.repair`."""
        from entense.archive.repair import repair

        return repair(frame, self.folder)

    def unmask(
        self, values: NDArray[Any], tensor: str, record: int | str | None = None
    ) -> Nifti1Image | Cifti2Image:
        """Put values of an axis of voxels, vertices or grayordinates back into the brain.

        Parameters
        ----------
        values
            (voxel,) or (time, voxel), or the same of vertices or grayordinates.
        tensor
            The tensor whose axis it is.
        record
            Whose mask to use, where the records have masks of their own.

        Returns
        -------
        nibabel.Nifti1Image or nibabel.Cifti2Image
            Of voxels NIfTI: 3-D, or 4-D with time last and the repetition time in the header, where
            it is known. Of vertices and grayordinates CIFTI: a dscalar, or a dtseries with time.

        Raises
        ------
        ArchiveError
            When there is no such tensor, it has no such axis, the values have another number of
            voxels, or records have masks of their own and none is named.
        """
        from entense.geometry import unmask
        from entense.images.masks import read_columns

        shared = self._tensor(tensor).mask
        digest = shared if record is None else self._places[tensor]["mask"][self.row(record)]
        file = self.manifest.masks.get(str(digest))
        if file is None:
            raise ArchiveError(
                f"{tensor!r} has no mask to go back into: it has no voxel axis (nor one of "
                "vertices), or its records have masks of their own; then say whose: "
                "unmask(…, record=id)"
            )
        if np.ndim(values) not in (1, 2) or np.shape(values)[-1] != file.voxels:
            raise ArchiveError(
                f"the values have the shape {np.shape(values)}, and the mask of {tensor!r} takes "
                f"({file.voxels},) or (time, {file.voxels}); give all voxels, in their order"
            )
        one = None if record is None else self._places[tensor]["tr"][self.row(record)]
        tr = self._tensor(tensor).tr if one is None else one
        return unmask(values, read_columns(str(self.folder / file.path)), tr)

    def loader(
        self,
        split: str | None = None,
        *,
        batch_size: int,
        window: int | None = None,
        windows_per_record: int = 1,
        seed: int | None = None,
        drop_last: bool = False,
        tensors: Sequence[str] | None = None,
    ) -> Loader:
        """Return batches of NumPy arrays, read straight from the shards.

        Parameters
        ----------
        split
            Only the records of this split; None for all. Failed records are never in it.
        batch_size
            Records, or windows, in a batch.
        window
            Frames to cut from each tensor whose first dimension is time; None for all of them.
        windows_per_record
            How many windows of each record an epoch has.
        seed
            Shuffles records and places windows at random, differently each epoch; None: records
            in the order of their ids, windows evenly spaced.
        drop_last
            Leave out a last batch that is smaller than the others.
        tensors
            Which tensors to read; None for all.

        Returns
        -------
        Loader
            Iterate over it for an epoch; each time is another.

        Examples
        --------
        >>> archive = open_archive("out")
        >>> loader = archive.loader("train", batch_size=8, window=32, windows_per_record=16, seed=0)
        >>> next(iter(loader))["clean"].shape[:2]
        (8, 32)
        """
        from entense.archive.loaders.batches import Loader, named

        source = self._source(self.rows(split), named(tensors) or self.schema)
        return Loader(source, batch_size, window, windows_per_record, seed, drop_last)

    def to_tf(self, split: str | None = None) -> tf.data.Dataset:
        """Return the records as a `tf.data.Dataset` of dicts, in the order of the shards.

        See `entense.archive.loaders.tensorflow.to_tf`.
        """
        from entense.archive.loaders.tensorflow import to_tf

        return to_tf(self, split)

    def rows(self, split: str | None) -> list[int]:
        """Return the rows of a split's records (None: of all), without those that failed.

        A split that is not there, or empty, is an `ArchiveError`.
        """
        if split is not None and not self.manifest.splits.get(split):
            problem = "is empty" if split in self.manifest.splits else "is not there"
            known = ", ".join(f"{name!r} ({n} records)" for name, n in self.manifest.splits.items())
            raise ArchiveError(f"the split {split!r} {problem} in {self.folder}; it has {known}")
        wanted = pl.col("shard").is_not_null()
        if split is not None:
            wanted &= pl.col("split") == split
        return self.records.select(wanted.arg_true()).to_series().to_list()

    def __repr__(self) -> str:
        m = self.manifest
        size = sum(shard.bytes for shard in m.shards)
        failed = f", {m.failures} failed" if m.failures else ""
        splits = ", ".join(f"{name} {count}" for name, count in m.splits.items())
        lines = [f"  {name}: {tensor}" for name, tensor in self.schema.items()]
        lines += [f"  {name}: {dtype}" for name, dtype in m.columns.items()]
        head = (
            f"archive {self.folder}: {len(self)} records{failed} ({splits}) in {len(m.shards)} "
            f"{m.format} shards, {size / 1e6:.1f} MB"
        )
        return "\n".join([head, *lines])

    def _tensor(self, name: str) -> Tensor:
        if name not in self.schema:
            raise ArchiveError(
                f"there is no tensor {name!r} in {self.folder}; {hint(name, self.schema)}"
            )
        return self.schema[name]

    def _place(self, row: int, tensor: str) -> Place:
        """Return where a tensor of a record lies; a RecordError where it could not be computed."""
        self._tensor(tensor)
        at = self._places[tensor].row(row, named=True)
        record = self.records["record"][row]
        if at["shard"] is None:
            raise RecordError(
                f"record {record} could not be computed: {self.records['error'][row]}"
            )
        shard = self.folder / self.manifest.shards[at["shard"]].path
        shape, crcs = tuple(at["shape"]), np.frombuffer(at["crc32c"], "<u4")
        return Place(shard, at["offset"], at["size"], shape, at["frames_per_block"], crcs, record)

    def _source(self, rows: list[int], tensors: Iterable[str]) -> Source:
        """Return some records for the loader, which reads windows of them by their offset."""
        from entense.archive.loaders.batches import Source, without_nulls

        def readers(records: Sequence[int]) -> Generator[Reader]:
            yield from (partial(self._read_rows, rows[record]) for record in records)

        kinds = {name: self._tensor(name) for name in tensors}
        shapes = {
            name: [tuple(shape) for shape in self._places[name]["shape"][rows].to_list()]
            for name in kinds
        }
        return Source(kinds, shapes, without_nulls(self._scalars)[rows], readers)

    def _read_rows(self, row: int, tensor: str, start: int, stop: int, out: NDArray[Any]) -> None:
        read_rows(self._place(row, tensor), start, stop, out)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {record: row for row, record in enumerate(self.records["record"])}

    @cached_property
    def _scalars(self) -> pl.DataFrame:
        return self.records.select("record", *self.manifest.columns)

    @cached_property
    def _places(self) -> dict[str, pl.DataFrame]:
        return {name: self.records.select("shard", name).unnest(name) for name in self.schema}
