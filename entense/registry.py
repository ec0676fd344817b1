"""The one registry idiom: a name, a thing, and a helpful error."""

from __future__ import annotations

import inspect
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from entense.errors import EntenseError, hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType

T = TypeVar("T")


def code_of(function: Callable[..., object]) -> str:
    """Return a function's source, or its byte code where there is no source, and what it is given.

    That is a partial's arguments, and what a function took from the one around it.

    Examples
    --------
    >>> code_of(partial(max, 3)) == code_of(partial(max, 4))
    False
    """
    if isinstance(function, partial):
        given = (function.args, *sorted(function.keywords.items()))
        return f"{code_of(function.func)} {_said(given)}"
    function = inspect.unwrap(function)  # what jax.jit has wrapped
    taken = "".join(map(_said, _taken(function)))
    try:
        return inspect.getsource(function) + taken
    except (OSError, TypeError):  # typed at a prompt, or no plain function
        code = getattr(function, "__code__", None)
        if code is None:
            return type(function).__qualname__
        return _said(_parts(code)) + taken


def _where(function: Callable[..., object]) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def _taken(function: Callable[..., object]) -> Iterator[object]:
    """Yield the values that a function took from the one around it; of functions their names."""
    for cell in getattr(function, "__closure__", None) or ():
        with suppress(ValueError):  # not given yet
            value = cell.cell_contents
            yield value.__qualname__ if inspect.isroutine(value) else value


def _parts(code: CodeType) -> tuple[object, ...]:
    """Return what code does, and to what names and constants, with the code within it."""
    constants = (_parts(c) if inspect.iscode(c) else c for c in code.co_consts)
    return code.co_code, code.co_names, *constants


def _said(value: object) -> str:
    """Return the text of a value that is the same in each process: no address, no set's order."""
    if hasattr(value, "__array__") and (array := np.asarray(value)).dtype.kind != "O":
        # its own text leaves most of it out
        return f"{array.dtype} {array.shape} {sha256(array.tobytes()).hexdigest()}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_said, value))})"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(_said, value)))}}}"
    text = repr(value)
    if " at 0x" not in text:
        return text
    return code_of(value) if callable(value) else type(value).__qualname__


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

    def define(self, name: str, thing: T, code: Callable[[T], Callable[..., object]]) -> T:
        """Register `thing`, also in the place of what a notebook's cell has defined before."""
        if name in self and _where(code(self[name])) == _where(code(thing)):
            return self.replace(name, thing)
        return self.add(name, thing)

    def __getitem__(self, name: str) -> T:
        try:
            return self._things[name]
        except KeyError:
            raise EntenseError(f"there is no {self.kind} {name!r}; {hint(name, self)}") from None

    def __contains__(self, name: str) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._things))
