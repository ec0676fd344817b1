"""From one set of columns to another: masks, boxes, lattices."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from entense.errors import RecipeError, RecordError
from entense.geometry import Mask, resampling
from entense.ops.core import Kind, Spec, op
from entense.ops.linear import Neighbours
from entense.ops.spec import COLUMNS

if TYPE_CHECKING:
    from entense.geometry import Columns
    from entense.geometry.resampling import Sampling, Shape
    from entense.ops.regions import Region


def voxels_of(x: Spec, what: str) -> Mask:
    """Return where the voxels of (time, voxel) lie; a RecipeError where a tensor is another."""
    mask = _columns_of(x, what, ("voxel",))
    assert isinstance(mask, Mask)  # noqa: S101  voxels lie on a grid
    return mask


def columns_of(x: Spec, what: str) -> Columns:
    """Return where the columns of (time, column) lie; a RecipeError where a tensor is another."""
    return _columns_of(x, what, COLUMNS)


def _columns_of(x: Spec, what: str, admitted: tuple[str, ...]) -> Columns:
    if len(x.dims) != 2 or x.dims[0] != "time" or x.dims[1] not in admitted or x.mask is None:
        raise RecipeError(
            f"{what} needs (time, {' or '.join(admitted)}), the tensor has ({', '.join(x.dims)}): "
            "use it before steps that make another axis, such as parcellate and stack"
        )
    return x.mask


def at(x: Spec, mask: Columns) -> Spec:
    """Return what is known of a tensor whose columns are those of another mask."""
    return replace(x, shape=(x.shape[0], mask.size), dtype="float32", mask=mask)


def neighbours(made: Sampling) -> Neighbours:
    """Return a sampling as a linear map in space."""
    return Neighbours(made.index, made.weights)


@lru_cache(maxsize=4)
def _inside(columns: Columns, mask: Region) -> Sampling:
    kept = mask.on(columns)
    if not kept.any():
        raise RecordError(
            f"{mask.path}: none of the tensor's {kept.size:,} columns lies in this mask; give one "
            "that overlaps with the images'"
        )
    return resampling.part(columns, kept)


def _masked(x: Spec, mask: Region) -> Spec:
    return at(x, _inside(columns_of(x, "mask"), mask).mask)


@op(kind=Kind.SPACE, reads={"mask": "region"}, infer=_masked)
def mask(x: Spec, mask: Region) -> Neighbours:
    """Keep the voxels, vertices or grayordinates that lie in a further mask.

    Parameters
    ----------
    x
        (time, voxel), (time, vertex) or (time, grayordinate).
    mask
        A role or a path: a binary image on the same grid; on surfaces ``.shape.gii`` or
        ``.label.gii``, one a hemisphere; else a ``.dscalar.nii`` or ``.dlabel.nii`` (above 0).

    Returns
    -------
    (time, column) float32: the columns that lie in both, in the order of `x`.

    Raises
    ------
    RecordError
        Where the mask lies on another grid or other surfaces, or no column lies in it.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").mask("grey.nii.gz"))
    volume(bold, mask) → mask(grey.nii.gz)
    """
    return neighbours(_inside(columns_of(x, "mask"), mask))


def _is_shape(what: str, *, shape: list[int] | None) -> None:
    whole = shape is None or all(type(n) is int for n in shape)
    if shape is not None and (not whole or len(shape) != 3 or any(n < 1 for n in shape)):
        raise RecipeError(
            f"{what}: shape={shape} must be three numbers of voxels, each 1 or more: along right, "
            "anterior and superior"
        )


def _cropped(x: Spec, shape: list[int] | None) -> Sampling:
    mine = voxels_of(x, "crop")
    if shape is None:
        return resampling.cropped(mine, *resampling.bounds(mine))
    if any(n > m for n, m in zip(shape, mine.shape, strict=True)):
        raise RecordError(
            f"crop: {_times(shape)} voxels are more than the grid has, {mine}; crop to fewer, or "
            "use pad"
        )
    start = [m // 2 - n // 2 for n, m in zip(shape, mine.shape, strict=True)]
    made = resampling.cropped(mine, _shape(start), _shape(shape))
    if not made.mask.size:
        raise RecordError(
            f"crop: no voxel of the mask lies in the middle {_times(shape)} of {mine}; crop to more"
        )
    return made


def _crop(x: Spec, *, shape: list[int] | None) -> Spec:
    return at(x, _cropped(x, shape).mask)


@op(kind=Kind.SPACE, infer=_crop, check=partial(_is_shape, "crop"))
def crop(x: Spec, *, shape: list[int] | None = None) -> Neighbours:
    """Cut the middle out of the grid, or the box that holds the mask.

    Of a grid of n voxels m are kept from ``n // 2 - m // 2`` on, as MONAI's
    ``ResizeWithPadOrCrop`` has it, in canonical orientation.

    Parameters
    ----------
    x
        (time, voxel).
    shape
        Voxels along right, anterior and superior; None for the smallest box that holds the mask.

    Returns
    -------
    (time, voxel) float32: the voxels that lie in the box.

    Raises
    ------
    RecordError
        Where the grid is smaller, or no voxel of the mask lies in the box.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").crop([64, 64, 40]).grid())
    volume(bold, mask) → crop(shape=[64, 64, 40]) → grid(fill=0.0)
    """
    return neighbours(_cropped(x, shape))


def _padded(x: Spec, shape: list[int]) -> Sampling:
    mine = voxels_of(x, "pad")
    if any(n < m for n, m in zip(shape, mine.shape, strict=True)):
        raise RecordError(
            f"pad: {_times(shape)} voxels are fewer than the grid has, {mine}; pad to more, or use "
            "crop"
        )
    before = [(n - m) // 2 for n, m in zip(shape, mine.shape, strict=True)]
    return resampling.padded(mine, _shape(before), _shape(shape))


def _pad(x: Spec, *, shape: list[int]) -> Spec:
    return at(x, _padded(x, shape).mask)


@op(kind=Kind.SPACE, infer=_pad, check=partial(_is_shape, "pad"))
def pad(x: Spec, *, shape: list[int]) -> Neighbours:
    """Put the grid into the middle of a larger one; the voxels stay what they are.

    A grid of n voxels begins at ``(m - n) // 2`` of the m, as MONAI's ``ResizeWithPadOrCrop`` has
    it, in canonical orientation.

    Parameters
    ----------
    x
        (time, voxel).
    shape
        Voxels along right, anterior and superior.

    Returns
    -------
    (time, voxel) float32: the same voxels of a larger grid.

    Raises
    ------
    RecordError
        Where the grid is larger.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").pad([96, 112, 96]).grid())
    volume(bold, mask) → pad(shape=[96, 112, 96]) → grid(fill=0.0)
    """
    return neighbours(_padded(x, shape))


def _shape(values: list[int]) -> Shape:
    x, y, z = values
    return x, y, z


def _times(shape: list[int]) -> str:
    return "×".join(map(str, shape))
