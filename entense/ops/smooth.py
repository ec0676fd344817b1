"""Smoothing in the mask."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from entense.errors import RecipeError
from entense.geometry import Mask, resampling
from entense.ops.core import Kind, Spec, op
from entense.ops.grid import spread
from entense.ops.space import voxels_of

TRUNCATE = 4.0  # deviations at which the kernel ends, as scipy and nilearn have it


class Kernel(NamedTuple):
    """A separable kernel within a mask.

    Parameters
    ----------
    column
        (x, y, z) int32: the column of each voxel of the mask's box, -1 outside of the mask.
    place
        (column,) int32: where each lies in the flat box.
    x, y, z
        (n, n) float32 for each axis: the banded matrix that smooths along it.
    scale
        (column,) float32: 1 over the smoothed mask.
    """

    column: Any
    place: Any
    x: Any
    y: Any
    z: Any
    scale: Any


def _is_width(*, fwhm: float) -> None:
    if not 0 < fwhm < np.inf:
        raise RecipeError(f"smooth: fwhm={fwhm:g} must be above 0 mm; leave the step out for none")


def _kernel(x: Spec, *, fwhm: float) -> Kernel:
    return _kernel_of(voxels_of(x, "smooth"), fwhm)


@lru_cache(maxsize=4)
def _kernel_of(mask: Mask, fwhm: float) -> Kernel:
    from scipy.ndimage import gaussian_filter, gaussian_filter1d

    box = tuple(slice(a, a + n) for a, n in zip(*resampling.bounds(mask), strict=True))
    column = resampling.columns(mask)[box]
    inside = column >= 0
    sigmas = fwhm / np.sqrt(8 * np.log(2)) / resampling.voxel_sizes(mask.affine)
    a, b, c = (
        gaussian_filter1d(np.eye(n), sigma, axis=0, mode="constant", truncate=TRUNCATE)
        for n, sigma in zip(column.shape, sigmas, strict=True)
    )
    smoothed = gaussian_filter(inside.astype(float), sigmas, mode="constant", truncate=TRUNCATE)
    single = [matrix.astype(np.float32) for matrix in (a, b, c, 1 / smoothed[inside])]
    place = np.flatnonzero(inside).astype(np.int32)
    return Kernel(column, place, *single)


def _smoothed(x: Spec, *, fwhm: float) -> Spec:
    voxels_of(x, "smooth")
    return replace(x, dtype="float32")


@op(kind=Kind.FRAMEWISE, infer=_smoothed, check=_is_width, host=_kernel)
def smooth(x: Any, kernel: Kernel, *, fwhm: float) -> Any:
    """Smooth within the mask: a Gaussian, of which only what lies in the mask counts.

    That is ``gaussian_filter(image * mask) / gaussian_filter(mask)`` of `scipy.ndimage`, cut off at
    four deviations: nothing from outside the brain bleeds in, and a constant image stays what it
    is. Away from the mask's edge it is `nilearn.image.smooth_img`. A NaN is no number that a weight
    could be given to: in its frame, all voxels within reach of it become NaN.

    Parameters
    ----------
    x
        (time, voxel).
    fwhm
        Full width at half maximum in mm.

    Returns
    -------
    (time, voxel) float32.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").smooth(6.0))
    volume(bold, mask) → smooth(fwhm=6.0)
    """
    import jax
    import jax.numpy as jnp

    bad = ~jnp.isfinite(x)
    clean = jnp.where(bad, 0, x)
    # less a number for each frame, so that a baseline of 10,000 costs fewer digits
    base = clean[:, :1]
    out = base + _filtered(jnp.where(bad, 0, clean - base), kernel)
    reached = jax.lax.cond(
        bad.any(),
        lambda: _filtered(bad.astype(jnp.float32), kernel) > 0,
        lambda: jnp.zeros_like(bad),
    )
    return jnp.where(reached, jnp.nan, out)


def _filtered(x: Any, kernel: Kernel) -> Any:
    import jax.numpy as jnp

    box = spread(x, kernel.column, 0.0)
    along = {"fxyz,az->fxya": kernel.z, "fxyz,ay->fxaz": kernel.y, "fxyz,ax->fayz": kernel.x}
    for axes, matrix in along.items():
        box = jnp.einsum(axes, box, matrix, precision="highest")
    return jnp.take(box.reshape(len(box), -1), kernel.place, axis=-1) * kernel.scale
