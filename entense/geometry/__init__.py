"""Where the columns of a tensor lie: voxels of a grid, vertices of surfaces, grayordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from entense.geometry.grayordinates import Grayordinates, Sides
from entense.geometry.grid import Grid, Mask, grid_of, storage_index, whole
from entense.geometry.labels import Atlas, Columns, Labels, Maps, SurfaceLabels

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Atlas",
    "Columns",
    "Grayordinates",
    "Grid",
    "Labels",
    "Maps",
    "Mask",
    "Sides",
    "SurfaceLabels",
    "grid_of",
    "storage_index",
    "unmask",
    "whole",
]


def unmask(values: NDArray[Any], mask: Columns, tr: float | None = None) -> Any:
    """Put values back into the brain.

    Parameters
    ----------
    values
        (column,) or (time, column).
    mask
        The mask that the column axis was made with.
    tr
        Repetition time in seconds, for the header.

    Returns
    -------
    For voxels nibabel.Nifti1Image, (X, Y, Z) or (X, Y, Z, time), zero outside the mask; float32,
    or the dtype of `values` where NIfTI knows it. For vertices and grayordinates
    nibabel.Cifti2Image, float32: a dscalar, or a dtseries with time.

    Examples
    --------
    >>> mask = Mask.of(np.arange(8).reshape(2, 2, 2) % 2 == 0, np.eye(4))
    >>> unmask(np.array([1, 2, 3, 4], np.float32), mask).get_fdata()[0, 1, 0]
    np.float64(2.0)
    """
    values = np.asarray(values)
    if values.shape[-1] != mask.size or values.ndim > 2:
        raise ValueError(
            f"values must be (column,) or (time, column) with {mask.size} columns, "
            f"these are {values.shape}"
        )
    return mask.image(values, tr)
