"""What standardises a series."""

from __future__ import annotations

from typing import Any

from entense.ops.core import Kind, in_time, op


@op(kind=Kind.COLUMNWISE, infer=in_time)
def zscore(x: Any) -> Any:
    """Standardise each column to mean 0 and sample deviation 1 (ddof=1), as nilearn does.

    A constant column becomes 0, a column that holds a NaN becomes NaN; other columns do not notice.

    Returns
    -------
    (time, …) float32.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").zscore())
    volume(bold, mask) → zscore
    """
    import jax.numpy as jnp

    frames = x.shape[0]
    # sums over time as products with a row: the same bits for any number of cores or blocks
    row = jnp.ones((1, frames), jnp.float32)
    x = x - x[:1]
    x = x - jnp.matmul(row, x, precision="highest") / frames
    variance = jnp.matmul(row, x * x, precision="highest") / max(frames - 1, 1)
    scale = jnp.where(variance > 0, 1 / jnp.sqrt(jnp.where(variance > 0, variance, 1)), 0)
    return jnp.where(jnp.isnan(variance), jnp.nan, x * scale)
