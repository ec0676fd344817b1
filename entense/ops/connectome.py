"""From series to connectomes."""

from __future__ import annotations

from typing import Any

from entense.ops.core import Kind, Spec, in_time, op

BELOW_ONE = 1 - 2**-24  # the largest float32 under 1


def _square(x: Spec, **_: Any) -> Spec:
    """Infer: the last axis against itself."""
    x = in_time(x)
    dim, size = x.dims[-1], x.shape[-1]
    coords = {dim: x.coords[dim]} if dim in x.coords else {}
    return Spec((dim, dim), (size, size), "float32", coords, mask=x.mask)


@op(kind=Kind.WHOLE, infer=_square)
def correlation(x: Any, *, fisher_z: bool = False) -> Any:
    """Correlate every column with every other (Pearson; `numpy.corrcoef`).

    Parameters
    ----------
    x
        (time, parcel).
    fisher_z
        Whether to return arctanh of the correlations, with 0 on the diagonal, where it would be
        infinite; two parcels that are alike to the last digit have about 8.7.

    Returns
    -------
    (parcel, parcel) float32, 1 on the diagonal; NaN in the row and column of a parcel that is
    constant or absent.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").parcellate("atlas.nii.gz").correlation(fisher_z=True))
    volume(bold, mask) → parcellate(atlas.nii.gz) → correlation(fisher_z=True)
    """
    import jax.numpy as jnp

    # (parcel, time): sums along the last axis are the same on any number of cores
    x = (x - x[:1]).T
    x = x - x.mean(axis=1, keepdims=True)
    square = (x * x).sum(axis=1, keepdims=True)
    # NaN goes in last, and no root of 0 is taken: the gradients of the others stay finite
    still = ~(square > 0)
    x = jnp.where(still, 0, x / jnp.sqrt(jnp.where(still, 1, square)))
    r = jnp.clip(jnp.matmul(x, x.T, precision="highest"), -1, 1)
    r = jnp.where(still | still.T, jnp.nan, r)
    diagonal = jnp.eye(r.shape[0], dtype=bool) & ~jnp.isnan(r)
    if fisher_z:
        off = jnp.clip(jnp.where(diagonal, 0, r), -BELOW_ONE, BELOW_ONE)
        return jnp.arctanh(off)
    return jnp.where(diagonal, 1, r)
