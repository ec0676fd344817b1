"""How many groups of each stratum go to each split: exact, and exact in sum."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from numpy.typing import NDArray


def allot(sizes: Sequence[int], shares: Sequence[Fraction]) -> NDArray[np.int64]:
    """Round what is due to whole groups: down or up, each stratum, and each split in sum.

    Parameters
    ----------
    sizes
        How many groups each stratum has.
    shares
        What each split is to get of them; 1 in sum.

    Returns
    -------
    ndarray
        (stratum, split) int64. A row adds up to its size. A cell, and the sum of a column, is less
        than one away from what is due; one stratum alone is shared out by the largest remainder.

    Examples
    --------
    >>> from fractions import Fraction
    >>> allot([1, 1, 1, 1], [Fraction(3, 4), Fraction(1, 4)]).tolist()
    [[1, 0], [1, 0], [0, 1], [1, 0]]
    """
    due = [[size * share for share in shares] for size in sizes]
    whole = np.array([[int(cell) for cell in row] for row in due], np.int64)
    rests = np.array([[cell % 1 for cell in row] for row in due], object)
    up = _carried(rests)
    _level(up, rests)
    return whole + up


def _carried(rests: NDArray[Any]) -> NDArray[np.bool_]:
    """Round up, row by row, the splits that are owed the most so far."""
    up = np.zeros(rests.shape, bool)
    owed = np.zeros(rests.shape[1], object)
    for row, rest in zip(up, rests, strict=True):
        owed += rest
        first = sorted(np.flatnonzero(rest), key=lambda split: -owed[split])  # stable: first first
        row[first[: int(rest.sum())]] = True
        owed -= row.astype(int)
    return up


def _level(up: NDArray[np.bool_], rests: NDArray[Any]) -> None:
    """Shift what was rounded up between splits while that brings their sums nearer to the due.

    Carrying alone is not enough where a row has nothing to round for the split that is owed the
    most. The sums are then as near as any rounding gets them, in squares, and so within one.
    """
    free = rests > 0
    due = rests.sum(axis=0)
    while path := _path((up.T.astype(int) @ (free & ~up)) > 0, up.sum(axis=0).astype(object) - due):
        for here, there in pairwise(path):  # a shortest path takes no row twice
            row = np.argmax(up[:, here] & free[:, there] & ~up[:, there])
            up[row, [here, there]] = False, True


def _path(moves: NDArray[np.bool_], over: NDArray[Any]) -> list[int]:
    """Find the shortest way from a split that has more than one too many, beside its end."""
    for start in sorted(range(len(over)), key=lambda split: -over[split]):
        paths = {start: [start]}
        for here in (queue := [start]):
            for there in np.flatnonzero(moves[here]).tolist():
                if there not in paths:
                    paths[there] = [*paths[here], there]
                    queue.append(there)
                    if over[start] - over[there] > 1:
                        return paths[there]
    return []
