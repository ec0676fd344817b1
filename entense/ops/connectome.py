"""From series to connectomes.

A parcel that is constant or holds a NaN is absent: its row and column are NaN, and the others are
what they would be without it.
"""

from __future__ import annotations

from typing import Any

from entense.errors import RecipeError, RecordError
from entense.ops.core import Kind, Spec, in_time, op
from entense.ops.edges import arctanh, diagonal_of
from entense.ops.standardize import about_mean, count, sums

ESTIMATORS = ("empirical", "ledoit_wolf")
SINGULAR = 1e-5  # of a parcel's deviation: float32 tells less than that from rounding


def _known(*, estimator: str, **_: object) -> None:
    """Check: the estimator is one of `ESTIMATORS`."""
    if estimator not in ESTIMATORS:
        raise RecipeError(
            f"there is no estimator {estimator!r} of covariances, only {', '.join(ESTIMATORS)}"
        )


def _square(x: Spec, **_: Any) -> Spec:
    """Infer: the last axis against itself."""
    x = in_time(x)
    dim, size = x.dims[-1], x.shape[-1]
    coords = {dim: x.coords[dim]} if dim in x.coords else {}
    return Spec((dim, dim), (size, size), "float32", coords, mask=x.mask)


def _invertible(x: Spec, *, estimator: str) -> Spec:
    """Infer: the last axis against itself, where its covariance can have an inverse."""
    square = _square(x)
    if estimator == "empirical" and x.shape[0] <= x.shape[1]:
        raise RecordError(
            f"the covariance of {x.shape[1]} columns over {x.shape[0]} frames has no inverse; "
            "take estimator='ledoit_wolf', or fewer parcels than frames"
        )
    return square


@op(kind=Kind.WHOLE, infer=_square, check=_known)
def covariance(x: Any, *, estimator: str = "empirical", frames: Any = None) -> Any:
    """Return the covariance of every column with every other.

    Parameters
    ----------
    x
        (time, parcel), of any unit.
    estimator
        ``"empirical"``: divided by the number of frames (ddof=0), as
        `sklearn.covariance.EmpiricalCovariance` and nilearn do; `numpy.cov` divides by one less.
        ``"ledoit_wolf"``: that, shrunk towards a multiple of the identity
        (`sklearn.covariance.LedoitWolf`; Ledoit & Wolf 2004, doi:10.1016/S0047-259X(03)00096-4).

    Returns
    -------
    (parcel, parcel) float32, in the square of the unit; NaN in the row and column of a parcel that
    is constant or absent.

    Raises
    ------
    RecipeError
        Where the tensor is not (time, …), or there is no such estimator.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").parcellate("atlas.nii.gz").covariance("ledoit_wolf"))
    volume(bold, mask) → parcellate(atlas.nii.gz) → covariance(estimator='ledoit_wolf')
    """
    import jax.numpy as jnp

    x, there = _centred(x, frames)
    kept, target = _shrinkage(x, there, estimator, count(x, frames))
    return _present((kept * _product(x) + jnp.diag(target)) / count(x, frames), there)


@op(kind=Kind.WHOLE, infer=_square, check=_known)
def correlation(
    x: Any, *, estimator: str = "empirical", fisher_z: bool = False, frames: Any = None
) -> Any:
    """Correlate every column with every other (Pearson; `numpy.corrcoef`).

    Parameters
    ----------
    x
        (time, parcel), of any unit.
    estimator
        ``"empirical"``, or ``"ledoit_wolf"``: that of the standardised columns shrunk towards the
        identity, as `nilearn.connectome.ConnectivityMeasure` has it (kind ``"correlation"``).
    fisher_z
        Whether to return arctanh of the correlations, with 0 on the diagonal, where it would be
        infinite; two parcels that are alike to the last digit have about 8.7.

    Returns
    -------
    (parcel, parcel) float32, 1 on the diagonal; NaN in the row and column of a parcel that is
    constant or absent.

    Raises
    ------
    RecipeError
        Where the tensor is not (time, …), or there is no such estimator.

    Examples
    --------
    >>> import entense as et
    >>> et.col("series").correlation(fisher_z=True)
    col(series) → correlation(estimator='empirical', fisher_z=True)
    """
    import jax.numpy as jnp

    x, there = _centred(x, frames)
    x = x / _length(x)
    kept, _ = _shrinkage(x, there, estimator, count(x, frames))
    r = _present(jnp.clip(kept * _product(x), -1, 1), there)
    return arctanh(r) if fisher_z else jnp.where(diagonal_of(r), 1, r)


