"""Zarr 3 in a ZIP file: a group a record, an array a tensor, chunks of about 1 MiB of frames."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, final
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from entense.archive.checksum import block_rows
from entense.archive.formats.base import json_of
from entense.archive.formats.foreign import (
    WITHOUT_BFLOAT16,
    Foreign,
    Shared,
    check_holds,
    check_member,
    check_part,
    facts,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from entense.archive.formats.base import Sample
    from entense.ops.core import Spec

META = "zarr.json"
OVERHEAD = 1024  # bytes of a file in the ZIP beside its data, about
UNIX = 3  # the system that a ZIP says it was made on: the same everywhere


def chunks(array: NDArray[Any]) -> tuple[int, ...]:
    """Return the shape of a chunk: frames of about 1 MiB, the last one nearly full, too.

    Examples
    --------
    >>> chunks(np.zeros((300, 1000), "f4"))
    (150, 1000)
    """
    if not array.ndim:
        return ()
    rows = max(1, len(array))
    parts = -(-rows // block_rows(array.shape, array.nbytes))
    return (-(-rows // parts), *(max(1, size) for size in array.shape[1:]))


class _Zip:
    """A ZIP file of Zarr being written; one record at a time is in memory."""

    def __init__(self, path: Path) -> None:
        import zarr

        self._zip = ZipFile(path, "w", ZIP_STORED)
        with _as_due():
            zarr.create_group(store := _memory())
        self._put(store, "")

    def append(self, sample: Sample) -> None:
        """Write a group and its arrays."""
        import zarr

        columns = json.loads(json_of(sample))
        with _as_due():
            group = zarr.create_group(store := _memory(), path=sample.key, attributes=columns)
            for name, array in sample.arrays.items():
                spec = sample.specs[name]
                group.create_array(
                    name, data=array, chunks=chunks(array), compressors=None, filters=None,
                    dimension_names=spec.dims, attributes=facts(spec),
                    config={"write_empty_chunks": True},  # what is missing would read as zeros
                )  # fmt: skip
        self._put(store, f"{sample.key}/")

    def close(self) -> None:
        """Write the directory of the ZIP."""
        self._zip.close()

    def _put(self, store: Any, folder: str) -> None:
        """Copy files into the ZIP, in the order of their names, without a time of day."""
        files = store._store_dict
        for name in sorted(name for name in files if name.startswith(folder)):
            info = ZipInfo(name)  # of 1980
            info.create_system, info.external_attr = UNIX, 0o644 << 16
            self._zip.writestr(info, files[name].to_bytes())


@final
class Zarr(Foreign):
    """Zarr 3 in ZIP files: ``zarr.open_group(ZipStore(path))[record][tensor]``."""

    name, extension, library = "zarr", ".zarr.zip", "zarr"

    def check(self, name: str, spec: Spec) -> None:
        """Refuse bfloat16, which Zarr has not."""
        check_member(self, name, spec)

    def size(self, sample: Sample) -> int:
        """Add up the chunks, of which the last of an array is filled up."""
        check_part(sample.key, self)
        arrays = sum(_stored(array) for array in sample.arrays.values())
        return OVERHEAD + len(json_of(sample)) + arrays

    def begin(self, path: Path, shared: Shared) -> _Zip:
        """Begin a file."""
        return _Zip(path)

    def read(self, path: Path, key: str, tensor: str, start: int, stop: int) -> NDArray[Any]:
        """Read the chunks that hold some rows."""
        with self.reading(path):
            import zarr
            from zarr.storage import ZipStore

            _check(path, f"{key}/{tensor}/")
            with ZipStore(path, mode="r") as store:
                array: Any = zarr.open_array(store, path=f"{key}/{tensor}", mode="r")
                return np.asarray(array[start:stop] if array.ndim else array[()])


def _as_due() -> AbstractContextManager[Any]:
    """Have Zarr write as we know it, whatever its configuration, or the environment, says."""
    import zarr

    due: AbstractContextManager[Any] = zarr.config.set({"default_zarr_format": 3, "json_indent": 2})
    return due


def _memory() -> Any:
    from zarr.storage import MemoryStore

    return MemoryStore()


def _stored(array: NDArray[Any]) -> int:
    """Return the bytes of an array in the ZIP."""
    shape = chunks(array)
    count = -(-len(array) // shape[0]) if array.size and array.ndim else min(array.size, 1)
    return count * (math.prod(shape) * array.itemsize + OVERHEAD) + OVERHEAD


def _check(path: Path, folder: str) -> None:
    """Raise where an array is not as write makes it: a codec could run code or inflate."""
    with ZipFile(path) as file:
        inside = [info for info in file.infolist() if info.filename.startswith(folder)]
        if any(info.compress_type != ZIP_STORED for info in inside):
            raise ValueError(f"{folder} is packed, and write packs nothing")
        meta = json.loads(file.read(folder + META))
    chunk, codecs = meta["chunk_grid"]["configuration"]["chunk_shape"], meta["codecs"]
    if [codec["name"] for codec in codecs] != ["bytes"] or meta.get("storage_transformers"):
        raise ValueError(f"{folder} has codecs, and write uses none")
    if meta["data_type"] not in WITHOUT_BFLOAT16:
        raise ValueError(f"{folder} is of dtype {meta['data_type']}, and no tensor")
    for shape in (meta["shape"], chunk):
        check_holds(path, math.prod(shape) * np.dtype(meta["data_type"]).itemsize)
