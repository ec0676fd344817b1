"""What a user writes: ``et.volume("bold", mask=brain).denoise("confounds", "36P").zscore()``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import polars as pl

from entense.errors import RecipeError, TableError, hint
from entense.ops.core import Kind, Op, ops
from entense.tensors import lazy
from entense.tensors.graph import Node, rename_slots, slots, walk
from entense.tensors.inputs import Input, gathers, is_list, number, parameter, path, sidecar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from entense.records.frames import Frame


@final
class Tensor:
    """A tensor that is not tied to a table yet; every registered op is a method of it.

    Made by `volume`, `surface`, `cifti`, `table`, `array` and `col`, given to `transform`.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask").zscore()
    volume(bold, mask) → zscore
    """

    def __init__(self, said: str, bind: Callable[[pl.Schema], Input]) -> None:
        self._said = said
        self._bind = bind

    def __repr__(self) -> str:
        return self._said

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *_methods()]

    def __getattr__(self, name: str) -> Callable[..., Tensor]:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in _methods():
            raise AttributeError(f"there is no op {name!r}; {hint(name, _methods())}")

        def method(*args: Any, **kwargs: Any) -> Tensor:
            return self.apply(name, *args, **kwargs)

        method.__doc__, method.__name__ = ops[name].function.__doc__, name
        vars(method)["__signature__"] = ops[name].signature
        return method

    def apply(self, name: str, /, *args: Any, **kwargs: Any) -> Tensor:
        """Apply a registered op: ``.apply("zscore")`` is ``.zscore()``.

        Parameters
        ----------
        name
            The op.
        *args, **kwargs
            Its further arrays (tensors; roles or paths where the op reads a file; numbers), then
            its parameters. A number or parameter may be a Polars expression: each record has its
            own, stored in the cells.

        Raises
        ------
        RecipeError
            Where the op is unknown, or an argument is missing, unknown or of the wrong type.
        """
        return call(ops[name], (self, *args), kwargs)


def _methods() -> list[str]:
    return [name for name in ops if ops[name].kind not in (Kind.SOURCE, Kind.TABLE)]


def transform(frame: Frame, **tensors: Tensor) -> Frame:
    """Append lazy tensors to a table; nothing is read or computed.

    Parameters
    ----------
    frame
        A record table.
    **tensors
        Name and tensor; a later one may build on an earlier one with `col`.

    Returns
    -------
    The table with a lazy column a tensor. The cells hold the inputs as they are now: a path that
    is changed in the table afterwards is not changed in the cells (`relocate` does that).

    Raises
    ------
    TableError
        Where a role, column or file that a tensor names is not there.

    Examples
    --------
    >>> import entense as et
    >>> table = pl.DataFrame({"bold": ["a.nii.gz"], "mask": ["m.nii.gz"]})
    >>> table = et.transform(table, clean=et.volume("bold", mask="mask").zscore())
    >>> table.columns
    ['bold', 'mask', 'clean']
    """
    for name, tensor in tensors.items():
        schema = frame.collect_schema()
        if name in schema and not lazy.is_lazy(schema[name]):
            raise TableError(f"the table has a column {name!r} already; name the tensor otherwise")
        if not isinstance(tensor, Tensor):
            raise RecipeError(
                f"{name} must be a tensor, such as et.volume(…) or et.col(…), "
                f"not a {type(tensor).__name__}"
            )
        bound = tensor._bind(schema)
        if is_list(bound.root):
            raise RecipeError(
                f"{name} would be a list of tensors in each row: end it with .concat(), .stack() "
                "or .mean(), or call transform before pivot"
            )
        frame = frame.with_columns(lazy.column(bound.root, bound.fields, bound.types).alias(name))
    return frame


def call(operation: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Return the tensor that `operation` makes of its arguments."""
    kwargs = dict(kwargs)
    arrays = list(args[: len(operation.inputs)])
    for name in operation.inputs[len(arrays) :]:
        if name not in kwargs and name not in operation.optional:
            raise RecipeError(f"{operation.name} needs {name!r}")
        arrays.append(kwargs.pop(name, None))
    params = operation.bind(args[len(operation.inputs) :], kwargs)
    cells = {name: value for name, value in params.items() if isinstance(value, pl.Expr)}
    fixed = {name: value for name, value in params.items() if name not in cells}

    def bind(schema: pl.Schema) -> Input:
        parts = [
            _input(operation, name, value, schema)
            for name, value in zip(operation.inputs, arrays, strict=True)
        ]
        _check_lists(operation, [part.root for part in parts])
        parts += [
            parameter(f"{operation.name}.{name}", cells[name], schema, operation.admits(name))
            for name in cells
        ]
        return _join(operation.name, parts, {**fixed, "cells": [*cells]} if cells else fixed)

    return Tensor(_say(operation, arrays, params), bind)