@op(kind=Kind.WHOLE, infer=_invertible, check=_known)
def partial_correlation(x: Any, *, estimator: str = "ledoit_wolf", frames: Any = None) -> Any:
    """Correlate every two columns given all the others.

    As `nilearn.connectome.ConnectivityMeasure` (kind ``"partial correlation"``): the inverse of
    the covariance, scaled to a diagonal of 1, its sign turned off the diagonal. The covariance is
    never squared up: a QR decomposition of the series gives its inverse with twice the digits.

    Parameters
    ----------
    x
        (time, parcel), of any unit. Ledoit-Wolf weighs parcels by their variance: `zscore` first
        to have them weigh alike.
    estimator
        Of the covariance: ``"ledoit_wolf"``, or ``"empirical"``, which needs more frames than
        parcels.

    Returns
    -------
    (parcel, parcel) float32, 1 on the diagonal; NaN in the row and column of a parcel that is
    constant or absent, and everywhere where some parcels add up to another, so that there is no
    inverse.

    Raises
    ------
    RecipeError
        Where the tensor is not (time, …), or there is no such estimator.
    RecordError
        Where ``"empirical"`` has no more frames than parcels.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").parcellate("atlas.nii.gz").partial_correlation())
    volume(bold, mask) → parcellate(atlas.nii.gz) → partial_correlation(estimator='ledoit_wolf')
    """
    import jax.numpy as jnp
    from jax.scipy.linalg import solve_triangular

    x, there = _centred(x, frames)
    kept, target = _shrinkage(x, there, estimator, count(x, frames))
    # half' half is the covariance; an absent parcel has a row of the identity
    half = jnp.concatenate([_root(kept) * x, jnp.diag(_root(jnp.where(there, target, 1)))])
    r = jnp.linalg.qr(half / _length(half), mode="r")
    singular = jnp.abs(jnp.diagonal(r)).min() < SINGULAR
    identity = jnp.eye(len(there), dtype=r.dtype)
    inverse = solve_triangular(jnp.where(singular, identity, r), identity).T
    partial = jnp.clip(-_product(inverse / _length(inverse)), -1, 1)
    partial = _present(jnp.where(singular, jnp.nan, partial), there)
    return jnp.where(diagonal_of(partial), 1, partial)


def _centred(x: Any, frames: Any) -> tuple[Any, Any]:
    """Return (time, parcel) less its means, 0 where a parcel is absent, and which are there.

    What is absent is taken out at once, so that it spoils no sum and no gradient.
    """
    import jax.numpy as jnp

    deviation, _ = about_mean(x, frames)
    there = sums(deviation * deviation)[0] > 0
    return jnp.where(there, deviation, 0), there


def _shrinkage(x: Any, there: Any, estimator: str, frames: Any) -> tuple[Any, Any]:
    """Return a and (parcel,) b: the estimate is a x'x + diag(b); b is 0 for absent parcels."""
    import jax.numpy as jnp

    if estimator == "empirical":
        return 1.0, jnp.zeros(len(there), x.dtype)
    variance = sums(x * x).sum() / jnp.maximum(there.sum(), 1)
    variance = jnp.where(variance > 0, variance, 1)
    # in units of the mean variance, so that no unit of the data is too large or small to square
    x = x / jnp.sqrt(variance)
    s, power = _product(x), sums(_turned(x * x))
    noise = (power * power).sum() - sums(s * s).sum() / frames
    far = sums((s - jnp.diag(there.astype(x.dtype))) ** 2).sum()
    share = jnp.where(far > 0, jnp.clip(noise / jnp.where(far > 0, far, 1), 0, 1), 0)
    return 1 - share, jnp.where(there, share * variance, 0)


def _product(x: Any) -> Any:
    """Return x'x, whose bits are the same on any number of cores."""
    import jax.numpy as jnp

    x = _turned(x)
    return jnp.matmul(x, x.T, precision="highest")


def _turned(x: Any) -> Any:
    """Return the transpose, laid out anew.

    XLA would sum along the first axis instead, in as many parts as there are cores.
    """
    from jax.lax import optimization_barrier

    return optimization_barrier(x.T)


def _length(x: Any) -> Any:
    """Return (1, …) the length of each column; 1 of one that is 0."""
    import jax.numpy as jnp

    square = sums(x * x)
    return jnp.sqrt(jnp.where(square > 0, square, 1))


def _root(x: Any) -> Any:
    """Return the root, whose gradient at 0 is 0."""
    import jax.numpy as jnp

    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1)), 0)


def _present(matrix: Any, there: Any) -> Any:
    import jax.numpy as jnp

    return jnp.where(there & there[:, None], matrix, jnp.nan)
