"""Number formats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from entense.errors import RecipeError
from entense.ops.core import Kind, Spec, op

DTYPES = ("float32", "float16", "bfloat16")


def _known(*, dtype: str) -> None:
    """Check: the format is one of `DTYPES`."""
    if dtype not in DTYPES:
        raise RecipeError(f"there is no dtype {dtype!r} to convert to, only {', '.join(DTYPES)}")


def _cast(x: Spec, *, dtype: str) -> Spec:
    return replace(x, dtype=dtype)


@op(kind=Kind.COLUMNWISE, infer=_cast, check=_known)
def astype(x: Any, *, dtype: str) -> Any:
    """Convert to another float format, rounding to nearest.

    Parameters
    ----------
    x
        Any tensor.
    dtype
        ``"float32"``, ``"float16"`` (11 bits, up to 65,504: a z-score loses 0.05% at most) or
        ``"bfloat16"`` (8 bits).

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").zscore().astype("float16"))
    volume(bold, mask) → zscore → astype(dtype='float16')
    """
    return x.astype(dtype)
