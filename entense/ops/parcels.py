"""From columns to parcels: means, and weighted means."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from entense.errors import RecordError
from entense.geometry import Labels, Maps
from entense.ops.core import Kind, Spec, op
from entense.ops.space import columns_of

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


def codes_of(atlas: Atlas, mask: Columns, weights: Maps | None = None) -> Codes | Weights:
    """Return what an atlas says of the columns of a mask; weights are sparse."""
    on = weighted(atlas, weights).on(mask)  # type: ignore[arg-type]  # `check` has held them together
    if isinstance(on, np.ndarray):
        return Codes(on, np.arange(len(atlas.values), dtype=np.int32))
    return Weights(on.T.tocsr())


@lru_cache(maxsize=4)
def weighted(atlas: Atlas, weights: Maps | None = None) -> Atlas:
    """Return an atlas whose voxels count as an image of weights has it; as it is without one."""
    if weights is None:
        return atlas
    if not isinstance(atlas, Labels):
        raise RecordError(
            f"{atlas.path}: weights={weights.path} goes with a label image, this is another atlas; "
            "leave the weights out"
        )
    if not atlas.grid.matches(weights.grid):
        raise RecordError(
            f"{weights.path}: the weights lie on another grid than the atlas {atlas.path}: "
            f"{weights.grid}, and {atlas.grid}; take them in the same space and resolution"
        )
    return Maps(atlas.path, atlas.grid, _spread(atlas, weights), atlas.values)


def _spread(atlas: Labels, weights: Maps) -> Any:
    """Return the weight of each voxel in its parcel: (parcel, voxel of the grid), sparse."""
    from scipy.sparse import csr_array

    codes, row = atlas.codes.ravel(), weights.weights
    some = codes[row.indices] > 0
    where = (codes[row.indices[some]] - 1, row.indices[some])
    entries: Any = (row.data[some], where)
    return csr_array(entries, (len(atlas.values), codes.size))


class Pool(NamedTuple):
    """Sums over columns, which add up over blocks.

    Parameters
    ----------
    total
        (time, parcel) float32: the weighted sum of the columns that are finite throughout, less
        their first frames: float32 then loses nothing to the baseline.
    first
        (parcel,) float32: that of their first frames.
    count
        (parcel,) float32: how many those are, or their weights.
    """

    total: Any
    first: Any
    count: Any


def mean(pool: Pool) -> Any:
    """Return the mean of each parcel; NaN where it has no column."""
    import jax.numpy as jnp

    some = pool.count > 0
    count = jnp.where(some, pool.count, 1)
    return jnp.where(some, pool.total / count + pool.first / count, jnp.nan)


def _means(x: Spec, atlas: Atlas, weights: Maps | None = None) -> Spec:
    """Infer: the axis of columns becomes the parcels of the atlas, all of them."""
    return parcels_of("parcellate", x, weighted(atlas, weights))


def parcels_of(what: str, x: Spec, atlas: Atlas) -> Spec:
    """Infer what an op makes that takes columns to the parcels of an atlas."""
    atlas.check(columns_of(x, what))
    shape = (x.shape[0], len(atlas.values))
    new = replace(x, dims=("time", "parcel"), shape=shape, dtype="float32", mask=None)
    return replace(new, coords={"parcel": atlas.values})


@op(
    kind=Kind.POOL,
    reads={"atlas": "labels", "weights": "weights"},
    infer=_means,
    finish=mean,
)
def parcellate(x: Any, atlas: Codes | Weights, weights: Maps | None = None) -> Pool:
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
    weights
        For a label image: a role or the path of an image on its grid, 0 and more, such as a
        probability of grey matter, by which each voxel counts.

    Returns
    -------
    (time, parcel) float32, parcels in the order of their labels (those of the left hemisphere
    first); their weighted mean where the atlas is probabilistic or there are weights.

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
    clean, there = jnp.where(finite, x, 0), finite.astype(jnp.float32)
    # the first frame is summed apart, and how many columns there are beside it
    rows = jnp.concatenate([clean - clean[:1], clean[:1], there[None]])
    if isinstance(atlas, Weights):
        sums = by_product(rows, atlas.matrix)
    elif jax.default_backend() == "cpu":
        sums = by_segments(rows, atlas)
    else:  # a sum over segments adds in whatever order threads arrive
        parcels = atlas.values.shape[0]
        sums = by_product(rows, jax.nn.one_hot(atlas.codes - 1, parcels, dtype=jnp.float32))
    return Pool(sums[:-2], sums[-2], sums[-1])


def by_product(rows: Any, matrix: Any) -> Any:
    """Sum the columns of each parcel as a matrix product, (column, parcel) weights."""
    import jax.numpy as jnp

    return jnp.matmul(rows, matrix, precision="highest")


def by_segments(rows: Any, atlas: Codes) -> Any:
    """Sum the columns of each parcel, one after the other."""
    import jax

    segments = atlas.values.shape[0] + 1
    return jax.ops.segment_sum(rows.T, atlas.codes, num_segments=segments)[1:].T
