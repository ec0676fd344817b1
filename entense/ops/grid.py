"""From voxels to images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from entense.geometry import resampling
from entense.ops.core import Kind, Spec, op
from entense.ops.space import voxels_of


class Places(NamedTuple):
    """Where the columns lie in a box.

    Parameters
    ----------
    column
        (x, y, z) int32: the column of each voxel, -1 where it has none.
    """

    column: Any


def _places(x: Spec, *, fill: float) -> Places:
    return Places(resampling.columns(voxels_of(x, "grid")))


def _gridded(x: Spec, *, fill: float) -> Spec:
    shape = (*x.shape[:1], *voxels_of(x, "grid").shape)
    return replace(
        x, dims=("time", "x", "y", "z"), shape=shape, dtype="float32", coords={}, mask=None
    )


@op(kind=Kind.FRAMEWISE, infer=_gridded, host=_places)
def grid(x: Any, places: Places, *, fill: float = 0.0) -> Any:
    """Put the voxels back into the grid of their mask: an image a frame.

    Parameters
    ----------
    x
        (time, voxel).
    fill
        What stands outside of the mask.

    Returns
    -------
    (time, x, y, z) float32, along right, anterior and superior.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").zscore().crop().grid())
    volume(bold, mask) → zscore → crop → grid(fill=0.0)
    """
    return spread(x, places.column, fill)


def spread(x: Any, column: Any, fill: float) -> Any:
    """Put (frame, column) into a box, (frame, x, y, z) float32, `fill` where there is none."""
    import jax.numpy as jnp

    values = jnp.take(x.astype(jnp.float32), column, axis=-1, mode="clip")
    return jnp.where(column >= 0, values, jnp.float32(fill))
