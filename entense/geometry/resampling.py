"""From the voxels of one mask to those of another: which old ones each new one is made of.

Pure geometry, in canonical orientation. What is made of a few masks is kept: all records of a study
may share one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from entense.geometry.grayordinates import Grayordinates
from entense.geometry.grid import Mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from entense.geometry.labels import Columns

Shape = tuple[int, int, int]
_KEPT = 4  # results that are kept: of 290,000 voxels one takes 20 MB
_NEAR = 1e-4  # voxels: affines are float32, and a lattice that lies on another must be found on it


@dataclass(frozen=True, eq=False)
class Sampling:
    """What the voxels of a new mask are made of.

    Parameters
    ----------
    mask
        The new mask.
    index
        (new voxel, k) int32: places in the old mask. What has fewer than `k` names its first again,
        with a weight of 0.
    weights
        (new voxel, k) float32.
    """

    mask: Columns
    index: NDArray[np.int32]
    weights: NDArray[np.float32]


@lru_cache(maxsize=_KEPT)
def cropped(mask: Mask, start: Shape, shape: Shape) -> Sampling:
    """Cut a box out of the grid: `shape` voxels from `start`."""
    box = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
    place = columns(mask)[box]
    return _taken(Mask.of(place >= 0, moved(mask.affine, start)), place[place >= 0])


@lru_cache(maxsize=_KEPT)
def padded(mask: Mask, before: Shape, shape: Shape) -> Sampling:
    """Put the grid into a larger one of `shape`, `before` voxels from its beginning."""
    inside = np.zeros(shape, bool)
    box = tuple(slice(a, a + n) for a, n in zip(before, mask.shape, strict=True))
    inside[box] = mask.inside
    affine = moved(mask.affine, [-a for a in before])
    return _taken(Mask.of(inside, affine), np.arange(mask.size))


@lru_cache(maxsize=_KEPT)
def downsampled(mask: Mask, factor: int) -> Sampling:
    """Average the voxels of the mask in each block of `factor` cubed; the last may be cut off."""
    coarse = scaled(mask.shape, mask.affine, [factor] * 3)
    block = np.ravel_multi_index(tuple(np.argwhere(mask.inside).T // factor), coarse.shape)
    order = np.argsort(block, kind="stable")
    blocks, count = np.unique(block, return_counts=True)
    # the voxels of a block stand together, in C order: each goes to its place in the block's row
    row, first = np.repeat(np.arange(blocks.size), count), np.cumsum(count) - count
    nth = np.arange(order.size) - first[row]
    index = np.tile(order[first][:, None], (1, count.max()))
    index[row, nth] = order
    weights = np.zeros(index.shape)
    weights[row, nth] = 1 / count[row]
    inside = np.zeros(coarse.shape, bool)
    inside.flat[blocks] = True
    return _sampling(Mask.of(inside, coarse.affine), index, weights)


@lru_cache(maxsize=_KEPT)
def resampled(mask: Mask, to: Mask, method: str) -> Sampling:
    """Interpolate among the voxels of `mask` at those of `to`; without one, none is made."""
    at = _coordinates(mask.affine, to)
    index, weights = (_nearest if method == "nearest" else _linear)(columns(mask), at)
    some = weights.sum(axis=1) > 0
    inside = to.inside
    inside[inside] = some
    index, weights = index[some], weights[some]
    # those that count go first: a lattice that lies on another needs fewer than all
    order = np.argsort(weights == 0, axis=1, kind="stable")
    order = order[:, : max(1, int((weights > 0).sum(axis=1).max(initial=0)))]
    index, weights = (np.take_along_axis(a, order, axis=1) for a in (index, weights))
    index = np.where(weights > 0, index, index[:, :1])
    weights = weights / weights.sum(axis=1, keepdims=True)
    return _sampling(Mask.of(inside, to.affine), index, weights)


@lru_cache(maxsize=_KEPT)
def rescaled(mask: Mask, size: float) -> Mask:
    """Return the mask at another voxel size in mm: a voxel is inside where the nearest one is."""
    new = scaled(mask.shape, mask.affine, size / voxel_sizes(mask.affine))
    whole = Mask.of(np.ones(new.shape, bool), new.affine)
    nearest, _ = _nearest(columns(mask), _coordinates(mask.affine, whole))
    return whole.where((nearest >= 0).reshape(new.shape))


def part(old: Columns, kept: NDArray[np.bool_]) -> Sampling:
    """Keep the columns, of whatever geometry, at which `kept`, (column,), is true."""
    if isinstance(old, Grayordinates):
        return _taken(old.where(kept), np.flatnonzero(kept))
    inside = old.inside
    inside[inside] = kept
    return _taken(old.where(inside), np.flatnonzero(kept))


def columns(mask: Mask) -> NDArray[np.int32]:
    """Return the place of each voxel of the grid among the mask's: (X, Y, Z), -1 outside.

    Examples
    --------
    >>> inside = np.array([True, False, True]).reshape(3, 1, 1)
    >>> columns(Mask.of(inside, np.eye(4))).ravel().tolist()
    [0, -1, 1]
    """
    place = np.full(mask.shape, -1, np.int32)
    place[mask.inside] = np.arange(mask.size, dtype=np.int32)
    return place


def bounds(mask: Mask) -> tuple[Shape, Shape]:
    """Return where the smallest box that holds a mask begins, and its shape.

    Examples
    --------
    >>> bounds(Mask.of(np.eye(4)[:, :, None] * [False, True] > 0, np.eye(4)))
    ((0, 0, 1), (4, 4, 1))
    """
    at = np.argwhere(mask.inside)
    first, last = at.min(axis=0), at.max(axis=0)
    return _shape(first), _shape(last - first + 1)


def voxel_sizes(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the size of a voxel in mm along each axis: (3,)."""
    sizes: NDArray[np.float64] = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    return sizes


