"""CIFTI-2: series of grayordinates and of parcels, labels and masks on them.

Glasser et al. 2013, doi:10.1016/j.neuroimage.2013.04.127; the format is
https://www.nitrc.org/projects/cifti/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.errors import RecordError
from entense.files import opening, version_of
from entense.geometry.grayordinates import Grayordinates
from entense.geometry.labels import labelled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_HEADER = 540  # bytes of a NIfTI-2 header
_CODE = 32  # of the extension that is CIFTI's XML
_AT_ONCE = 64  # frames that are turned round together: a cache line of each column
_UNITS = {"SECOND": 1.0}
_DIMENSION = re.compile(rb"<MatrixIndicesMap\b[^>]*?(?:/>|>.*?</MatrixIndicesMap>)", re.DOTALL)
_parsing = Lock()  # threads that wait for one axis must not each parse it
_VERSION = re.compile(rb'<CIFTI\b[^>]*?\bVersion="([^"]*)"')


@dataclass(frozen=True)
class Dense:
    """A dtseries or ptseries, opened and not yet decoded.

    Parameters
    ----------
    path, frames, dtype, slope, inter, tr
        As `Series` has it.
    offset
        Where the values begin; they lie a column after the other.
    axis
        What the columns of a dtseries are.
    parcels
        The names of the columns of a ptseries; empty for a dtseries.
    """

    path: str
    frames: int
    dtype: str
    offset: int
    slope: float
    inter: float
    tr: float | None
    axis: Grayordinates | None = field(repr=False)
    parcels: tuple[str, ...] = field(default=(), repr=False)

    @property
    def columns(self) -> int:
        """How many values a frame has."""
        return len(self.parcels) if self.axis is None else self.axis.size

    @property
    def held(self) -> int:
        """All of the file: a frame's values lie all over it."""
        return self.frames * self.columns * np.dtype(self.dtype).itemsize

    def read(self, _cores: int = 1, /) -> Iterator[NDArray[Any]]:
        """Yield each frame, flat; it is valid until the next one is asked for."""
        with opening(self.path) as place:
            count = self.frames * self.columns
            data = np.fromfile(place, self.dtype, count, offset=self.offset)
            if data.size < count:
                raise EOFError(f"it holds {data.size} of {count} values")
        series = data.reshape(self.columns, self.frames)
        for start in range(0, self.frames, _AT_ONCE):
            yield from np.ascontiguousarray(series[:, start : start + _AT_ONCE].T)


def read_dense(path: str) -> Dense:
    """Read the header of a dtseries or ptseries; no value is touched.

    A RecordError where the file is missing, damaged, CIFTI-1, or of another kind.
    """
    return _read_dense(path, version_of(path))


def read_labels(path: str) -> tuple[Grayordinates, NDArray[np.int64], dict[int, str]]:
    """Read a dlabel of one map: its axis, the key of each column, and the names of the keys."""
    rows, axis, values = _whole(path, "dlabel")
    if not hasattr(rows, "label"):
        raise RecordError(f"{path}: a dlabel is due, and this has no labels; name another file")
    if len(rows) != 1:
        raise RecordError(
            f"{path}: a dlabel of one map is due, this has {len(rows)}; take one out with: "
            "wb_command -cifti-merge one.dlabel.nii -cifti FILE -column 1"
        )
    names = {key: name for key, (name, _) in rows.label[0].items()}
    return axis, *labelled(np.rint(values), names)


def read_whole_mask(path: str) -> tuple[Grayordinates, NDArray[np.bool_]]:
    """Read a dscalar or dlabel: its columns, and at which its first map is above 0."""
    _, axis, values = _whole(path, "dscalar or dlabel")
    inside = values > 0
    if not inside.any():
        raise RecordError(f"{path}: the mask is empty (no value is above 0); make it again")
    return axis, inside


@lru_cache(maxsize=16)
def _read_mask(path: str, _version: object) -> Grayordinates:
    axis, inside = read_whole_mask(path)
    return axis.where(inside)


def read_mask(path: str) -> Grayordinates:
    """Read the columns of a dscalar or dlabel whose first map is above 0."""
    return _read_mask(path, version_of(path))


def _whole(path: str, kind: str) -> tuple[Any, Grayordinates, NDArray[Any]]:
    """Return the maps' axis, the columns, and the values of the first map."""
    import nibabel as nib

    with opening(path) as place:
        _check_version(path, _xml(path, place)[1])
        image = nib.load(place)
        if not isinstance(image, nib.Cifti2Image) or len(image.shape) != 2:
            raise RecordError(f"{path}: this is no {kind} of CIFTI-2; name another file")
        columns = image.header.get_axis(1)
        if not isinstance(columns, nib.cifti2.BrainModelAxis):
            raise RecordError(f"{path}: its columns are no grayordinates; a {kind} is due")
        maps, first = image.header.get_axis(0), np.asarray(image.dataobj[0])
        return maps, Grayordinates.of_axis(columns), first


