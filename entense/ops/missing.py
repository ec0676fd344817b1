"""What is not there: where it is, and what stands in for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from entense.errors import RecipeError
from entense.ops.core import Kind, Spec, in_time, op
from entense.ops.standardize import sums, within


def _known(*, value: float | str) -> None:
    """Check: the value is a number or the word."""
    if isinstance(value, str) and value != "mean":
        raise RecipeError(f"fill_nan(value={value!r}) fills nothing; give a number, or 'mean'")


def _filled(x: Spec, *, value: float | str) -> Spec:
    return in_time(x) if value == "mean" else x


@op(kind=Kind.COLUMNWISE, infer=_filled, check=_known)
def fill_nan(x: Any, *, value: float | str = 0.0, frames: Any = None) -> Any:
    """Put a number where a value is not finite (NaN or infinite).

    Nothing tells afterwards what was filled: keep `missing` of the same tensor beside it.

    Parameters
    ----------
    x
        Any tensor; (time, …) for ``"mean"``.
    value
        The number, in the unit of `x`; or ``"mean"``, that of the column's finite frames: 0 in a
        column without any.

    Returns
    -------
    Of the same shape and dtype, every value finite; float32 for ``"mean"``.

    Raises
    ------
    RecipeError
        Where `value` is another word, or ``"mean"`` is due of what has no time.

    Examples
    --------
    >>> import entense as et
    >>> bold = et.volume("bold", mask="mask")
    >>> print(bold.fill_nan("mean"), "|", bold.missing())
    volume(bold, mask) → fill_nan(value='mean') | volume(bold, mask) → missing
    """
    import jax.numpy as jnp

    there = jnp.isfinite(x)
    if value != "mean":
        return jnp.where(there, x, jnp.asarray(value, x.dtype))
    return jnp.where(there, x, _mean(x, within(there, frames)))


def _boolean(x: Spec) -> Spec:
    return replace(x, dtype="bool")


@op(kind=Kind.COLUMNWISE, infer=_boolean)
def missing(x: Any, *, frames: Any = None) -> Any:
    """Say where a value is not finite (NaN or infinite).

    Beside a tensor that was filled it is the record of what was measured:
    ``transform(clean=x.fill_nan(), gaps=x.missing())``.

    Parameters
    ----------
    x
        Any tensor.

    Returns
    -------
    Of the same shape, bool: true where the value is missing.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").parcellate("atlas.nii.gz").missing())
    volume(bold, mask) → parcellate(atlas.nii.gz) → missing
    """
    import jax.numpy as jnp

    return ~jnp.isfinite(x)


def _mean(x: Any, there: Any) -> Any:
    """Return (1, …) the mean of what is there; twice, so that the baseline costs no digits."""
    import jax.numpy as jnp

    count = jnp.maximum(sums(there.astype(jnp.float32)), 1)
    mean = jnp.zeros((1, *x.shape[1:]), jnp.float32)
    for _ in range(2):
        mean += sums(jnp.where(there, x - mean, 0)) / count
    return mean
