"""Reading: a 4-D image a frame at a time, tables, label images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.errors import RecordError
from entense.files import opening, version_of
from entense.geometry import Labels, Mask, grid_of, read_labels, read_mask
from entense.ops.core import Kind, Spec, op

if TYPE_CHECKING:
    from entense.geometry import Grid


@dataclass(frozen=True)
class Header:
    """What a 4-D image says of itself.

    Parameters
    ----------
    path
        The file.
    grid
        Its lattice.
    frames
        How many volumes.
    dtype
        NumPy dtype of the stored values, with its byte order.
    offset
        Where they begin, in bytes of the inflated file.
    slope, inter
        value = slope * stored + inter.
    tr
        The fourth zoom in seconds; None where it is 0 or has no unit of time.
    """

    path: str
    grid: Grid
    frames: int
    dtype: str
    offset: int
    slope: float
    inter: float
    tr: float | None


_INFLATES = 1032  # deflate packs no tighter than 1 byte for so many
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}


def read_header(path: str) -> Header:
    """Read the header of a 4-D NIfTI-1 or NIfTI-2 image; no voxel is touched."""
    return _read_header(path, version_of(path))


@lru_cache(maxsize=64)  # a record's tensors ask one after the other
def _read_header(path: str, _version: tuple[int, int] | None) -> Header:
    import nibabel as nib

    with opening(path):
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Pair) or not image.header.is_single:
            raise RecordError(
                f"{path}: this is a {type(image).__name__}; a NIfTI image (.nii, .nii.gz) is due"
            )
        if len(image.shape) != 4:
            raise RecordError(
                f"{path}: a 4-D image (x, y, z, time) is due, this one has shape {image.shape}; "
                "does the role's query match an anatomical or a reference image?"
            )
        if image.get_data_dtype().kind not in "iuf":
            raise RecordError(f"{path}: voxels of type {image.get_data_dtype()} are not numbers")
        return _header(path, image)


def _header(path: str, image: Any) -> Header:
    proxy = image.dataobj
    unit = image.header.get_xyzt_units()[1]
    zoom = float(image.header["pixdim"][4])
    tr = zoom * _SECONDS[unit] if zoom > 0 and unit in _SECONDS else None
    slope, inter = (float(value) for value in (proxy.slope, proxy.inter))
    dtype = image.get_data_dtype()
    _check_size(path, image.shape, dtype.itemsize, proxy.offset)
    return Header(path, grid_of(image), image.shape[3], dtype.str, proxy.offset, slope, inter, tr)


def _check_size(path: str, shape: tuple[int, ...], itemsize: int, offset: int) -> None:
    """Hold what the header promises to what the file can hold, before memory is taken for it."""
    most = Path(path).stat().st_size * (_INFLATES if path.endswith(".gz") else 1)
    frames = (most - offset) // (math.prod(shape[:3]) * itemsize)
    if frames < shape[3]:
        raise RecordError(
            f"{path}: the file is cut short, it holds {max(frames, 0)} of {shape[3]} frames at "
            "most; copy it again"
        )


@dataclass(frozen=True)
class Volume:
    """A 4-D image that is opened and not yet decoded: its header, its mask and what it will be."""

    header: Header
    mask: Mask
    spec: Spec


@op(kind=Kind.SOURCE)
def volume(image: str, mask: str, tr: float | None) -> Volume:
    """Open a 4-D image: (time, voxel) float32, of the voxels in a mask.

    Parameters
    ----------
    image
        NIfTI-1 or NIfTI-2, ``.nii`` or ``.nii.gz``, any integer or float dtype, scaled or not.
    mask
        A binary image on the same grid.
    tr
        Repetition time in seconds, from the sidecar; the header's where it is None.

    Raises
    ------
    RecordError
        Where a file is missing, damaged, not 4-D, or image and mask lie on different grids.
    """
    header, inside = read_header(image), read_mask(mask)
    if not header.grid.matches(inside.grid):
        raise RecordError(
            f"{image}: the image and its mask {mask} lie on different grids: {header.grid}, and "
            f"{inside.grid}; take a mask in the same space and resolution"
        )
    known = header.tr if tr is None else tr
    shape = (header.frames, inside.voxels)
    spec = Spec(("time", "voxel"), shape, "float32", mask=inside, tr=known)
    return Volume(header, inside, spec)


@dataclass(frozen=True)
class Table:
    """A TSV of numbers: its path, for errors, and its columns."""

    path: str
    frame: pl.DataFrame


@op(kind=Kind.TABLE)
def table(path: str) -> Table:
    """Read a tab-separated table in which ``n/a`` means missing."""
    with opening(path):
        frame = pl.read_csv(
            path, separator="\t", null_values=["n/a", "NaN", "nan"], infer_schema_length=None
        )
    return Table(path, frame)


@op(kind=Kind.SOURCE)
def labels(path: str) -> Labels:
    """Read a label image: (X, Y, Z) whole numbers, 0 for background."""
    return read_labels(path)
