"""Operations along the voxel axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from entense.errors import RecordError
from entense.ops.core import Kind, Spec, op

if TYPE_CHECKING:
    from entense.geometry import Labels


class Codes(NamedTuple):
    """Which parcel each voxel belongs to.

    Parameters
    ----------
    codes
        (voxel,) int32: 0 for none, else 1 + the place of the parcel.
    values
        (parcel,) int32: the labels.
    """

    codes: Any
    values: Any


class Pool(NamedTuple):
    """Sums over voxels, which add up over blocks.

    Parameters
    ----------
    total
        (time, parcel) float32: the sum of the voxels that are finite throughout.
    count
        (parcel,) float32: how many those are.
    """

    total: Any
    count: Any


def mean(pool: Pool) -> Any:
    """Return the mean of each parcel; NaN where it has no voxel."""
    import jax.numpy as jnp

    return jnp.where(pool.count > 0, pool.total / jnp.maximum(pool.count, 1), jnp.nan)


def _parcels(x: Spec, labels: Labels, **_: Any) -> Spec:
    """Infer: the voxel axis becomes the parcels of the atlas, all of them."""
    x.size("voxel")
    mask = x.mask
    if mask is None or x.dims != ("time", "voxel"):
        raise RecordError(f"parcellate needs (time, voxel), the tensor has {x.dims}")
    if not labels.grid.matches(mask.grid):
        raise RecordError(
            f"{labels.path}: the atlas lies on another grid than the images: {labels.grid}, and "
            f"the images {mask.grid}; take the atlas in the same space and resolution"
        )
    shape = (x.shape[0], len(labels.values))
    return Spec(("time", "parcel"), shape, "float32", {"parcel": labels.values}, tr=x.tr)


@op(kind=Kind.POOL, reads={"atlas": "labels"}, infer=_parcels, finish=mean)
def parcellate(x: Any, atlas: Codes) -> Pool:
    """Average the voxels of each parcel.

    The width is that of the atlas, the same for every record: a parcel without a voxel in the
    mask is NaN, and counted in the archive's ``absent``. A voxel with a NaN in it is left out.

    Parameters
    ----------
    x
        (time, voxel).
    atlas
        A label image on the same grid: a role or a path.

    Returns
    -------
    (time, parcel) float32, parcels in the order of their labels.

    Raises
    ------
    RecordError
        Where the atlas lies on another grid, or is no label image.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").parcellate("atlas.nii.gz"))
    volume(bold, mask) → parcellate(atlas.nii.gz)
    """
    import jax
    import jax.numpy as jnp

    segments = atlas.values.shape[0] + 1
    finite = jnp.isfinite(x).all(axis=0)
    sums = jax.ops.segment_sum(jnp.where(finite, x, 0).T, atlas.codes, num_segments=segments)
    count = jax.ops.segment_sum(finite.astype(jnp.float32), atlas.codes, num_segments=segments)
    return Pool(sums[1:].T, count[1:])