def _check_lists(operation: Op, roots: list[Node]) -> None:
    """Raise where a gather has no list, or what was gathered goes with a list."""
    first, *others = map(is_list, roots)
    gathered = any(map(gathers, walk(roots[0])))
    if operation.kind is Kind.GATHER and not first:
        raise RecipeError(
            f"{operation.name} joins the tensors of a list, and here each row has one: "
            + ("they were joined before" if gathered else 'call .entense.pivot("subject") first')
        )
    if gathered and any(others):
        name = operation.inputs[1 + others.index(True)]
        raise RecipeError(
            f"{operation.name} would take one tensor and a list of {name}: call it before "
            ".concat(), .stack() or .mean(), so that each run has its own"
        )


def _say(operation: Op, arrays: list[Any], params: dict[str, Any]) -> str:
    first, rest = (arrays[0], arrays[1:]) if isinstance(arrays[0], Tensor) else (None, arrays)
    shown = [str(item) for item in rest if isinstance(item, str | Path | int | float | pl.Expr)]
    shown += [
        f"{name}={value if isinstance(value, pl.Expr) else repr(value)}"
        for name, value in params.items()
        if value is not None
    ]
    step = f"{operation.name}({', '.join(shown)})" if shown else operation.name
    return f"{first} → {step}" if first is not None else step


def _input(operation: Op, name: str, value: Any, schema: pl.Schema) -> Input:
    if isinstance(value, Tensor):
        return value._bind(schema)
    slot = f"{operation.name}.{name}"
    if operation.is_number(name):
        return number(slot, value, schema)
    reader = operation.reads.get(name)
    if reader is None and operation.kind is not Kind.SOURCE:
        raise RecipeError(
            f"{operation.name} takes a tensor for {name!r}, such as et.volume(…) or et.col(…), "
            f"not {value!r}"
        )
    bound = path(slot, value, schema, reader or operation.name)
    if reader is None:
        return bound
    sidecars = ["sidecar"] if "sidecar" in ops[reader].inputs else []
    return _join(reader, [bound, *(sidecar(f"{slot}_{s}", value, schema) for s in sidecars)], {})


def _join(name: str, parts: list[Input], params: dict[str, Any]) -> Input:
    """Put the recipes of the inputs together; slots of one name get numbers."""
    taken: set[str] = set()
    roots, fields, types = [], {}, {}
    for part in parts:
        names = dict(_fresh(part.root, taken))
        roots.append(rename_slots(part.root, names))
        for old, new in names.items():
            fields[new], types[new] = part.fields[old], part.types[old]
        taken |= set(names.values())
    return Input(Node(name, *roots, **params), fields, types)


def _fresh(root: Node, taken: set[str]) -> Iterator[tuple[str, str]]:
    for slot in slots(root):
        stem, number, new = slot.split(":")[0], 2, slot
        while new in taken:
            new, number = f"{stem}:{number}", number + 1
        yield slot, new
        taken.add(new)
