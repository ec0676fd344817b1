"""The one registry idiom: a name, a thing, and a helpful error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from entense.errors import EntenseError, hint

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of one kind of primitive, each given once.

    Parameters
    ----------
    kind
        What the names stand for, as an error message says it: ``"op"``, ``"layout"``.

    Examples
    --------
    >>> colours = Registry[str]("colour")
    >>> colours.add("red", "#f00")
    '#f00'
    >>> colours["red"]
    '#f00'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.generation = 0  # rises when a thing is replaced: what was compiled with it is stale
        self._things: dict[str, T] = {}

    def add(self, name: str, thing: T) -> T:
        """Register `thing` under `name`; a name that is taken is an error."""
        if name in self._things:
            raise EntenseError(
                f"the {self.kind} {name!r} is already registered; give yours another name"
            )
        self._things[name] = thing
        return thing

    def replace(self, name: str, thing: T) -> T:
        """Register `thing` in the place of what `name` stood for."""
        self.generation += 1
        self._things[name] = thing
        return thing

    def __getitem__(self, name: str) -> T:
        try:
            return self._things[name]
        except KeyError:
            raise EntenseError(f"there is no {self.kind} {name!r}; {hint(name, self)}") from None

    def __contains__(self, name: str) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._things))
