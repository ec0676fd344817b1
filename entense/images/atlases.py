"""Reading parcellations of any geometry."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.errors import RecordError
from entense.files import opening, version_of
from entense.geometry import Atlas, Grid, Labels, Maps, Sides, SurfaceLabels, storage_index
from entense.images import cifti, gifti
from entense.images.masks import read_volume
from entense.images.nifti import read_header
from entense.index.fetch import name_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def read_atlas(path: str | Path | Sides) -> Atlas:
    """Read a parcellation of any geometry.

    Parameters
    ----------
    path
        A label image or a probabilistic atlas (4-D) as NIfTI, a ``.dlabel.nii``, a ``.label.gii``
        of one hemisphere, or `Sides` of two.

    Raises
    ------
    RecordError
        Where a file is missing, damaged, empty, or has values that are no labels.
    """
    if isinstance(path, Sides):
        return _read_surface(path, tuple(version_of(side) for side in path if side))
    path = str(path)
    if name_of(path).endswith((".gii", ".dlabel.nii")):
        return _read_surface(path, version_of(path))
    return _read_volume(path, version_of(path))


def read_weights(path: str) -> Maps:
    """Read a 3-D image of weights, 0 and more, as a probabilistic atlas of one parcel."""
    return _read_weights(path, version_of(path))


@lru_cache(maxsize=4)
def _read_weights(path: str, _version: object) -> Maps:
    grid, data = read_volume(path)
    return Maps(path, grid, _row(path, data.ravel()), (1,))


@lru_cache(maxsize=4)
def _read_volume(path: str, _version: object) -> Labels | Maps:
    import nibabel as nib

    with opening(path) as place:
        shape: tuple[int, ...] = getattr(nib.load(place), "shape", ())
    return _maps(path) if len(shape) == 4 and shape[3] > 1 else _labels(path, *read_volume(path))


def _labels(path: str, grid: Grid, data: NDArray[Any]) -> Labels:
    whole = np.rint(data).astype(np.int64)
    if not np.array_equal(whole, data) or whole.min() < 0:
        raise RecordError(
            f"{path}: this is not a label image, it has values that are no whole numbers or "
            "negative; give a dseg image, or a probabilistic atlas with a fourth dimension"
        )
    values = np.unique(whole)
    values = values[values > 0]
    if not values.size:
        raise RecordError(f"{path}: the label image is empty (no label above 0); make it again")
    codes = np.where(whole > 0, np.searchsorted(values, whole) + 1, 0).astype(np.int32)
    return Labels(path, grid, codes, tuple(map(int, values)))


def _maps(path: str) -> Maps:
    """Read map by map: together they may take gigabytes, and most weights are 0."""
    from scipy.sparse import vstack

    header = read_header(path)
    order = storage_index(header.grid, None)
    rows = [
        _row(path, frame[order] * np.float64(header.slope) + header.inter)
        for frame in header.read()
    ]
    return Maps(path, header.grid, vstack(rows, format="csr"), tuple(range(1, len(rows) + 1)))


def _row(path: str, weights: NDArray[np.float64]) -> Any:
    from scipy.sparse import csr_array

    if not np.isfinite(weights).all() or weights.min() < 0:
        raise RecordError(
            f"{path}: an image of weights of 0 and more is due here, this one has others; "
            "threshold it first"
        )
    return csr_array(weights[None], dtype=np.float32)


@lru_cache(maxsize=4)
def _read_surface(path: str | Sides, _version: object) -> SurfaceLabels:
    first = path if isinstance(path, str) else next(side for side in path if side)
    if name_of(first).endswith(".gii"):
        axis, keys, names = gifti.read_labels(path)
    else:
        axis, keys, names = cifti.read_labels(first)
    used = np.unique(keys[keys > 0])
    if not used.size:
        raise RecordError(f"{first}: the atlas is empty (no label above 0); make it again")
    codes = np.where(keys > 0, np.searchsorted(used, keys) + 1, 0).astype(np.int32)
    values = tuple(names.get(int(key)) or int(key) for key in used)
    return SurfaceLabels(first, axis, codes, _distinct(values, used))


def _distinct(names: tuple[int | str, ...], keys: NDArray[np.int64]) -> tuple[int | str, ...]:
    """Return the names, or the keys where a name stands twice."""
    return names if len(set(names)) == len(names) else tuple(map(int, keys))
