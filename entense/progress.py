"""A progress bar in a terminal and in a notebook, nothing in a pipe."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without ipywidgets gets a bar of text
        from tqdm.auto import tqdm
    watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    bar = tqdm(
        items,
        desc=what,
        unit=f" {unit}",
        total=total,
        initial=done,
        disable=not watched,
        leave=False,
    )
    yield from bar
