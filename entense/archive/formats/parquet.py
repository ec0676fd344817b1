"""Parquet: a row a record, an Arrow tensor column a tensor, a plain column a scalar."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, final

import numpy as np
from awscrt.checksums import crc32c

from entense.archive.formats.foreign import Foreign, Shared, check_dtype, check_holds
from entense.archive.schema import DTYPES
from entense.errors import ArchiveError
from entense.tensors.lazy import RAGGED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from entense.archive.formats.base import Sample
    from entense.ops.core import Spec

KEY = "record"
GROUP = 2**24  # bytes of tensors that wait for others to share a row group with
LIMIT = 2**31 - 1  # bytes of a page, and a row lies in one
OVERHEAD = 1024  # bytes of a row beside its data, about
HELD = tuple(dtype for dtype in DTYPES if dtype != "bfloat16" and not dtype.startswith("complex"))
PLAIN = {"PLAIN", "RLE"}


class _Table:
    """A Parquet file being written, a row group at a time."""

    def __init__(self, path: Path, shared: Shared) -> None:
        self._path, self._shared = path, shared
        self._writer: Any = None
        self._rows: list[Sample] = []
        self._held = 0

    def append(self, sample: Sample) -> None:
        """Add a row; write those that wait once they are large."""
        self._writer = self._writer or self._begin(sample)
        self._held += sample.nbytes
        if self._held >= GROUP:
            self._rows.append(sample)
            self._write()
        else:  # what is computed next may take the memory of these arrays
            copies = {name: array.copy() for name, array in sample.arrays.items()}
            self._rows.append(sample._replace(arrays=copies))

    def close(self) -> None:
        """Write the rows that wait, and the footer."""
        if self._rows:
            self._write()
        if self._writer:
            self._writer.close()
            _seal(self._path)

    def _begin(self, sample: Sample) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns, arrays = self._shared.columns, sample.arrays.items()
        fields = [pa.field(KEY, pa.string())]
        fields += [_field(name, it, sample.specs[name], self._shared) for name, it in arrays]
        fields += [pa.field(name, pa.from_numpy_dtype(kind)) for name, kind in columns.items()]
        return pq.ParquetWriter(
            self._path, pa.schema(fields),
            compression="none", use_dictionary=False, write_statistics=[KEY, *columns],
        )  # fmt: skip

    def _write(self) -> None:
        import pyarrow as pa

        keys, arrays, scalars, _ = zip(*self._rows, strict=True)
        columns = []
        for field in self._writer.schema:
            if field.name == KEY:
                columns.append(pa.array(keys, field.type))
            elif field.name in self._shared.columns:
                columns.append(pa.array([row[field.name] for row in scalars], field.type))
            else:
                columns.append(_column(field.type, [row[field.name] for row in arrays]))
        table = pa.Table.from_arrays(columns, schema=self._writer.schema)
        self._writer.write_table(table, row_group_size=len(keys))
        self._rows, self._held = [], 0


def _seal(path: Path) -> None:
    """Put a CRC-32C before the footer: PyArrow ends the process over one that is damaged."""
    with path.open("r+b") as file:
        footer = _footer(file)
        file.seek(-len(footer), os.SEEK_END)
        file.write(struct.pack("<I", crc32c(footer)) + footer)


def _check_seal(path: Path) -> None:
    with path.open("rb") as file:
        footer = _footer(file)
        file.seek(-len(footer) - 4, os.SEEK_END)
        if file.read(4) != struct.pack("<I", crc32c(footer)):
            raise ValueError("its footer is damaged, or write did not make it")


def _footer(file: BinaryIO) -> bytes:
    """Return the footer, with its length and PAR1 behind it."""
    file.seek(-8, os.SEEK_END)
    (length,) = struct.unpack("<I", file.read(4))
    file.seek(-8 - length, os.SEEK_END)
    return file.read()


def _check_name(name: str) -> None:
    if name == KEY or not name or "\0" in name:
        raise ArchiveError(
            f"{name!r} cannot name a column in Parquet beside {KEY!r}, the record's id; rename it"
        )


def _stored(array: NDArray[Any]) -> int:
    return array.size * max(array.itemsize, 4 if array.dtype.kind in "iu" else 0)


def _field(name: str, array: NDArray[Any], spec: Spec, shared: Shared) -> pa.Field:
    """Return the column of a tensor; Parquet has no lists of no items, structs hold those."""
    import pyarrow as pa

    numbers = pa.from_numpy_dtype(array.dtype)
    if name not in shared.ragged and array.size:
        return pa.field(name, pa.fixed_shape_tensor(numbers, array.shape, dim_names=spec.dims))
    parts = {"data": pa.large_list(numbers), "shape": pa.list_(pa.int32(), array.ndim)}
    known = json.dumps({"dim_names": list(spec.dims)})
    # PyArrow has no type for it: it sees the struct, Polars a tensor
    meta = {"ARROW:extension:name": RAGGED, "ARROW:extension:metadata": known}
    return pa.field(name, pa.struct(parts), metadata=meta)


def _column(kind: pa.DataType, arrays: Sequence[NDArray[Any]]) -> pa.Array:
    import pyarrow as pa

    # what is one array is shared, not copied
    flat = np.concatenate([one.ravel() for one in arrays]) if len(arrays) > 1 else arrays[0].ravel()
    data = pa.array(flat)
    if not pa.types.is_struct(kind):
        listed = pa.FixedSizeListArray.from_arrays(data, type=kind.storage_type)
        return pa.ExtensionArray.from_storage(kind, listed)
    ends = np.cumsum([0, *(one.size for one in arrays)])
    shapes = pa.array(np.array([one.shape for one in arrays], np.int32).ravel())
    parts = [
        pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), data),
        pa.FixedSizeListArray.from_arrays(shapes, arrays[0].ndim),
    ]
    return pa.StructArray.from_arrays(parts, fields=list(kind))


@final
class Parquet(Foreign):
    """Parquet files: tensors are ``arrow.fixed_shape_tensor``, or structs of data and shape."""

    name, extension, library = "parquet", ".parquet", "pyarrow"

    def check(self, name: str, spec: Spec) -> None:
        """Refuse what Arrow has no numbers for."""
        _check_name(name)
        check_dtype(self, name, spec, HELD)

    def size(self, sample: Sample) -> int:
        """Add up the arrays; Parquet has no integers below 32 bits."""
        for name in sample.scalars:
            _check_name(name)
        for name, array in sample.arrays.items():
            if array.nbytes > LIMIT:
                raise ArchiveError(
                    f"{name!r} of record {sample.key} takes {array.nbytes / 2**30:.1f} GiB, and a "
                    'cell of Parquet holds less than 2 GiB; write it with format="hdf5" or a '
                    "smaller dtype"
                )
        return OVERHEAD + sum(_stored(array) + OVERHEAD for array in sample.arrays.values())

    def begin(self, path: Path, shared: Shared) -> _Table:
        """Begin a file."""
        return _Table(path, shared)

    def read(self, path: Path, key: str, tensor: str, start: int, stop: int) -> NDArray[Any]:
        """Read rows of a cell, whose row group is read whole."""
        with self.reading(path):
            import pyarrow.parquet as pq

            _check_seal(path)
            with pq.ParquetFile(path) as file:
                group, row = _place(file, path, key)
                _check_plain(file, path, group, tensor)
                column = file.read_row_group(group, columns=[tensor]).column(tensor)
                array = _array(column.chunk(0).slice(row, 1))
                return array[start:stop] if array.ndim else array


def _place(file: Any, path: Path, key: str) -> tuple[int, int]:
    """Return the row group of a record, and its row in it."""
    for group in range(file.num_row_groups):
        _check_plain(file, path, group, KEY)
        keys = file.read_row_group(group, columns=[KEY]).column(KEY)
        if (row := keys.index(key).as_py()) >= 0:
            return group, row
    raise ValueError(f"it has no record {key!r}")


def _check_plain(file: Any, path: Path, group: int, name: str) -> None:
    """Raise where a column could inflate to more than the file holds."""
    about = file.metadata.row_group(group)
    for column in map(about.column, range(about.num_columns)):
        if column.path_in_schema.split(".")[0] == name.split(".", maxsplit=1)[0]:
            if column.compression != "UNCOMPRESSED" or not PLAIN.issuperset(column.encodings):
                raise ValueError(f"{name!r} is packed, and write packs nothing")
            check_holds(path, max(column.total_uncompressed_size, column.num_values // 8))


def _array(cell: pa.Array) -> NDArray[Any]:
    """Return the tensor of a column of one row."""
    import pyarrow as pa

    if isinstance(cell.type, pa.FixedShapeTensorType):
        data, shape = cell.storage.flatten(), cell.type.shape
    else:
        data, shape = cell.field("data").flatten(), cell.field("shape").flatten().to_pylist()
    if data.null_count:
        raise ValueError("a tensor in it has nulls")
    array: NDArray[Any] = data.to_numpy(zero_copy_only=False).reshape(shape)
    return array
