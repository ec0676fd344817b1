"""An archive opened: its records, its tensors, its images."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.archive import manifest as names
from entense.archive.folder import BEGUN, HIDDEN
from entense.archive.loaders import archive, tensorflow, webdataset
from entense.archive.manifest import Manifest
from entense.archive.placed import Stored, seen
from entense.archive.store import place_of
from entense.archive.table import read_records
from entense.archive.unmask import Masks, unmask
from entense.archive.verify import Verified, verify
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from nibabel import Cifti2Image, Nifti1Image
    from numpy.typing import NDArray

    from entense.archive.placed import Seen
    from entense.archive.repair import Repaired
    from entense.archive.schema import Tensor
    from entense.archive.store import Place


def open_archive(path: str | Path, *, storage_options: Mapping[str, Any] | None = None) -> Archive:
    """Open an archive that was written whole.

    Parameters
    ----------
    path
        The folder that `write` was given, or where it was copied to, or its entense.json: an
        ``http``, ``https``, ``s3`` or ``gs`` URL is read by ranges of bytes, so that a window costs
        what it holds.
    storage_options
        What the filesystem of such a URL takes (credentials, an endpoint), beside what
        `register_storage` was given for it. They stay in this process and in no message.

    Raises
    ------
    ArchiveError
        When there is none, it is unfinished, its manifest or records.parquet are damaged, it is
        of a newer version, or its server cannot be read.

    Examples
    --------
    >>> open_archive("nowhere")
    Traceback (most recent call last):
    entense.errors.ArchiveError: there is no archive at nowhere; write one, or mend the path
    """
    folder = place_of(_above(path), storage_options)
    manifest, before = _manifest(folder)
    return Archive(folder, manifest, read_records(folder, manifest), before)


def just_written(folder: Place, records: pl.DataFrame) -> Archive:
    """Open an archive whose records need not be read; its folder has been locked since."""
    manifest, before = _manifest(folder)
    return Archive(folder, manifest, records, before)


def _manifest(folder: Place) -> tuple[Manifest, Seen | None]:
    """Return the manifest of an archive, and what its file was before it was read."""
    where, before = folder / names.NAME, seen(folder)
    try:
        text = where.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if any((folder / name).exists() for name in (BEGUN, f"{HIDDEN}/lock")):
            raise ArchiveError(
                f"the archive {folder} is unfinished; run the same write again"
            ) from None
        raise ArchiveError(
            f"there is no archive at {folder}; write one, or mend the path"
        ) from None
    return Manifest.from_json(text, where), before


def _above(path: str | Path) -> str | Path:
    """Return the folder, where its manifest is given."""
    if not isinstance(path, str):
        return path.parent if path.name == names.NAME else path
    head, _, name = path.rpartition("/")
    return (head or ".") if name == names.NAME else path


@dataclass(frozen=True, eq=False, repr=False)
class Archive:
    """Shards and their manifest; made by `write` and `open_archive`.

    ``len(archive)`` counts its records, failed ones among them; ``archive[i]`` (or
    ``archive["id"]``) is one of them, as NumPy arrays beside its scalars.

    Parameters
    ----------
    folder
        Where it lies: a `Path`, or a `Remote` that `/` goes down likewise.
    manifest
        What it holds.
    records
        A row a record: id, entities, tables, split, shard, where each tensor lies, error.
    seen
        What the manifest's file was when it was read.
    """

    folder: Place
    manifest: Manifest
    records: pl.DataFrame
    seen: Seen | None = None

    loader = archive.loader
    to_grain = archive.to_grain
    to_torch = archive.to_torch
    to_tf = tensorflow.to_tf
    to_webdataset = webdataset.to_webdataset

    @property
    def schema(self) -> Mapping[str, Tensor]:
        """Tensor name to its dtype, dims, shape, coords, mask and TR."""
        return self.manifest.tensors

    @property
    def local(self) -> Path:
        """The folder, for what cannot read a URL; an `ArchiveError` where it is one."""
        return self.stored.local

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, record: int | str) -> dict[str, Any]:
        """Return a record: its tensors as arrays, its scalars, and its id under ``"record"``.

        An IndexError or KeyError where there is no such record, a `RecordError` where it could
        not be computed, an `ArchiveError` where its bytes are damaged.
        """
        return self.sample(self.row(record), self.schema)

    def sample(self, row: int, tensors: Iterable[str]) -> dict[str, Any]:
        """Return some tensors of a record, read from their shards alone, and its scalars."""
        arrays = {name: self.read(row, name) for name in tensors}
        return arrays | self.scalars.row(row, named=True)

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
        return self.stored.read(row, tensor)

    def verify(self) -> Verified:
        """Read every byte and compare it with what was written.

        Returns how many shards, records and bytes are right; raises an `ArchiveError` that names
        every file that is damaged and the records in it.
        """
        return verify(self)

    def repair(
        self, frame: pl.DataFrame | pl.LazyFrame, *, memory: str | int | None = None
    ) -> Repaired:
        """Write what is damaged again, from the table it was made of; see `entense.repair`."""
        from entense.archive.repair import repair

        return repair(frame, self.folder, memory=memory)

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
        return unmask(self, values, tensor, record)

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

    @cached_property
    def scalars(self) -> pl.DataFrame:
        """The columns that the samples hold, after the records' ids."""
        return self.records.select("record", *self.manifest.columns)

    def tensor(self, name: str) -> Tensor:
        """Return what all records share of a tensor; an ArchiveError where there is none."""
        return self.stored.tensor(name)

    def read_rows(
        self, row: int, tensor: str, start: int, stop: int, out: NDArray[Any], *, check: bool = True
    ) -> None:
        """Read rows (frames) of a tensor of a record into `out`, which is C-contiguous."""
        self.stored.read_rows(row, tensor, start, stop, out, check=check)

    def __repr__(self) -> str:
        m = self.manifest
        size = sum(shard.bytes for shard in m.shards)
        failed = f", {m.failures} failed" if m.failures else ""
        splits = ", ".join(f"{name} {count}" for name, count in m.splits.items())
        lines = [f"  {name}: {tensor}" for name, tensor in self.schema.items()]
        lines += [f"  {name}: {dtype}" for name, dtype in m.columns.items()]
        head = (
            f"archive {self.folder}: {len(self)} records{failed} ({splits}) in {len(m.shards)} "
            f"{' and '.join(m.formats)} shards, {size / 1e6:.1f} MB"
        )
        return "\n".join([head, *lines])

    def place_of(self, row: int, tensor: str) -> dict[str, Any]:
        """Return what `records` holds of a tensor of a record, and the number of its shard."""
        self.tensor(tensor)
        return self.records[tensor].struct.unnest().row(row, named=True)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a process needs that gets a copy: not what can be made of it anew."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {record: row for row, record in enumerate(self.records["record"])}

    @cached_property
    def masks(self) -> Masks:
        """The masks of voxel axes by digest, each read once."""
        return Masks(self.folder, self.manifest.masks)

    @cached_property
    def stored(self) -> Stored:
        """Where its tensors lie, and what reads them."""
        return Stored(self.folder, self.manifest, self.records, self.seen)
