"""From the tensors of a list, as `pivot` makes it, to one tensor."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from entense.errors import RecordError
from entense.ops.core import Kind, Spec, op

if TYPE_CHECKING:
    from collections.abc import Sequence


def _alike(xs: Sequence[Spec], what: str, *, in_time: bool = False) -> Spec:
    """Return the first spec, when the others have its columns (and, unless `in_time`, length)."""
    first = xs[0]
    for x in xs[1:]:
        shape = (x.shape[1:], first.shape[1:]) if in_time else (x.shape, first.shape)
        if x.dims != first.dims or shape[0] != shape[1]:
            raise RecordError(
                f"{what} takes tensors of one shape, these have {first.dims} {first.shape} and "
                f"{x.dims} {x.shape}; give one mask or atlas for all"
                + ("" if in_time else ", and runs of one length")
            )
        if x.mask != first.mask or x.coords != first.coords:
            raise RecordError(
                f"{what} takes tensors of the same columns, these lie in different masks or "
                "parcels; give one mask or atlas for all (see et.group_mask)"
            )
        if "time" in x.dims and x.tr != first.tr:
            raise RecordError(
                f"{what} takes runs of one repetition time, these have {first.tr} s and {x.tr} s; "
                "leave one kind out"
            )
    return first


def _longer(xs: Sequence[Spec]) -> Spec:
    first = _alike(xs, "concat", in_time=True)
    if first.dims[:1] != ("time",):
        raise RecordError(f"concat joins along time, and the tensors have {first.dims}; use stack")
    return replace(first, shape=(sum(x.shape[0] for x in xs), *first.shape[1:]))


def _deeper(xs: Sequence[Spec]) -> Spec:
    first = _alike(xs, "stack")
    return replace(first, dims=("item", *first.dims), shape=(len(xs), *first.shape))


def _same(xs: Sequence[Spec]) -> Spec:
    return _alike(xs, "mean")


@op(kind=Kind.GATHER, infer=_longer)
def concat(xs: Any) -> Any:
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
    import jax.numpy as jnp

    return jnp.concatenate(xs, axis=0)


@op(kind=Kind.GATHER, infer=_deeper)
def stack(xs: Any) -> Any:
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
def mean(xs: Any) -> Any:
    """Average the tensors of a list, element by element.

    Parameters
    ----------
    xs
        A list of tensors of one shape.

    Returns
    -------
    Of that shape.

    Raises
    ------
    RecordError
        Where they differ in shape, columns or repetition time.

    Examples
    --------
    >>> import entense as et
    >>> et.col("fc").mean()
    col(fc) → mean
    """
    return reduce(add, xs) / len(xs)
