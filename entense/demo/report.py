"""What the demo prints."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def say(text: str) -> None:
    """Print a line at once, so that it is there while the next step runs."""
    print(text, flush=True)


@contextmanager
def step(what: str) -> Iterator[list[str]]:
    """Time a step; what the body appends is printed after the time."""
    notes: list[str] = []
    start = perf_counter()
    yield notes
    say(f"{what:<34} {perf_counter() - start:7.2f} s   {'; '.join(notes)}")
