"""A progress bar in a terminal and in a notebook; in a log a line a minute of what takes hours."""

from __future__ import annotations

import sys
import warnings
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")

EVERY = 60  # seconds between the lines of a log


class Counter:
    """The same bar for what is done elsewhere; what is counted is told, not yielded.

    Where nobody watches, as in the log of a job, a line a minute says how far it is.

    Parameters
    ----------
    what, unit
        What goes on, and what is counted.
    total, done
        How many there are in all, and how many of them are done already.
    """

    def __init__(self, what: str, unit: str, total: int, done: int) -> None:
        self._bar = _bar(None, what=what, unit=unit, total=total, done=done)
        self._what, self._unit, self._total, self._done = what, unit, total, done
        self._bytes = self._failures = 0
        self._told = monotonic()

    def add(self, number: int, size: int, failures: int) -> None:
        """Count some more: their bytes, and how many of them failed."""
        self._done += number
        self._bytes += size
        self._failures += failures
        self._bar.set_postfix(GB=f"{self._bytes / 1e9:.1f}", failed=self._failures, refresh=False)
        self._bar.update(number)

    def tell(self) -> None:
        """Say how far it is, where there is no bar and a minute has gone by."""
        if self._bar.disable and monotonic() - self._told >= EVERY:
            self._told = monotonic()
            print(
                f"{self._what}: {self._done:,} of {self._total:,} {self._unit}, "
                f"{self._bytes / 1e9:.1f} GB, {self._failures:,} failed",
                file=sys.stderr,
                flush=True,
            )

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
