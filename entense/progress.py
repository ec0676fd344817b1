"""A progress bar in a terminal and in a notebook, nothing in a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


def progress(items: Iterable[T], *, what: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, showing how far it is and how fast it goes."""
    from tqdm.auto import tqdm

    # disable=None: tqdm shows nothing where stderr is not a terminal (a notebook shows its own bar)
    yield from tqdm(items, desc=what, unit=f" {unit}", total=total, disable=None, leave=False)
