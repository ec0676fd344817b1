"""One function of many things that wait for a disk or a network, in a few threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Taken = TypeVar("Taken")
Given = TypeVar("Given")

_PIECE = 64  # at most: a future for each of 100,000 records takes as much memory as the records


def in_threads(
    function: Callable[[Taken], Given], items: Sequence[Taken], threads: int
) -> Iterator[Given]:
    """Yield what a function gives of each item, in their order; an exception ends it.

    Examples
    --------
    >>> list(in_threads(abs, [-2, 1], threads=8))
    [2, 1]
    """
    if threads == 1:  # here, where Ctrl-C ends it at once
        yield from map(function, items)
        return
    size = max(1, min(_PIECE, len(items) // (4 * threads)))
    pieces = [items[start : start + size] for start in range(0, len(items), size)]
    with ThreadPoolExecutor(threads) as pool:
        for given in pool.map(lambda piece: [function(item) for item in piece], pieces):
            yield from given
