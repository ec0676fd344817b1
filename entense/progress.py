"""A progress bar in a terminal and in a notebook, nothing in a pipe."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


class Counter:
    """The same bar for what is done elsewhere; what is counted is told, not yielded.

    Parameters
    ----------
    what, unit
        What goes on, and what is counted.
    total, done
        How many there are in all, and how many of them are done already.
    """

    def __init__(self, what: str, unit: str, total: int, done: int) -> None:
        self._bar = _bar(None, what=what, unit=unit, total=total, done=done)
        self._bytes = self._failures = 0

    def add(self, number: int, size: int, failures: int) -> None:
        """Count some more: their bytes, and how many of them failed."""
        self._bytes += size
        self._failures += failures
        self._bar.set_postfix(GB=f"{self._bytes / 1e9:.1f}", failed=self._failures, refresh=False)
        self._bar.update(number)

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def progress(
    items: Iterable[T], *, what: str, unit: str, total: int | None = None, done: int = 0
) -> Iterator[T]:
    """Yield `items`, showing how far it is and how fast it goes.

    Parameters
    ----------
    items
        What is waited for.
    what, unit
        What goes on, and what is counted.
    total, done
        How many there are in all, and how many of them an earlier run has done.
    """
    yield from _bar(items, what=what, unit=unit, total=total, done=done)


def _bar(items: Iterable[Any] | None, *, what: str, unit: str, total: int | None, done: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without ipywidgets gets a bar of text
        from tqdm.auto import tqdm
    watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(
        items,
        desc=what,
        unit=f" {unit}",
        total=total,
        initial=done,
        disable=not watched,
        leave=False,
    )
