"""Parcellations: which columns of an axis belong to which parcel, in a volume or on surfaces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, final

import numpy as np

from entense.errors import RecordError
from entense.geometry.grayordinates import Grayordinates, Structure, find
from entense.geometry.grid import Grid, Mask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

_UNLABELLED = ("???", "unknown")

Columns: TypeAlias = Mask | Grayordinates
"""Where the columns of a tensor lie."""


@final
@dataclass(frozen=True, eq=False)
class Labels:
    """A label image in a volume (dseg).

    Parameters
    ----------
    path
        Where it was read.
    grid
        The lattice.
    codes
        (X, Y, Z) int32, canonical: 0 for background, else 1 + the place of the label in `values`.
    values
        The labels in the image, ascending.
    """

    path: str
    grid: Grid
    codes: NDArray[np.int32] = field(repr=False)
    values: tuple[int | str, ...]

    @property
    def extent(self) -> NDArray[np.float64]:
        """(parcel,) how many voxels each has."""
        return _counts(self.codes, len(self.values))

    def check(self, mask: Columns | None) -> None:
        """Raise a RecordError unless it lies where `mask` does."""
        _check_grid(self.path, self.grid, mask)

    def on(self, mask: Mask) -> NDArray[np.int32]:
        """Return the code of each column of `mask`: (column,) int32."""
        codes: NDArray[np.int32] = self.codes[mask.inside]
        return codes


@final
@dataclass(frozen=True, eq=False)
class Maps:
    """A probabilistic atlas in a volume: a weight for each voxel and parcel.

    Parameters
    ----------
    path, grid
        Where it was read, and its lattice.
    weights
        (parcel, voxel of the grid) float32, sparse, none below 0.
    values
        1, 2, …: the place of each map in the file.
    """

    path: str
    grid: Grid
    weights: csr_array = field(repr=False)
    values: tuple[int | str, ...]

    @property
    def extent(self) -> NDArray[np.float64]:
        """(parcel,) the sum of the weights of each."""
        total: NDArray[np.float64] = self.weights.sum(axis=1, dtype=np.float64)
        return total

    def check(self, mask: Columns | None) -> None:
        """Raise a RecordError unless it lies where `mask` does."""
        _check_grid(self.path, self.grid, mask)

    def on(self, mask: Mask) -> csr_array:
        """Return the weights of the columns of `mask`: (parcel, column)."""
        return self.weights[:, np.flatnonzero(mask.inside)]


@final
@dataclass(frozen=True, eq=False)
class SurfaceLabels:
    """Labels of vertices, and of voxels below them (label.gii, dlabel.nii).

    Parameters
    ----------
    path
        Where it was read; the first of two hemispheres.
    axis
        The vertices and voxels that it says something about.
    codes
        (column of `axis`,) int32: 0 for none, else 1 + the place of the label in `values`.
    values
        The labels' names in the order of their keys, those of the left hemisphere first.
    """

    path: str
    axis: Grayordinates = field(repr=False)
    codes: NDArray[np.int32] = field(repr=False)
    values: tuple[int | str, ...]

    @property
    def extent(self) -> NDArray[np.float64]:
        """(parcel,) how many vertices and voxels each has."""
        return _counts(self.codes, len(self.values))

    def check(self, mask: Columns | None) -> None:
        """Raise a RecordError unless it lies where `mask` does."""
        if not isinstance(mask, Grayordinates):
            raise RecordError(
                f"{self.path}: these are labels of surfaces, and the tensor lies in a volume; "
                "give a label image (.nii.gz)"
            )
        mine = {one.name: one for one in self.axis.structures}
        lacking = [one for one in mask.structures if one.vertices and one.name not in mine]
        if lacking and len(mine) == 1:
            raise RecordError(
                f"{self.path}: these are labels of one hemisphere, and the tensor has both; give "
                "the two as (left, right)"
            )
        shared = [(mine[one.name], one) for one in mask.structures if one.name in mine]
        if not all(b.vertices for _, b in shared) and not self.axis.same_volume(mask):
            raise RecordError(
                f"{self.path}: its voxels lie in a volume of another shape or place than the "
                "image's; take one in the image's space and resolution"
            )
        differ = [(a, b) for a, b in shared if a.vertices != b.vertices]
        if differ or not shared:
            have, want = differ[0] if differ else (self.axis, mask)
            raise RecordError(
                f"{self.path}: it is of other surfaces than the image: it has {have}, the image "
                f"{want}; take one in the image's space and density"
            )

    def on(self, mask: Grayordinates) -> NDArray[np.int32]:
        """Return the code of each column of `mask`: (column,) int32; 0 where nothing is said."""
        starts = np.cumsum([0, *(len(one.index) for one in self.axis.structures)])
        mine = {
            one.name: (one, self.codes[begin : begin + len(one.index)])
            for one, begin in zip(self.axis.structures, starts, strict=False)
        }
        parts = [_looked_up(one, mine.get(one.name), mask.shape) for one in mask.structures]
        return np.concatenate([*parts, np.empty(0, np.int32)])


Atlas: TypeAlias = Labels | Maps | SurfaceLabels


def labelled(
    keys: NDArray[Any], names: Mapping[int, str]
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Return the keys, 0 for those below and those called unknown, and the others' names.

    Examples
    --------
    >>> keys, names = labelled(np.array([-1, 0, 1, 2, 3]), {0: "???", 1: "unknown", 2: "V1"})
    >>> keys.tolist(), names
    ([0, 0, 0, 2, 3], {2: 'V1'})
    """
    unknown = [key for key, name in names.items() if str(name).lower() in _UNLABELLED]
    known = {int(k): str(n) for k, n in names.items() if k > 0 and k not in unknown}
    return np.where(np.isin(keys, unknown) | (keys < 0), 0, keys).astype(np.int64), known


def _check_grid(path: str, grid: Grid, mask: Columns | None) -> None:
    if not isinstance(mask, Mask):
        raise RecordError(
            f"{path}: it lies in a volume, and the tensor on surfaces; give a .label.gii or a "
            ".dlabel.nii"
        )
    if not grid.matches(mask.grid):
        raise RecordError(
            f"{path}: it lies on another grid than the images: {grid}, and the images "
            f"{mask.grid}; take one in the same space and resolution, or resample the images"
        )


def _counts(codes: NDArray[np.int32], parcels: int) -> NDArray[np.float64]:
    return np.bincount(codes.ravel(), minlength=parcels + 1)[1:].astype(np.float64)


def _looked_up(
    one: Structure,
    mine: tuple[Structure, NDArray[np.int32]] | None,
    shape: tuple[int, ...] | None,
) -> NDArray[np.int32]:
    """Return the codes of one structure's columns."""
    if mine is None or not mine[1].size:
        return np.zeros(len(one.index), np.int32)
    known, codes = mine
    places, there = find(known, one, shape)
    return np.where(there, codes[places], 0).astype(np.int32)
