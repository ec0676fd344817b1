"""How many groups of each stratum go to each split: exact, and exact in sum."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from numpy.typing import NDArray


def allot(
    sizes: Sequence[int], shares: Sequence[Fraction], kinds: Sequence[tuple[str, ...]]
) -> NDArray[np.int64]:
    """Round what is due to whole groups: down or up, each stratum, and each split in sum.

    Parameters
    ----------
    sizes
        How many groups each stratum has.
    shares
        What each split is to get of them; 1 in sum.
    kinds
        What each stratum is in each column that makes the strata: the sums over all that are alike
        in one of them are kept near to what is due, too, as far as that goes.

    Returns
    -------
    ndarray
        (stratum, split) int64. A row adds up to its size. A cell, and the sum of a column, is less
        than one away from what is due; one stratum alone is shared out by the largest remainder.

    Examples
    --------
    >>> from fractions import Fraction
    >>> halves = [Fraction(1, 2), Fraction(1, 2)]
    >>> allot([1, 1, 1, 1], halves, [("F", "a"), ("F", "b"), ("M", "a"), ("M", "b")]).tolist()
    [[1, 0], [0, 1], [0, 1], [1, 0]]
    """
    unit = math.lcm(*(share.denominator for share in shares))
    weights = np.array([int(share * unit) for share in shares], object)  # whole, of any size
    due = np.array(sizes, object)[:, None] * weights  # in parts of a group, 1 / unit each
    rests = due % unit
    up = _carried(rests, unit, kinds)
    _level(up, rests, unit)
    counts: NDArray[np.int64] = (due // unit).astype(np.int64) + up
    return counts


def _carried(rests: NDArray[Any], unit: int, kinds: Sequence[tuple[str, ...]]) -> NDArray[np.bool_]:
    """Round up, row by row, the splits that are owed the most so far, in all and of its kinds."""
    up = np.zeros(rests.shape, bool)
    owed: dict[object, Any] = defaultdict(lambda: np.zeros(rests.shape[1], object))
    for row, rest, kind in zip(up, rests, kinds, strict=True):
        accounts = ["all", *enumerate(kind)]
        for account in accounts:
            owed[account] += rest
        due = sum(owed[account] for account in accounts)
        first = sorted(np.flatnonzero(rest), key=due.__getitem__, reverse=True)  # stable
        row[first[: rest.sum() // unit]] = True
        for account in accounts:
            owed[account] -= row.astype(int) * unit
    return up


def _level(up: NDArray[np.bool_], rests: NDArray[Any], unit: int) -> None:
    """Shift what was rounded up between splits while that brings their sums nearer to the due.

    Carrying alone is not enough where a row has nothing to round for the split that is owed the
    most. The sums are then as near as any rounding gets them, in squares, and so within one.
    """
    free = (rests > 0).astype(bool)
    due = rests.sum(axis=0)
    while path := _path(_moves(up, free), (up.sum(axis=0) * unit - due).tolist(), unit):
        for here, there in pairwise(path):  # a shortest path takes no row twice
            row = np.argmax(up[:, here] & free[:, there] & ~up[:, there])
            up[row, [here, there]] = False, True


def _moves(up: NDArray[np.bool_], free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(split, split): whether a row could round up the second in the place of the first."""
    moves: NDArray[np.bool_] = (up.T.astype(int) @ (free & ~up)) > 0
    return moves


def _path(moves: NDArray[np.bool_], over: Sequence[int], unit: int) -> list[int]:
    """Find a shortest way from a split to one that is worse off by more than a group, or none."""
    for start in sorted(range(len(over)), key=lambda split: -over[split]):
        paths = {start: [start]}
        for here in (queue := [start]):
            for there in np.flatnonzero(moves[here]).tolist():
                if there not in paths:
                    paths[there] = [*paths[here], there]
                    queue.append(there)
                    if over[start] - over[there] > unit:
                        return paths[there]
    return []
