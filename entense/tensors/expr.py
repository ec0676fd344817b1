"""What a user writes: ``et.volume("bold", mask=brain).denoise("confounds", "36P").zscore()``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, final

import polars as pl

from entense.errors import RecipeError, TableError, hint
from entense.ops.core import Kind, Op, ops
from entense.tensors import lazy
from entense.tensors.graph import Node, rename_slots, slots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


@final
@dataclass(frozen=True)
class Bound:
    """A recipe and where its slots come from in one table."""

    root: Node
    fields: dict[str, pl.Expr]
    types: dict[str, pl.DataType]


@final
class Tensor:
    """A tensor that is not tied to a table yet; every registered op is a method of it.

    Made by `volume` and `col`, given to `transform`.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask").zscore()
    volume(bold, mask) → zscore
    """

    def __init__(self, said: str, bind: Callable[[pl.Schema], Bound]) -> None:
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
        return method

    def apply(self, name: str, /, *args: Any, **kwargs: Any) -> Tensor:
        """Apply a registered op: ``.apply("zscore")`` is ``.zscore()``.

        Parameters
        ----------
        name
            The op.
        *args, **kwargs
            Its further arrays (tensors; roles or paths where the op reads a file), then its
            parameters.

        Raises
        ------
        RecipeError
            Where the op is unknown, or an argument is missing, unknown or of the wrong type.
        """
        return _call(ops[name], (self, *args), kwargs)


def _methods() -> list[str]:
    return [name for name in ops if ops[name].kind not in (Kind.SOURCE, Kind.TABLE)]


def volume(
    image: str | Path | pl.Expr, *, mask: str | Path | pl.Expr, tr: str | pl.Expr | None = None
) -> Tensor:
    """Start from a 4-D image: the voxels in a mask, (time, voxel) float32.

    Parameters
    ----------
    image
        A role (a column of paths).
    mask
        A role, or the path of one mask for all records.
    tr
        The column of repetition times in seconds; the role's own ``<role>_tr`` unless given, and
        the header where that is null.

    Returns
    -------
    A tensor, for `transform`. Voxels are in the order of
    ``nibabel.as_closest_canonical(image).get_fdata()[mask]``, whatever the storage.

    Raises
    ------
    TableError
        At `transform`: where there is neither such a column nor such a file.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask")
    volume(bold, mask)
    """
    if tr is None:
        return _call(ops["volume"], (image, mask, _TrOf(image)), {})
    return _call(ops["volume"], (image, mask, tr), {})


def col(name: str) -> Tensor:
    """Start from a lazy column of the table.

    Examples
    --------
    >>> import entense as et
    >>> et.col("clean").parcellate("atlas.nii.gz")
    col(clean) → parcellate(atlas.nii.gz)
    """

    def bind(schema: pl.Schema) -> Bound:
        dtype = schema.get(name)
        if not isinstance(dtype, lazy.Lazy):
            near = hint(name, lazy.tensor_columns(schema))
            raise TableError(f"there is no lazy tensor {name!r} in the table; {near}")
        cells = lazy.storage(name)
        fields = {slot: cells.struct.field(slot) for slot in dtype.slots}
        return Bound(dtype.root, fields, dtype.slots)

    return Tensor(f"col({name})", bind)


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
        if name in schema and name not in lazy.tensor_columns(schema):
            raise TableError(f"the table has a column {name!r} already; name the tensor otherwise")
        if not isinstance(tensor, Tensor):
            raise RecipeError(
                f"{name} must be a tensor, such as et.volume(…) or et.col(…), "
                f"not a {type(tensor).__name__}"
            )
        bound = tensor._bind(schema)
        frame = frame.with_columns(lazy.column(bound.root, bound.fields, bound.types).alias(name))
    return frame


@dataclass(frozen=True)
class _TrOf:
    """The repetition time that `stage` put beside a role, where it did."""

    image: str | Path | pl.Expr

    def expr(self, schema: pl.Schema) -> pl.Expr:
        image = self.image.meta.root_names()[0] if isinstance(self.image, pl.Expr) else self.image
        if f"{image}_tr" in schema:
            return pl.col(f"{image}_tr")
        lost = [name for name in schema if name.endswith("_tr") and name[:-3] not in schema]
        if lost:  # a role was renamed without it: the header's could be another
            raise TableError(
                f"the column {image!r} has no {image}_tr beside it, and {lost[0]!r} has lost its "
                f'role; rename both, or say which it is: et.volume(…, tr="{lost[0]}")'
            )
        return pl.lit(None, pl.Float64)


def _call(operation: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Return the tensor that `operation` makes of its arguments."""
    kwargs = dict(kwargs)
    arrays = list(args[: len(operation.inputs)])
    for name in operation.inputs[len(arrays) :]:
        if name not in kwargs:
            raise RecipeError(f"{operation.name} needs {name!r}")
        arrays.append(kwargs.pop(name))
    params = operation.bind(args[len(operation.inputs) :], kwargs)

    def bind(schema: pl.Schema) -> Bound:
        parts = [
            _input(operation, name, value, schema)
            for name, value in zip(operation.inputs, arrays, strict=True)
        ]
        return _join(operation.name, parts, params)

    return Tensor(_say(operation, arrays, params), bind)


