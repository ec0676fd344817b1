"""Reading and writing masks."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.errors import RecordError
from entense.files import opening, version_of
from entense.geometry import Columns, Grayordinates, Grid, Mask, Sides, grid_of
from entense.images import cifti, gifti
from entense.images.nifti import read_stored
from entense.index.fetch import name_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_columns(path: str | Path | Sides) -> Columns:
    """Read a mask of any geometry: NIfTI for voxels, CIFTI or GIFTI for the others."""
    if isinstance(path, Sides):
        return read_vertices(path)
    if name_of(path).endswith((".gii", Grayordinates.extension, ".dlabel.nii")):
        return read_vertices(str(path))
    return read_mask(path)


def read_vertices(path: str | Sides) -> Grayordinates:
    """Read a mask of vertices (GIFTI, of one hemisphere or two) or grayordinates (CIFTI)."""
    if isinstance(path, str) and name_of(path).endswith(".nii"):
        return cifti.read_mask(path)
    files = [path] if isinstance(path, str) else path
    return _read_gifti(path, tuple(version_of(one) for one in files if one))


@lru_cache(maxsize=16)
def _read_gifti(path: str | Sides, _version: object) -> Grayordinates:
    whole, inside = gifti.read_whole_mask(path)
    return whole.where(inside)


def write_mask(mask: Columns, path: str | Path) -> None:
    """Write a mask: NIfTI (uint8) or CIFTI; the same mask always gives the same bytes."""
    content = mask.to_bytes()
    if mask.extension.endswith(".gz") and not str(path).endswith(".gz"):
        content = gzip.decompress(content)
    Path(path).write_bytes(content)


def read_mask(path: str | Path) -> Mask:
    """Read a binary mask.

    Parameters
    ----------
    path
        A NIfTI image of two values, of which the lower is 0: (X, Y, Z) or (X, Y, Z, 1).

    Raises
    ------
    RecordError
        Where the file is missing, damaged, no mask (more than two values) or empty.
    """
    return _read_mask(str(path), version_of(path))


@lru_cache(maxsize=16)
def _read_mask(path: str, _version: tuple[int, int] | None) -> Mask:
    grid, data = read_volume(path)
    if not _is_binary(data):
        values = np.unique(data)
        raise RecordError(
            f"{path}: this is not a binary mask, it has {values.size} different values "
            f"from {values[0]:g} to {values[-1]:g}; threshold it first"
        )
    inside = data > 0
    if not inside.any():
        raise RecordError(f"{path}: the mask is empty (no voxel is above 0); make it again")
    return Mask.of(inside, grid.affine)


def _is_binary(data: NDArray[Any]) -> bool:
    """Whether there are two values, of which the lower is 0, or one; NaN is none."""
    if not data.size:
        return True
    low, high = data.min(), data.max()
    return bool(low in (0, high) and ((data == low) | (data == high)).all())


def read_volume(path: str) -> tuple[Grid, NDArray[Any]]:
    """Read a 3-D image whole, in canonical orientation."""
    stored = read_stored(path)
    grid, data = _loaded(path) if stored is None else _canonical(*stored)
    if data.ndim > 3 and data.size == np.prod(data.shape[:3]):
        data = data.reshape(data.shape[:3])
    if data.ndim != 3:
        raise RecordError(
            f"{path}: a 3-D image is due here, this one has shape {data.shape}; take one volume"
        )
    return grid, data


def _canonical(grid: Grid, data: NDArray[Any]) -> tuple[Grid, NDArray[Any]]:
    from nibabel.orientations import apply_orientation

    turned = apply_orientation(data, np.array(grid.orientation))
    return Grid(grid.shape, grid.affine), turned


def _loaded(path: str) -> tuple[Grid, NDArray[Any]]:
    import nibabel as nib
    from nibabel.spatialimages import SpatialImage

    with opening(path) as place:
        image = nib.load(place)
        if not isinstance(image, SpatialImage):
            raise RecordError(
                f"{path}: this is a {type(image).__name__}, no mask or atlas of a volume; give a "
                "NIfTI image there (.nii, .nii.gz), on surfaces a .label.gii or .dlabel.nii"
            )
        image = nib.as_closest_canonical(image)
        return grid_of(image.shape[:3], image.affine), np.asanyarray(image.dataobj)
