"""One function of many things that wait for a disk or a network, in a few threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from time import perf_counter
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
    with ThreadPoolExecutor(threads) as pool:
        each = pool.map(lambda piece: [function(item) for item in piece], _pieces(items, threads))
        yield from chain.from_iterable(each)


def here_or_in_threads(
    function: Callable[[Sequence[Taken]], list[Given]], items: Sequence[Taken], threads: int
) -> Iterator[Given]:
    """Yield what a function gives of some items at once, in threads only where that is faster.

    A function that computes, too, is twice as slow where the threads wait not for the disk but
    for each other. Which it is depends on the disk, so both are tried, ever more rarely.

    Examples
    --------
    >>> list(here_or_in_threads(lambda some: [abs(x) for x in some], range(-2, 1), threads=8))
    [2, 1, 0]
    """
    pieces, stretch = iter(_pieces(items, threads)), threads
    with ThreadPoolExecutor(threads) as pool:
        yield from chain.from_iterable(map(function, islice(pieces, 1)))  # it fills the caches
        while trial := list(islice(pieces, 1 + threads)):
            seconds = []
            for way, some in ((map, trial[:1]), (pool.map, trial[1:])):
                start = perf_counter()
                given = list(chain.from_iterable(way(function, some)))
                seconds.append((perf_counter() - start) / max(1, len(given)))
                yield from given
            faster = map if seconds[0] < seconds[1] else pool.map
            yield from chain.from_iterable(faster(function, islice(pieces, stretch)))
            stretch *= 2


def _pieces(items: Sequence[Taken], threads: int) -> list[Sequence[Taken]]:
    size = max(1, min(_PIECE, len(items) // (4 * threads)))
    return [items[start : start + size] for start in range(0, len(items), size)]
