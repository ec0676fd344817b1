"""Work done ahead, in one thread and within bounds."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")

AHEAD = 2  # items


def prefetched(items: Generator[T], ahead: int = AHEAD) -> Generator[T]:
    """Yield `items`, of which up to `ahead` are made in a thread before they are asked for.

    An error comes out where its item would have. `items` is closed with the generator.

    Examples
    --------
    >>> list(prefetched(n * n for n in range(4)))
    [0, 1, 4, 9]
    """
    waiting: deque[Future[T | None]] = deque()
    with closing(items), ThreadPoolExecutor(1, "entense-prefetch") as thread:
        try:
            waiting.extend(thread.submit(next, items, None) for _ in range(ahead))
            while (item := waiting.popleft().result()) is not None:
                waiting.append(thread.submit(next, items, None))
                yield item
        finally:
            for future in waiting:
                future.cancel()
