"""What brings series to one scale, and how strong a signal is beside its noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from entense.errors import RecipeError
from entense.ops.core import Kind, Spec, in_time, op

SPREADS = ("mad", "iqr")
NORMAL = 0.6744897501960817  # the median absolute deviation of a standard normal
NO_MEAN = 1e-4  # a mean below this share of the deviation is what rounding leaves of none


@op(kind=Kind.COLUMNWISE, infer=in_time)
def zscore(x: Any, *, frames: Any = None) -> Any:
    """Standardise each column to mean 0 and sample deviation 1 (ddof=1), as nilearn does.

    A constant column becomes 0, a column that holds a NaN becomes NaN; other columns do not notice.

    Parameters
    ----------
    x
        (time, …), of any unit.

    Returns
    -------
    (time, …) float32, in deviations.

    Raises
    ------
    RecipeError
        Where the tensor is not (time, …).

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").zscore())
    volume(bold, mask) → zscore
    """
    import jax.numpy as jnp

    deviation, _ = about_mean(x, frames)
    variance = sums(deviation * deviation) / jnp.maximum(count(x, frames) - 1, 1)
    scale = jnp.where(variance > 0, 1 / jnp.sqrt(jnp.where(variance > 0, variance, 1)), 0)
    return jnp.where(jnp.isnan(variance), jnp.nan, deviation * scale)


@op(kind=Kind.COLUMNWISE, infer=in_time)
def psc(x: Any, *, frames: Any = None) -> Any:
    """Turn each column into percent signal change: 100 (x - mean) / abs(mean).

    As `nilearn.signal.clean` with ``standardize="psc"``, but for a column that varies about 0, as
    after `detrend` or `zscore`: a percentage of nothing is NaN here, and 0 (and a warning) there.
    Call it on the series as it was measured.

    Parameters
    ----------
    x
        (time, …), of any unit that has a zero.

    Returns
    -------
    (time, …) float32, in percent: 0 in a constant column; NaN in one that holds a NaN, or whose
    mean is less than a ten-thousandth of its deviation.

    Raises
    ------
    RecipeError
        Where the tensor is not (time, …).

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").psc())
    volume(bold, mask) → psc
    """
    import jax.numpy as jnp

    deviation, mean = about_mean(x, frames)
    squares = sums(deviation * deviation)
    nothing = count(x, frames) * mean * mean <= NO_MEAN**2 * squares
    change = 100 * deviation / jnp.where(nothing, 1, jnp.abs(mean))
    return jnp.where(squares == 0, 0, jnp.where(nothing, jnp.nan, change))


def _known(*, spread: str) -> None:
    """Check: the spread is one of `SPREADS`."""
    if spread not in SPREADS:
        raise RecipeError(f"there is no spread {spread!r} to scale by, only {', '.join(SPREADS)}")


@op(kind=Kind.COLUMNWISE, infer=in_time, check=_known)
def robust_scale(x: Any, *, spread: str = "mad") -> Any:
    """Take the median off each column and divide by a spread that outliers do not move.

    Parameters
    ----------
    x
        (time, …), of any unit.
    spread
        ``"mad"``: the median absolute deviation, over 0.6745, so that it is the deviation of normal
        noise (`scipy.stats.median_abs_deviation`, ``scale="normal"``). ``"iqr"``: the distance
        between the quartiles (`sklearn.preprocessing.RobustScaler`).

    Returns
    -------
    (time, …) float32, in spreads: 0 in a constant column; NaN in one that holds a NaN, or that
    varies in so few frames that it has no spread.

    Raises
    ------
    RecipeError
        Where the tensor is not (time, …), or there is no such spread.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").robust_scale())
    volume(bold, mask) → robust_scale(spread='mad')
    """
    import jax.numpy as jnp

    x = x.astype("float32")
    delta = x - x[:1]
    low, middle, high = jnp.quantile(delta, jnp.array([0.25, 0.5, 0.75]), axis=0)
    deviation = delta - middle
    mad = spread == "mad"
    wide = jnp.median(jnp.abs(deviation), axis=0) / NORMAL if mad else high - low
    scaled = jnp.where(wide > 0, deviation / jnp.where(wide > 0, wide, 1), jnp.nan)
    return jnp.where((delta == 0).all(axis=0), 0, scaled)


def _over_time(x: Spec) -> Spec:
    """Infer: a number a column."""
    return replace(in_time(x), dims=x.dims[1:], shape=x.shape[1:], tr=None)


@op(kind=Kind.COLUMNWISE, infer=_over_time)
def tsnr(x: Any, *, frames: Any = None) -> Any:
    """Return the temporal signal-to-noise ratio: the mean over the sample deviation (ddof=1).

    Of the series as it was measured, or detrended with its mean put back: without a mean it is 0.

    Parameters
    ----------
    x
        (time, …), of any unit that has a zero.

    Returns
    -------
    (…) float32, without unit: 0 of a constant column, as nipype has it; NaN of one that holds a
    NaN.

    Raises
    ------
    RecipeError
        Where the tensor is not (time, …).

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").tsnr())
    volume(bold, mask) → tsnr
    """
    import jax.numpy as jnp

    deviation, mean = about_mean(x, frames)
    variance = sums(deviation * deviation) / jnp.maximum(count(x, frames) - 1, 1)
    ratio = mean / jnp.sqrt(jnp.where(variance > 0, variance, 1))
    ratio = jnp.where(variance > 0, ratio, 0)
    return jnp.where(jnp.isnan(variance), jnp.nan, ratio)[0]


def about_mean(x: Any, frames: Any = None) -> tuple[Any, Any]:
    """Return (time, …) less the mean, and (1, …) the mean; the first frame costs no digits.

    What is beyond the last frame of a padded series stays 0.
    """
    x = x.astype("float32")  # unsigned numbers have no differences
    delta = within(x - x[:1], frames)
    mean = sums(delta) / count(x, frames)
    return within(delta - mean, frames), x[:1] + mean


def within(x: Any, frames: Any, axis: int = 0) -> Any:
    """Return an array with 0 beyond the last frame of a padded time axis."""
    import jax.numpy as jnp

    if frames is None:
        return x
    there = jnp.arange(x.shape[axis]) < frames
    nothing = jnp.zeros((), x.dtype)
    return jnp.where(there.reshape(-1, *[1] * (x.ndim - 1 - axis)), x, nothing)


def count(x: Any, frames: Any) -> Any:
    """Return how many frames a series has, padding apart."""
    return x.shape[0] if frames is None else frames


def sums(x: Any) -> Any:
    """Return (1, …) sums over time, as products with a row: the same bits whatever the blocks."""
    import jax.numpy as jnp

    return jnp.matmul(jnp.ones((1, x.shape[0]), jnp.float32), x, precision="highest")
