"""From one lattice to another: block means and interpolation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entense.errors import RecipeError, RecordError
from entense.geometry import resampling
from entense.ops.core import Kind, Spec, op
from entense.ops.regions import Region  # noqa: TC001  its annotation is looked at
from entense.ops.space import at, neighbours, voxels_of

if TYPE_CHECKING:
    from entense.geometry.resampling import Sampling
    from entense.ops.linear import Neighbours

METHODS = ("linear", "nearest")


def _is_factor(*, factor: int) -> None:
    if factor < 2:
        raise RecipeError(f"downsample: factor={factor} must be 2 or more")


def _downsampled(x: Spec, *, factor: int) -> Spec:
    return at(x, resampling.downsampled(voxels_of(x, "downsample"), factor).mask)


@op(kind=Kind.SPACE, infer=_downsampled, check=_is_factor)
def downsample(x: Spec, *, factor: int) -> Neighbours:
    """Average blocks of voxels: what lies in the mask of `factor` by `factor` by `factor`.

    Blocks begin at the grid's first voxel in canonical orientation; those at its other end may be
    cut off. A coarse voxel is in the new mask where any of its voxels is in the old one.

    Parameters
    ----------
    x
        (time, voxel).
    factor
        How many voxels become one along each axis: 2 or more.

    Returns
    -------
    (time, voxel) float32.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").downsample(2))
    volume(bold, mask) → downsample(factor=2)
    """
    return neighbours(resampling.downsampled(voxels_of(x, "downsample"), factor))


def _is_asked(*, voxel_size: float | None, method: str) -> None:
    if method not in METHODS:
        raise RecipeError(f"resample: method={method!r} must be {' or '.join(map(repr, METHODS))}")
    if voxel_size is not None and not 0.1 <= voxel_size <= 100:
        raise RecipeError(f"resample: voxel_size={voxel_size:g} must be 0.1 to 100 mm")


def _sampled(x: Spec, to: Region | None, voxel_size: float | None, method: str) -> Sampling:
    mine = voxels_of(x, "resample")
    if (to is None) == (voxel_size is None):
        raise RecipeError("resample needs a mask image, or voxel_size= in mm: give one of the two")
    new = resampling.rescaled(mine, voxel_size) if to is None else to.voxels
    made = resampling.resampled(mine, new, method)
    if not made.mask.size:
        where = f"voxels of {voxel_size:g} mm" if to is None else to.path
        raise RecordError(
            f"{where}: nothing of it overlaps with the images' mask, which has {mine}; give a mask "
            "in the same space"
        )
    return made


def _resampled(x: Spec, to: Region | None = None, *, voxel_size: float | None, method: str) -> Spec:
    return at(x, _sampled(x, to, voxel_size, method).mask)


@op(kind=Kind.SPACE, reads={"to": "region"}, infer=_resampled, check=_is_asked)
def resample(
    x: Spec,
    to: Region | None = None,
    *,
    voxel_size: float | None = None,
    method: str = "linear",
) -> Neighbours:
    """Interpolate at the voxels of another mask, or of another size.

    Only voxels in the tensor's mask count: where some of the eight around a place lie outside, the
    weights of the others are scaled up, and where all do, the new voxel is left out. So nothing
    from outside the brain bleeds in, and the width is that of `to` where all of it lies within
    reach. There is no smoothing before: to coarser voxels, `downsample` or `smooth` first.

    Parameters
    ----------
    x
        (time, voxel).
    to
        A role or a path: a binary image, whose voxels above 0 are the new ones. It lies in the same
        space, on any grid, in any orientation.
    voxel_size
        Or the size of new voxels in mm, on a grid of the same axes and the same edge; those are
        kept whose nearest voxel is in the mask.
    method
        ``"linear"`` (trilinear) or ``"nearest"``.

    Returns
    -------
    (time, voxel) float32.

    Raises
    ------
    RecordError
        Where nothing of `to` overlaps with the tensor's mask, or it is no mask of voxels.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").resample("brain_3mm.nii.gz"))
    volume(bold, mask) → resample(brain_3mm.nii.gz, method='linear')
    >>> print(et.volume("bold", mask="mask").resample(voxel_size=4.0))
    volume(bold, mask) → resample(voxel_size=4.0, method='linear')
    """
    return neighbours(_sampled(x, to, voxel_size, method))
