"""Linear maps: in time a matrix, in space what each new column is a weighted sum of.

Both are made in float64 on the CPU and applied once, in float32; a filter in time to the series
less its first frame: see `apply`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Operator(NamedTuple):
    """A linear filter in time.

    Parameters
    ----------
    matrix
        (time, time) float32.
    ones
        (time,) float32: what the filter makes of a constant 1; exactly 0 where that is rounding.
    """

    matrix: Any
    ones: Any

    @classmethod
    def of(cls, matrix: NDArray[np.float64]) -> Operator:
        """Make it from the float64 matrix."""
        ones = matrix.sum(axis=1)
        ones[np.abs(ones) < 1e-9] = 0.0
        return cls(matrix.astype(np.float32), ones.astype(np.float32))


class Centred(NamedTuple):
    """A series less its first frame, and that frame: float32 then loses nothing to the baseline.

    Parameters
    ----------
    delta
        (time, …) float32.
    first
        (…,) float32.
    """

    delta: Any
    first: Any

    @property
    def dense(self) -> Any:
        """The series itself."""
        return self.delta + self.first


class Stored(NamedTuple):
    """A series as a file stores it: what it means is for the program that takes it to make.

    Parameters
    ----------
    rows
        (time, …) integers or float32.
    base
        (…,) float32, what is to be taken off; None where the series is meant as it is.
    slope
        float32, what the rest is to be multiplied by.
    first
        (…,) float32, the first frame.
    """

    rows: Any
    base: Any = None
    slope: Any = None
    first: Any = None

    @property
    def numbers(self) -> Any:
        """The series in float32, or `Centred`."""
        if self.base is None:
            return self.rows.astype(np.float32)
        return Centred((self.rows - self.base) * self.slope, self.first)


def apply(x: Any, operator: Operator) -> Any:
    """Apply a linear filter: (time, …) float32 or `Centred`, to (time, …) float32.

    A column that holds a NaN or an infinity becomes NaN.
    """
    import jax.numpy as jnp

    if not isinstance(x, Centred):
        x = x.astype(jnp.float32)  # whole numbers have no differences beyond their range
        x = Centred(x - x[:1], x[0])
    delta, first = x
    filtered = jnp.matmul(operator.matrix, delta, precision="highest")
    filtered = filtered + operator.ones[:, None] * first
    # an infinity stays one, or not, by where it is and by how filters are composed
    return jnp.where(jnp.isfinite(filtered), filtered, jnp.nan)


class Neighbours(NamedTuple):
    """A linear map in space.

    Parameters
    ----------
    index
        (new column, k) int32: the columns that each new one is made of. What has fewer than `k`
        names one of its own again, with a weight of 0.
    weights
        (new column, k) float32.
    """

    index: Any
    weights: Any

    @property
    def selects(self) -> bool:
        """Whether each new column is an old one."""
        return self.index.shape[1] == 1 and bool((self.weights == 1).all())


def mix(x: Any, neighbours: Neighbours) -> Any:
    """Apply a linear map in space: (…, column) float32 to (…, new column) float32.

    A NaN in one of a column's neighbours is a NaN in it.
    """
    import jax
    import jax.numpy as jnp

    def add(total: Any, one: tuple[Any, Any]) -> tuple[Any, None]:
        index, weights = one
        return total + jnp.take(x, index, axis=-1) * weights, None

    first = jnp.take(x, neighbours.index[:, 0], axis=-1) * neighbours.weights[:, 0]
    others = (neighbours.index[:, 1:].T, neighbours.weights[:, 1:].T)
    return jax.lax.scan(add, first, others)[0]