class Lattice(NamedTuple):
    """The shape and the affine of a grid in canonical orientation."""

    shape: Shape
    affine: NDArray[np.float64]


def scaled(shape: Shape, affine: NDArray[np.float64], ratio: Any) -> Lattice:
    """Return the lattice whose voxels are `ratio` times as large and begin at the same edge.

    Examples
    --------
    >>> coarse = scaled((5, 4, 4), np.eye(4), [2, 2, 2])
    >>> coarse.shape, coarse.affine[:3, 3].tolist()
    ((3, 2, 2), [0.5, 0.5, 0.5])
    """
    ratio = np.asarray(ratio, np.float64)
    # a hair under: 4.0000001 new voxels are 4
    new = np.ceil(np.array(shape) / ratio - _NEAR).astype(int)
    return Lattice(_shape(new), moved(affine, (ratio - 1) / 2) @ np.diag([*ratio, 1]))


def moved(affine: NDArray[np.float64], start: Any) -> NDArray[np.float64]:
    """Return the affine of what begins at voxel `start`."""
    shift = np.eye(4)
    shift[:3, 3] = start
    new: NDArray[np.float64] = affine @ shift
    return new


def _shape(values: Any) -> Shape:
    x, y, z = (int(value) for value in values)
    return x, y, z


def _taken(mask: Columns, index: NDArray[Any]) -> Sampling:
    return _sampling(mask, index[:, None], np.ones((index.size, 1)))


def _sampling(mask: Columns, index: NDArray[Any], weights: NDArray[Any]) -> Sampling:
    return Sampling(mask, index.astype(np.int32), weights.astype(np.float32))


def _coordinates(affine: NDArray[np.float64], to: Mask) -> NDArray[np.float64]:
    """Return where each voxel of `to` lies on the lattice of `affine`: (voxel, 3)."""
    between = np.linalg.inv(affine) @ to.affine
    at = np.argwhere(to.inside) @ between[:3, :3].T + between[:3, 3]
    half = np.rint(2 * at) / 2  # of two voxels that are equally near, too, rounding must not choose
    near: NDArray[np.float64] = np.where(np.abs(at - half) < _NEAR, half, at)
    return near


def _nearest(
    place: NDArray[np.int32], at: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    index = _looked_up(place, np.floor(at + 0.5), [(0, 0, 0)])
    return index, (index >= 0).astype(np.float64)


def _linear(
    place: NDArray[np.int32], at: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    corners = list(product((0, 1), repeat=3))
    index = _looked_up(place, np.floor(at), corners)
    share = at - np.floor(at)
    weights = np.stack([np.where(c, share, 1 - share).prod(axis=1) for c in corners], axis=1)
    return index, np.where(index >= 0, weights, 0)


def _looked_up(
    place: NDArray[np.int32], at: NDArray[np.float64], corners: Sequence[tuple[int, ...]]
) -> NDArray[np.int32]:
    """Return the places of the corners of each voxel, (voxel, corner); -1 where there is none.

    Two voxels of border on each side stand for all that lies outside of the grid.
    """
    bordered = np.pad(place, 2, constant_values=-1)
    low = np.clip(at.astype(int) + 2, 0, np.array(place.shape) + 2)
    flat = np.ravel_multi_index(tuple(low.T), bordered.shape)
    steps = np.ravel_multi_index(tuple(np.array(corners).T), bordered.shape)
    found: NDArray[np.int32] = bordered.ravel()[flat[:, None] + steps]
    return found