def _say(operation: Op, arrays: list[Any], params: dict[str, Any]) -> str:
    first, rest = (arrays[0], arrays[1:]) if isinstance(arrays[0], Tensor) else (None, arrays)
    shown = [str(item) for item in rest if not isinstance(item, _TrOf)]
    shown += [f"{name}={value!r}" for name, value in params.items() if value is not None]
    step = f"{operation.name}({', '.join(shown)})" if shown else operation.name
    return f"{first} → {step}" if first is not None else step


def _input(operation: Op, name: str, value: Any, schema: pl.Schema) -> Bound:
    if isinstance(value, Tensor):
        return value._bind(schema)
    reader = operation.reads.get(name)
    if reader is None and operation.kind is not Kind.SOURCE:
        raise RecipeError(
            f"{operation.name} takes a tensor for {name!r}, such as et.volume(…) or et.col(…), "
            f"not {value!r}"
        )
    bound = _slot(f"{operation.name}.{name}", value, schema)
    return bound if reader is None else Bound(Node(reader, bound.root), bound.fields, bound.types)


def _slot(slot: str, value: Any, schema: pl.Schema) -> Bound:
    """Return the node, the expression and the type of an input that comes from the cells."""
    node = Node("slot", name=slot)
    if slot == "volume.tr":
        return Bound(node, {slot: _seconds(value, schema)}, {slot: pl.Float64()})
    return Bound(node, {slot: _path(value, schema)}, {slot: pl.String()})


def _seconds(value: _TrOf | str | pl.Expr, schema: pl.Schema) -> pl.Expr:
    if isinstance(value, _TrOf):
        return value.expr(schema)
    if isinstance(value, str) and value not in schema:
        raise TableError(f"there is no column {value!r} of repetition times; {hint(value, schema)}")
    return pl.col(value) if isinstance(value, str) else value


def _path(value: Any, schema: pl.Schema) -> pl.Expr:
    """Return a column of paths, or one path for all records."""
    if isinstance(value, pl.Expr):
        return value
    if isinstance(value, str) and value in schema:
        if schema[value] != pl.String:
            raise TableError(f"the column {value!r} holds {schema[value]}, paths are due")
        return pl.col(value)
    if Path(value).is_dir():
        raise TableError(f"{value} is a folder, a file is due here; name the file in it")
    if not Path(value).is_file():
        near = hint(value, schema.names())
        near = near if near.startswith("did") else "give a role or the path of a file"
        raise TableError(f"there is neither a column nor a file {str(value)!r}; {near}")
    return pl.lit(str(Path(value).absolute()), pl.String)


def _join(name: str, parts: list[Bound], params: dict[str, Any]) -> Bound:
    """Put the recipes of the inputs together; slots of one name get numbers."""
    taken: set[str] = set()
    roots, fields, types = [], {}, {}
    for part in parts:
        names = dict(_fresh(part.root, taken))
        roots.append(rename_slots(part.root, names))
        for old, new in names.items():
            fields[new], types[new] = part.fields[old], part.types[old]
        taken |= set(names.values())
    return Bound(Node(name, *roots, **params), fields, types)


def _fresh(root: Node, taken: set[str]) -> Iterator[tuple[str, str]]:
    for slot in slots(root):
        stem, number, new = slot.split(":")[0], 2, slot
        while new in taken:
            new, number = f"{stem}:{number}", number + 1
        yield slot, new
        taken.add(new)