@lru_cache(maxsize=64)
def _read_dense(path: str, _version: object) -> Dense:
    with opening(path) as place:
        header, text = _xml(path, place)
        _check_version(path, text)
        series, columns = _dimensions(path, text)
        axis, parcels = _axis(columns)
        frames, tr = _series(path, series)
        slope, inter = header.get_slope_inter()
        shape = tuple(map(int, header["dim"][5:7]))
        if shape != (frames, len(parcels) if axis is None else axis.size):
            raise RecordError(f"{path}: header and XML differ in the shape; make the file again")
        dense = Dense(
            path, frames, header.get_data_dtype().str, int(header["vox_offset"]),
            1.0 if slope is None else float(slope), 0.0 if inter is None else float(inter),
            tr, axis, parcels,
        )  # fmt: skip
        _check_size(dense, place.stat().st_size)
        return dense


def _check_size(dense: Dense, size: int) -> None:
    column = dense.frames * np.dtype(dense.dtype).itemsize
    if dense.offset + dense.columns * column > size:
        there = max(0, (size - dense.offset) // column)
        raise RecordError(
            f"{dense.path}: the file is cut short, it holds {there} of {dense.columns} columns; "
            "copy it again"
        )


def _xml(path: str, place: Path) -> tuple[Any, bytes]:
    """Return the NIfTI-2 header and the text of CIFTI's extension."""
    import nibabel as nib

    with place.open("rb") as file:
        start = file.read(_HEADER + 4)
        if start[4:8] not in (b"n+2\0", b"n+1\0") and start[344:348] != b"n+1\0":
            raise RecordError(
                f"{path}: this is no CIFTI file; a .dtseries.nii, .ptseries.nii, .dscalar.nii or "
                ".dlabel.nii is due"
            )
        header = nib.Nifti2Header(start[:_HEADER], check=False)
        order = header.endianness
        end = min(int(header["vox_offset"]), place.stat().st_size)
        while file.tell() + 8 <= end:
            size, code = np.frombuffer(file.read(8), f"{order}i4")
            if code == _CODE and size > 8:
                text = file.read(min(int(size) - 8, end - file.tell()))
                if len(text) < size - 8:
                    raise EOFError("it ends inside its XML")
                return header, text.rstrip(b"\0")
            if size <= 8:
                break
            file.seek(int(size) - 8, 1)
    raise RecordError(f"{path}: this is a NIfTI image without CIFTI's XML; begin with et.volume(…)")


def _check_version(path: str, text: bytes) -> None:
    said = _VERSION.search(text)
    if said is None or not said[1].startswith(b"2"):
        version = said[1].decode(errors="replace") if said else "unknown"
        raise RecordError(
            f"{path}: this is CIFTI of version {version}, CIFTI-2 is due; convert it with: "
            "wb_command -file-convert -cifti-version-convert FILE 2 NEW"
        )


def _dimensions(path: str, text: bytes) -> tuple[bytes, bytes]:
    """Return the XML of the series and of the columns."""
    found = _DIMENSION.findall(text)
    kinds = [re.search(rb'IndicesMapToDataType="CIFTI_INDEX_TYPE_(\w+)"', one) for one in found]
    by_kind = {kind[1]: one for kind, one in zip(kinds, found, strict=True) if kind}
    columns = by_kind.get(b"BRAIN_MODELS") or by_kind.get(b"PARCELS")
    if b"SERIES" not in by_kind or columns is None or len(found) != 2:
        have = " by ".join(kind.decode().lower() for kind in by_kind) or "nothing"
        raise RecordError(
            f"{path}: a dtseries or ptseries is due, this holds {have}; does the role's query "
            "match another kind of file?"
        )
    return by_kind[b"SERIES"], columns


def _series(path: str, text: bytes) -> tuple[int, float | None]:
    """Return the number of frames and the seconds between them."""
    said = dict(re.findall(rb'(\w+)="([^"]*)"', text[: text.index(b">")]))
    try:
        step = float(said[b"SeriesStep"]) * 10.0 ** int(said[b"SeriesExponent"])
        frames = int(said[b"NumberOfSeriesPoints"])
        if frames < 1:
            raise ValueError
    except (KeyError, ValueError, OverflowError) as error:
        raise RecordError(f"{path}: its XML does not say how long it is; copy it again") from error
    unit = _UNITS.get(said.get(b"SeriesUnit", b"").decode(errors="replace"))
    return frames, step * unit if unit and step > 0 else None


def _axis(text: bytes) -> tuple[Grayordinates | None, tuple[str, ...]]:
    try:
        with _parsing:
            return _parsed(text)
    except (TypeError, KeyError, AttributeError, AssertionError) as error:
        raise ValueError(f"its XML is damaged: {error}") from error


@lru_cache(maxsize=32)  # runs of one study have the same columns: 100 ms each else
def _parsed(text: bytes) -> tuple[Grayordinates | None, tuple[str, ...]]:
    from nibabel.cifti2 import ParcelsAxis
    from nibabel.cifti2.parse_cifti2 import Cifti2Parser

    parser = Cifti2Parser()
    # by itself it would be parsed no further
    number = re.search(rb'AppliesToMatrixDimension="[^"]*"', text)
    alone = text.replace(number[0], b'AppliesToMatrixDimension="0"', 1) if number else text
    parser.parse(string=b'<CIFTI Version="2"><Matrix>' + alone + b"</Matrix></CIFTI>")
    axis = parser.header.matrix.get_axis(0)
    if isinstance(axis, ParcelsAxis):
        return None, tuple(map(str, axis.name))
    return Grayordinates.of_axis(axis), ()
