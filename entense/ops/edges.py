"""What is made of a connectome: Fisher's z, and its edges as a vector."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from entense.errors import RecipeError
from entense.ops.core import Kind, Spec, op

BELOW_ONE = 1 - 2**-24  # the largest float32 under 1
BEYOND = 1e-5  # what rounding may add to a correlation of 1


def _connectome(x: Spec) -> Spec:
    """Infer: float32, of a matrix, or a stack of them, or edges."""
    if len(x.dims) > 1 and x.dims[-1] != x.dims[-2]:
        raise RecipeError(
            f"fisher_z takes a connectome, (parcel, parcel) or its edges, this tensor is {x.dims}; "
            "call it before what follows"
        )
    return replace(x, dtype="float32")


@op(kind=Kind.WHOLE, infer=_connectome)
def fisher_z(x: Any) -> Any:
    """Return arctanh of correlations, whose errors are then the same for all.

    Parameters
    ----------
    x
        Correlations: (parcel, parcel), a stack of such, or (edge,).

    Returns
    -------
    Of the same shape, float32: 0 on the diagonal of a matrix, where it would be infinite, as
    ``correlation(fisher_z=True)``; about 8.7 where a correlation is 1 elsewhere; NaN where it is
    NaN or beyond 1, which is no correlation.

    Raises
    ------
    RecipeError
        Where the tensor is another one, such as a series.

    Examples
    --------
    >>> import entense as et
    >>> et.col("series").partial_correlation().fisher_z()
    col(series) → partial_correlation(estimator='ledoit_wolf') → fisher_z
    """
    import jax.numpy as jnp

    x = x.astype("float32")
    return arctanh(jnp.where(jnp.abs(x) > 1 + BEYOND, jnp.nan, x))


def _edges(x: Spec, *, diagonal: bool) -> Spec:
    """Infer: the lower triangle of the last two axes, named by the two that an edge joins."""
    if len(x.dims) < 2 or x.dims[-1] != x.dims[-2]:
        raise RecipeError(
            f"vectorise takes a connectome, such as (parcel, parcel), this tensor is {x.dims}; "
            "call it after correlation"
        )
    labels = _names(tuple(x.coords.get(x.dims[-1], range(x.shape[-1]))), diagonal)
    dims, shape = (*x.dims[:-2], "edge"), (*x.shape[:-2], len(labels))
    return replace(x, dims=dims, shape=shape, coords={"edge": labels}, mask=None)


@lru_cache(maxsize=16)
def _names(labels: tuple[int | str, ...], diagonal: bool) -> tuple[str, ...]:
    """Return what the edges are called; all records have the same tuple."""
    pairs = zip(*_triangle(len(labels), diagonal), strict=True)
    return tuple(f"{labels[column]}-{labels[row]}" for row, column in pairs)


def _triangle(size: int, diagonal: bool) -> tuple[Any, Any]:
    return np.tril_indices(size, 0 if diagonal else -1)


@op(kind=Kind.WHOLE, infer=_edges)
def vectorise(x: Any, *, diagonal: bool = False) -> Any:
    """Lay the lower triangle of a symmetric matrix out as a vector, row after row.

    The order is that of `nilearn.connectome.sym_matrix_to_vec`; no value is scaled (nilearn divides
    the diagonal, where it is kept, by the root of 2).

    Parameters
    ----------
    x
        (parcel, parcel), or a stack of such.
    diagonal
        Whether to keep the diagonal.

    Returns
    -------
    (edge,), or (…, edge), of the same dtype: (2, 1), (3, 1), (3, 2), …, and labels of that order:
    ``"1-2"``, ``"1-3"``, ``"2-3"``, …, of the parcels' own labels.

    Raises
    ------
    RecipeError
        Where the last two axes are not the same.

    Examples
    --------
    >>> import entense as et
    >>> et.col("series").covariance().vectorise(diagonal=True)
    col(series) → covariance(estimator='empirical') → vectorise(diagonal=True)
    """
    return x[(..., *_triangle(x.shape[-1], diagonal))]


def diagonal_of(matrix: Any) -> Any:
    """Return where the diagonal of a matrix, or of each of a stack, is known."""
    import jax.numpy as jnp

    return jnp.eye(matrix.shape[-1], dtype=bool) & ~jnp.isnan(matrix)


def arctanh(r: Any) -> Any:
    """Return arctanh of correlations within float32; 0 on the diagonal of a matrix."""
    import jax.numpy as jnp

    inside = jnp.where(diagonal_of(r), 0, r) if r.ndim > 1 else r
    return jnp.arctanh(jnp.clip(inside, -BELOW_ONE, BELOW_ONE))
