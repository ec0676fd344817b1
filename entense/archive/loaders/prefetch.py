"""Work done ahead, in threads and within bounds."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

T = TypeVar("T")


def in_order(tasks: Iterable[Callable[[], T]], threads: int, ahead: int) -> Generator[T]:
    """Yield what `tasks` return, in their order; up to `ahead` are done before they are asked for.

    An error comes out where its result would have. What was not begun when the generator is
    closed never is, and its threads have ended then.

    Examples
    --------
    >>> list(in_order([lambda: 1, lambda: 4], threads=2, ahead=1))
    [1, 4]
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, "entense-read") as pool:
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
