"""Small arrays from files: npy, and numbers in text."""

from __future__ import annotations

import math
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from entense.errors import RecordError
from entense.files import open_packed, opening

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_MISSING = ["n/a", "NaN", "nan"]
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_PARSING = Lock()  # NumPy parses a header as Python, at which threads of Python 3.11 may fail


def read_array(path: str) -> NDArray[Any]:
    """Read an ``.npy``, without what could run code, or text: numbers of at most 32 bits.

    A RecordError where the file is missing, damaged, empty, or holds what are no numbers.
    """
    with opening(path) as place:
        data = _stored(place) if place.suffix == ".npy" else numbers(path, _text(path, place))
    if data.dtype.kind not in "biuf" or not data.size or not data.ndim:
        raise RecordError(
            f"{path}: it holds {data.dtype} {data.shape}, an array of numbers is due; name another"
        )
    return _narrow(path, data)


def numbers(path: str, frame: pl.DataFrame) -> NDArray[np.float32]:
    """Return a table's columns, (row, column); what is missing is NaN."""
    text = [column.name for column in frame if not _is_numeric(column)]
    if text or frame.is_empty():
        what = f"the column {text[0]!r} holds text" if text else "the table is empty"
        raise RecordError(f"{path}: {what}, numbers are due; name other columns, or mend the table")
    filled = frame.with_columns(pl.all().cast(pl.Float64).fill_null(float("nan")))
    return np.ascontiguousarray(filled.to_numpy(), np.float32)


def _is_numeric(column: pl.Series) -> bool:
    return (
        column.dtype.is_numeric()
        or column.dtype == pl.Boolean
        or column.null_count() == len(column)
    )


def _stored(place: Path) -> NDArray[Any]:
    with place.open("rb") as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"it is of version {version}, 1.0 and 2.0 hold numbers")
        with _PARSING:
            shape, is_fortran, dtype = _HEADERS[version](file)
        if dtype.hasobject:
            raise ValueError("it holds objects, an array of numbers is due")
        count = math.prod(shape)
        if count * dtype.itemsize > place.stat().st_size - file.tell():
            raise EOFError(f"its header says {dtype} {shape}")
        data = np.fromfile(file, dtype, count)
    return data.reshape(shape, order="F" if is_fortran else "C")


def _narrow(path: str, data: NDArray[Any]) -> NDArray[Any]:
    """Return the numbers as JAX has them, in this machine's byte order."""
    kind, size = data.dtype.kind, data.dtype.itemsize
    new = data.astype(f"={kind}{4 if kind == 'f' else min(size, 4)}", order="C")
    if kind != "f" and not np.array_equal(new, data):
        raise RecordError(f"{path}: it holds whole numbers beyond 32 bits; save it as float64")
    return new


def _text(path: str, place: Path) -> pl.DataFrame:
    separator = _SEPARATORS.get(place.with_name(place.name.removesuffix(".gz")).suffix)
    with open_packed(place) as file:
        lines = [line for line in file.read().decode().splitlines() if line.strip()]
    rows = [_cells(line, separator) for line in lines if line[0] != "#"]
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise RecordError(
                f"{path}: row {number} has {len(row)} cells, the first has {len(rows[0])}; it may "
                "be cut short: copy it again"
            )
    text = "\n".join("\t".join(row) for row in rows).encode()
    options: dict[str, Any] = {"null_values": _MISSING, "infer_schema_length": None}
    return pl.read_csv(text, separator="\t", has_header=False, **options)


def _cells(line: str, separator: str | None) -> list[str]:
    """Return the cells of a line; without a separator blanks and commas part them."""
    cells = line.split(separator) if separator else line.replace(",", " ").split()
    return [cell.strip() for cell in cells]
