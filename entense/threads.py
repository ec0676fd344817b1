"""One function of many things that wait for a disk or a network, in a few threads."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

Taken = TypeVar("Taken")
Given = TypeVar("Given")

_PIECE = 64  # items at most
_STRETCH = 16  # pieces a thread, at most, before it is tried here again


def in_order(tasks: Iterable[Callable[[], Given]], threads: int, ahead: int) -> Generator[Given]:
    """Yield what `tasks` return, in their order; up to `ahead` are done before they are asked for.

    An error comes out where its result would have. What was not begun when the generator is
    closed never is, and its threads have ended then.

    Examples
    --------
    >>> list(in_order([lambda: 1, lambda: 4], threads=2, ahead=1))
    [1, 4]
    """
    waiting: deque[Future[Given]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(task))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def in_threads(
    function: Callable[[Taken], Given], items: Iterable[Taken], threads: int
) -> Iterator[Given]:
    """Yield what a function gives of each item, in their order; an exception ends it.

    Few are begun before they are due: what ends it waits for those alone.

    Examples
    --------
    >>> list(in_threads(abs, [-2, 1], threads=8))
    [2, 1]
    """
    if threads == 1:  # here, where Ctrl-C ends it at once
        yield from map(function, items)
        return
    yield from in_order((partial(function, item) for item in items), threads, 2 * threads)


def here_or_in_threads(
    function: Callable[[Sequence[Taken]], Sequence[Given]], items: Sequence[Taken], threads: int
) -> Iterator[Given]:
    """Yield what a function gives of some items at once, in threads only where that is faster.

    A function that computes, too, is twice as slow where threads wait not for the disk but for
    each other. Which it is depends on the disk: a piece that takes longer here than it would have
    in threads has the next ones done there, more each time.

    Examples
    --------
    >>> list(here_or_in_threads(lambda some: [abs(x) for x in some], range(-2, 1), threads=8))
    [2, 1, 0]
    """
    size = max(1, min(_PIECE, len(items) // (4 * threads)))
    pieces = (items[start : start + size] for start in range(0, len(items), size))
    yield from chain.from_iterable(map(function, islice(pieces, 1)))  # it fills the caches
    together, stretch = 0.0, threads  # seconds an item in threads; none yet
    for piece in pieces:
        start = perf_counter()
        yield from function(piece)
        if perf_counter() - start < together * len(piece):
            stretch = threads
            continue
        start, done = perf_counter(), 0
        for given in in_threads(function, islice(pieces, stretch), threads):
            yield from given
            done += len(given)
        together = (perf_counter() - start) / max(1, done)
        stretch = min(2 * stretch, _STRETCH * threads)
