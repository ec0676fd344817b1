"""Operations along the axis of columns: voxels, vertices, grayordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from entense.errors import RecipeError
from entense.ops.core import Kind, Spec, op
from entense.ops.spec import COLUMNS

if TYPE_CHECKING:
    from entense.geometry import Atlas, Columns


class Codes(NamedTuple):
    """Which parcel each column belongs to.

    Parameters
    ----------
    codes
        (column,) int32: 0 for none, else 1 + the place of the parcel.
    values
        (parcel,) int32: as many as there are parcels.
    """

    codes: Any
    values: Any


class Weights(NamedTuple):
    """How much each column belongs to each parcel.

    Parameters
    ----------
    matrix
        (column, parcel) float32.
    """

    matrix: Any


def codes_of(atlas: Atlas, mask: Columns) -> Codes | Weights:
    """Return what an atlas says of the columns of a mask; weights are sparse."""
    on = atlas.on(mask)  # type: ignore[arg-type]  # `check` has held them together
    if isinstance(on, np.ndarray):
        return Codes(on, np.arange(len(atlas.values), dtype=np.int32))
    return Weights(on.T.tocsr())


class Pool(NamedTuple):
    """Sums over columns, which add up over blocks.

    Parameters
    ----------
    total
        (time, parcel) float32: the weighted sum of the columns that are finite throughout.
    count
        (parcel,) float32: how many those are, or their weights.
    """

    total: Any
    count: Any


def mean(pool: Pool) -> Any:
    """Return the mean of each parcel; NaN where it has no column."""
    import jax.numpy as jnp

    some = pool.count > 0
    return jnp.where(some, pool.total / jnp.where(some, pool.count, 1), jnp.nan)


def _parcels(x: Spec, atlas: Atlas, **_: Any) -> Spec:
    """Infer: the axis of columns becomes the parcels of the atlas, all of them."""
    if len(x.dims) != 2 or x.dims[0] != "time" or x.dims[1] not in COLUMNS:
        raise RecipeError(
            f"parcellate needs (time, {' or '.join(COLUMNS)}), the tensor has {x.dims}"
        )
    atlas.check(x.mask)
    shape = (x.shape[0], len(atlas.values))
    return Spec(("time", "parcel"), shape, "float32", {"parcel": atlas.values}, tr=x.tr)


@op(kind=Kind.POOL, reads={"atlas": "labels"}, infer=_parcels, finish=mean)
def parcellate(x: Any, atlas: Codes | Weights) -> Pool:
    """Average the voxels, vertices or grayordinates of each parcel.

    The width is that of the atlas, the same for every record: a parcel without a column in the
    mask is NaN, and counted in the archive's ``absent``; ``coverage`` says how much of each parcel
    holds data. A column with a NaN in it is left out.

    Parameters
    ----------
    x
        (time, voxel), (time, vertex) or (time, grayordinate).
    atlas
        A role or a path. In a volume: a label image, or a probabilistic atlas (X, Y, Z, parcel),
        on the same grid. On surfaces: a ``.label.gii`` a hemisphere. Of grayordinates, or
        surfaces: a ``.dlabel.nii``.

    Returns
    -------
    (time, parcel) float32, parcels in the order of their labels (those of the left hemisphere
    first); their weighted mean where the atlas is probabilistic.

    Raises
    ------
    RecordError
        Where the atlas lies on another grid or other surfaces, or is no atlas.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").parcellate("atlas.nii.gz"))
    volume(bold, mask) → parcellate(atlas.nii.gz)
    """
    import jax
    import jax.numpy as jnp

    finite = jnp.isfinite(x).all(axis=0)
    clean = jnp.where(finite, x, 0)
    if isinstance(atlas, Weights):
        there = finite.astype(jnp.float32)
        sums = jnp.matmul(clean, atlas.matrix, precision="highest")
        return Pool(sums, jnp.matmul(there, atlas.matrix, precision="highest"))
    segments = atlas.values.shape[0] + 1
    sums = jax.ops.segment_sum(clean.T, atlas.codes, num_segments=segments)
    count = jax.ops.segment_sum(finite.astype(jnp.float32), atlas.codes, num_segments=segments)
    return Pool(sums[1:].T, count[1:])
