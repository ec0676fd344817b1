"""From the tensors of a list, as `pivot` makes it, to one tensor."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from math import isclose
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.errors import RecordError
from entense.ops.core import Kind, Spec, is_tr, op
from entense.ops.timing import is_even, places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def check_alike(what: str, xs: Sequence[Spec]) -> None:
    """Raise a RecordError unless tensors have the same columns, and runs the same TR.

    Every gather treats a column by itself: the same place must be the same column in all.
    """
    first = xs[0]
    for x in xs[1:]:
        if x.dims != first.dims or x.shape[-1:] != first.shape[-1:] or x.dtype != first.dtype:
            raise RecordError(
                f"{what} takes tensors of one kind, these are {_said(first)} and {_said(x)}; "
                "give one mask or atlas for all"
            )
        if x.mask != first.mask or x.coords != first.coords:
            raise RecordError(
                f"{what} takes tensors of the same columns, these lie in different masks or "
                "parcels; give one mask or atlas for all (see et.group_mask)"
            )
        if "time" in x.dims and not _one_tr(x.tr, first.tr):
            raise RecordError(
                f"{what} takes runs of one repetition time, these have {first.tr} s and {x.tr} s; "
                "leave one kind out"
            )


def _said(x: Spec) -> str:
    return f"{x.dtype} ({', '.join(f'{d} {n}' for d, n in zip(x.dims, x.shape, strict=True))})"


def _one_tr(a: float | None, b: float | None) -> bool:
    """Whether two TRs are one, though a header holds it in float32; two unknown ones are."""
    known = [tr for tr in (a, b) if tr is not None and is_tr(tr)]
    return not known or (len(known) == 2 and isclose(*known, rel_tol=1e-5))


def _longer(xs: Sequence[Spec]) -> Spec:
    first = xs[0]
    if first.dims[:1] != ("time",):
        raise RecordError(f"concat joins along time, and the tensors have {first.dims}; use stack")
    _check_shapes("concat", [replace(x, shape=(0, *x.shape[1:])) for x in xs])
    frames = sum(x.shape[0] for x in xs)
    shape, even = (frames, *first.shape[1:]), all(map(is_even, xs))
    if len(xs) == 1:  # it stays what it was
        return first
    none: NDArray[np.bool_] = np.empty(0, bool)
    return replace(first, shape=shape, kept=none, begins=0.0, even=even, windowed=False)


def _deeper(xs: Sequence[Spec]) -> Spec:
    _check_shapes("stack", xs)
    shape = (len(xs), *xs[0].shape)
    return replace(xs[0], dims=("item", *xs[0].dims), shape=shape, kept=None, begins=0.0)


def _same(xs: Sequence[Spec]) -> Spec:
    _check_shapes("mean", xs)
    first = replace(xs[0], dtype="float32")
    if "time" not in first.dims or all(_at_one_time(x, first) for x in xs):
        return first
    gaps = np.diff(places(first))
    if not all(x.windowed and np.array_equal(np.diff(places(x)), gaps) for x in xs):
        raise RecordError(
            "mean takes the same frames of each run, and different ones were left out of these; "
            "interpolate frames instead of censoring them, or average what is made of the runs"
        )
    return replace(first, kept=np.empty(0, bool), begins=0.0)  # windows from here and there


def _at_one_time(x: Spec, other: Spec) -> bool:
    """Whether the frames of two runs were taken as long after the first ones of their runs."""
    return isclose(x.begins, other.begins, abs_tol=1e-6) and np.array_equal(
        places(x), places(other)
    )


def _check_shapes(what: str, xs: Sequence[Spec]) -> None:
    for x in xs[1:]:
        if x.shape != xs[0].shape:
            raise RecordError(
                f"{what} takes tensors of one shape, these are {_said(xs[0])} and {_said(x)}; "
                "leave one kind out, or join runs with concat"
            )


@op(kind=Kind.GATHER, infer=_longer)
def concat(xs: Any, *, frames: Any = None) -> Any:
    """Join the runs of a list along time, in the order of the list.

    To standardise each run first, do so before: ``.zscore().concat()``.

    Parameters
    ----------
    xs
        A list of (time, …), of the same columns.

    Returns
    -------
    (time, …): as many frames as all have.

    Raises
    ------
    RecordError
        Where they differ in columns or repetition time.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="brain.nii.gz").zscore().concat()
    volume(bold, brain.nii.gz) → zscore → concat
    """
    import jax
    import jax.numpy as jnp

    whole = jnp.concatenate(xs, axis=0)
    if frames is None:
        return whole
    start = jnp.int32(0)
    for x, count in zip(xs, frames, strict=True):  # each covers the padding of the one before
        whole = jax.lax.dynamic_update_slice_in_dim(whole, x, start, axis=0)
        start += count.astype(jnp.int32)
    return whole


@op(kind=Kind.GATHER, infer=_deeper)
def stack(xs: Any, *, frames: Any = None) -> Any:
    """Put the tensors of a list side by side along a new first axis, ``item``.

    Parameters
    ----------
    xs
        A list of tensors of one shape.

    Returns
    -------
    (item, …).

    Raises
    ------
    RecordError
        Where they differ in shape, columns or repetition time.

    Examples
    --------
    >>> import entense as et
    >>> et.col("fc").stack()
    col(fc) → stack
    """
    import jax.numpy as jnp

    return jnp.stack(xs)


@op(kind=Kind.GATHER, infer=_same)
def mean(xs: Any, *, frames: Any = None) -> Any:
    """Average the tensors of a list, element by element.

    Parameters
    ----------
    xs
        A list of tensors of one shape.

    Returns
    -------
    Of that shape, float32.

    Raises
    ------
    RecordError
        Where they differ in shape, columns or repetition time, or in which frames were censored.

    Examples
    --------
    >>> import entense as et
    >>> et.col("fc").mean()
    col(fc) → mean
    """
    import jax.numpy as jnp

    return reduce(add, [jnp.asarray(x, jnp.float32) for x in xs]) / len(xs)
