"""Spikes, brought back to the curve that a series follows."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.errors import RecipeError, RecordError
from entense.ops.core import Kind, Spec, in_time, op
from entense.ops.timing import check_even

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST = 15  # frames, and
_PERIOD = 30.0  # frames a wave of the curve, and
_SPAN = 9  # neighbours that a median is of, and
_FAR = 6.789  # of the series' deviations from these: all as AFNI has them
_SIGMA = math.sqrt(math.pi / 2)  # times the median deviation: AFNI's deviation


def _cuts(*, low: float, high: float) -> None:
    """Check: the cuts are what AFNI allows."""
    if low < 1 or high < low + 0.5:
        raise RecipeError(
            f"low={low} and high={high} cut no spikes; give low from 1 on, high from low + 0.5 on"
        )


def _long_enough(x: Spec, **_: float) -> Spec:
    check_even(in_time(x), "despike")
    if in_time(x).size("time") < _LEAST:
        raise RecordError(
            f"the run has {x.size('time')} frames, despiking needs {_LEAST}; leave short runs out"
        )
    return in_time(x)


@op(kind=Kind.COLUMNWISE, infer=_long_enough, check=_cuts)
def despike(x: Any, *, low: float = 2.5, high: float = 4.0) -> Any:
    """Bring spikes back to the curve that a series follows, as AFNI's ``3dDespike -nomask -NEW``.

    The curve, a parabola and a wave for each 30 frames, is fitted to the series less its worst
    spikes. A frame that is s deviations from it, more than `low`, comes to lie
    low + (high - low) tanh((s - low) / (high - low)) from it; all others stay what they are.

    Parameters
    ----------
    x
        (time, …), at least 15 frames that follow one another.
    low, high
        How many deviations make a spike, and more than which none is left: AFNI's ``-cut``. The
        deviation is sqrt(pi / 2) times the median distance from the curve.

    Returns
    -------
    (time, …) float32. A constant column stays what it is, a column that holds a NaN becomes NaN.

    Raises
    ------
    RecordError
        Where the run has fewer than 15 frames.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask").despike()
    volume(bold, mask) → despike(low=2.5, high=4.0)
    """
    import jax.numpy as jnp

    x = x.astype(jnp.float32)  # whole numbers have no differences beyond their range
    series = x - x[:1]
    curve = jnp.asarray(_curve(x.shape[0]))
    weights = jnp.matmul(curve.T, _without_worst(series), precision="highest")
    rest = series - jnp.matmul(curve, weights, precision="highest")
    sigma = _SIGMA * _median(jnp.abs(rest))
    moves = sigma > 0  # or the fit is perfect
    spread = rest / jnp.where(moves, sigma, 1)
    size = jnp.abs(spread)
    smaller = low + (high - low) * jnp.tanh((size - low) / (high - low))
    spike = moves & (size > low)
    x = jnp.where(spike, x + (jnp.sign(spread) * smaller - spread) * sigma, x)
    return jnp.where(jnp.isnan(sigma), jnp.nan, x)


@lru_cache(maxsize=64)
def _curve(frames: int) -> NDArray[np.float32]:
    """Return (time, 3 + 2 waves) an orthonormal basis of the curve.

    By Gram and Schmidt, twice: unlike LAPACK's, its bits do not depend on the number of cores.
    """
    angle = 2 * np.pi / frames * np.arange(frames)
    time = np.linspace(-1, 1, frames)
    waves = [w(k * angle) for k in range(1, round(frames / _PERIOD) + 1) for w in (np.sin, np.cos)]
    basis: list[NDArray[np.float64]] = []
    for column in (np.ones(frames), *waves, time, time**2):
        for _ in range(2):
            for one in basis:
                column = column - (column * one).sum() * one  # noqa: PLW2901
        basis.append(column / np.sqrt(np.square(column).sum()))
    return np.column_stack(basis).astype(np.float32)


def _without_worst(series: Any) -> Any:
    """Return the series with local medians where it is far from them."""
    import jax
    import jax.numpy as jnp

    def around(frame: Any) -> tuple[Any, Any]:
        start = jnp.clip(frame - _SPAN // 2, 0, series.shape[0] - _SPAN)
        near = jax.lax.dynamic_slice_in_dim(series, start, _SPAN)
        centre = _middle(list(near))
        return centre, _middle(list(jnp.abs(near - centre)))

    centre, deviation = jax.lax.map(around, jnp.arange(series.shape[0]))
    limit = _FAR * _median(deviation)
    return jnp.where((limit > 0) & (jnp.abs(series - centre) > limit), centre, series)


def _middle(values: list[Any]) -> Any:
    """Return the median of an odd number of arrays, element by element.

    Of more than half of them neither the least nor the greatest is the median: both go, for one
    that was not looked at yet. XLA sorts an axis a hundred times slower.
    """
    import jax.numpy as jnp

    def swap(i: int, j: int) -> None:
        some[i], some[j] = jnp.minimum(some[i], some[j]), jnp.maximum(some[i], some[j])

    half = len(values) // 2 + 2
    some, rest = values[:half], values[half:]
    while len(some) > 1:
        for i in range(1, len(some)):
            swap(0, i)
        for i in range(1, len(some) - 1):
            swap(i, -1)
        some = some[1:-1] + rest[:1]
        rest = rest[1:]
    return some[0]


def _median(size: Any) -> Any:
    """Return the median of each column of what is not negative; NaN where there is one."""
    import jax.numpy as jnp

    frames = size.shape[0]
    ranks = ((frames - 1) // 2, frames // 2)
    middle = sum(_ranked(size, rank) for rank in ranks) / 2
    return jnp.where(jnp.isnan(size).any(axis=0), jnp.nan, middle)


def _ranked(size: Any, rank: int) -> Any:
    """Return the value of a rank in each column, found bit by bit, as floats order as integers."""
    import jax
    import jax.numpy as jnp

    bits = jax.lax.bitcast_convert_type(size, jnp.int32)

    def halve(step: Any, low: Any) -> Any:
        higher = low | (jnp.int32(1) << (30 - step))
        return jnp.where((bits < higher).sum(axis=0) <= rank, higher, low)

    found = jax.lax.fori_loop(0, 31, halve, jnp.zeros(size.shape[1:], jnp.int32))
    return jnp.where(bits == found, size, 0).max(axis=0)
