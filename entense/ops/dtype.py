"""Number formats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from entense.errors import RecipeError
from entense.ops.core import Kind, Spec, op

FLOATS = ("float32", "float16", "bfloat16")
LARGEST = {"int16": 2**15 - 1, "int8": 2**7 - 1}
"""Of each format of whole numbers; the lowest, one below its negative, stands for NaN."""


def _known(*, dtype: str, scale: float | None) -> None:
    """Check: the format is known, and has a scale where it is one of whole numbers."""
    if dtype not in (*FLOATS, *LARGEST):
        known = ", ".join((*FLOATS, *LARGEST))
        raise RecipeError(f"there is no dtype {dtype!r} to convert to, only {known}")
    if dtype in FLOATS and scale is not None:
        raise RecipeError(f"{dtype} takes no scale, only {' and '.join(LARGEST)} do; leave it out")
    if dtype in LARGEST and (scale is None or scale <= 0):
        usual = 0.001 if dtype == "int16" else 0.05
        raise RecipeError(
            f"{dtype} needs a scale above 0, what one step stands for: end z-scores with "
            f".astype({dtype!r}, scale={usual}), where write(dtype=…) takes float formats alone; "
            "other numbers take a scale of their size"
        )


def _cast(x: Spec, *, dtype: str, scale: float | None) -> Spec:
    return replace(x, dtype=dtype, scale=scale)


@op(kind=Kind.COLUMNWISE, infer=_cast, check=_known)
def astype(x: Any, *, dtype: str, scale: float | None = None, frames: Any = None) -> Any:
    """Convert to another number format, rounding to nearest.

    Whole numbers come last: no other op takes them. ``archive.schema["clean"].scale`` is the
    number that they are to be multiplied by.

    Parameters
    ----------
    x
        Any tensor.
    dtype
        ``"float32"``, ``"float16"`` (11 bits, up to 65,504, else the record fails: a z-score loses
        0.05% at most),
        ``"bfloat16"`` (8 bits), or ``"int16"`` or ``"int8"`` with a scale.
    scale
        What one step of whole numbers stands for, in the unit of `x`: ``round(x / scale)`` is
        stored.

    Returns
    -------
    Of the same shape. Whole numbers go from -32,767 to 32,767, or -127 to 127: what lies beyond
    becomes the last one, and the record fails where that is most of it; NaN becomes the one below,
    -32,768 or -128.

    Raises
    ------
    RecipeError
        Where there is no such format, or a scale is due or is not.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").zscore().astype("float16"))
    volume(bold, mask) → zscore → astype(dtype='float16')
    >>> print(et.volume("bold", mask="mask").zscore().astype("int16", scale=0.001))
    volume(bold, mask) → zscore → astype(dtype='int16', scale=0.001)
    """
    import jax.numpy as jnp

    if scale is None:
        return x.astype(dtype)
    x, most = x.astype("float32"), LARGEST[dtype]
    steps = jnp.clip(jnp.rint(x / scale), -most, most)
    return jnp.where(jnp.isnan(x), -most - 1, steps).astype(dtype)
