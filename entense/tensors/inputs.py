"""What a recipe takes from the table: paths, numbers and parameters in the cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import polars as pl

from entense.errors import TableError, hint
from entense.files import is_remote
from entense.geometry.grayordinates import Sides
from entense.index.fetch import is_url
from entense.ops.core import Kind, ops
from entense.tensors.graph import Node, walk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SIDED = ("surface", "labels", "region")  # the ops that read the files of two hemispheres
_HEMISPHERES = pl.Struct({"L": pl.String, "R": pl.String})
_KINDS = {bool: pl.Boolean(), str: pl.String(), int: pl.Int64(), float: pl.Float64()}
INPUTS = (pl.String(), pl.Float64(), _HEMISPHERES)
"""What cells hold of files and numbers."""
PARAMETERS = tuple(_KINDS.values())
"""What cells hold of parameters."""


@final
@dataclass(frozen=True)
class Input:
    """A recipe and where its slots come from in one table."""

    root: Node
    fields: dict[str, pl.Expr]
    types: dict[str, pl.DataType]


@dataclass(frozen=True)
class TrOf:
    """The repetition time that `stage` put beside a role, where it did."""

    image: Any

    def expr(self, schema: pl.Schema) -> pl.Expr:
        """Return the column, or null where there is none."""
        image = self.image
        if isinstance(image, pl.Expr):
            return self._beside(image, schema)
        if f"{image}_tr" in schema:
            return pl.col(f"{image}_tr")
        lost = [name for name in schema if name.endswith("_tr") and name[:-3] not in schema]
        if lost:  # a role was renamed without it: the header's could be another
            raise TableError(
                f"the column {image!r} has no {image}_tr beside it, and {lost[0]!r} has lost its "
                f'role; rename both, or say which it is: et.volume(…, tr="{lost[0]}")'
            )
        return pl.lit(None, pl.Float64)

    @staticmethod
    def _beside(image: pl.Expr, schema: pl.Schema) -> pl.Expr:
        """Return the column beside the one role of an expression; of several none is right."""
        names = list(dict.fromkeys(image.meta.root_names()))
        roles = [name for name in names if f"{name}_tr" in schema]
        if not roles:
            return pl.lit(None, pl.Float64)
        tr = f"{roles[0]}_tr"
        lists = [isinstance(one, pl.List) for one in (schema[tr], _dtype(image, schema))]
        if len(names) > 1 or len(set(lists)) > 1:
            raise TableError(
                f"the repetition time of {image} is not plain, it is made of {', '.join(roles)}: "
                "say which it is, et.volume(…, tr=…), a column, an expression or a number"
            )
        return pl.col(tr)


def is_list(root: Node) -> bool:
    """Whether a recipe gives a list of tensors: it takes lists and does not gather them."""
    lists: dict[Node, bool] = {}
    for node in walk(root):
        if node.op == "slot":
            lists[node] = bool(node.params.get("each"))
        else:
            lists[node] = not gathers(node) and any(lists[item] for item in node.inputs)
    return lists[root]


def gathers(node: Node) -> bool:
    """Whether a step makes one tensor of a list."""
    return node.op in ops and ops[node.op].kind is Kind.GATHER


def number(slot: str, value: Any, schema: pl.Schema) -> Input:
    """Bind a number that may differ from row to row: a column, an expression, or one for all."""
    if isinstance(value, TrOf):
        value = value.expr(schema)
    elif isinstance(value, str):
        if value not in schema:
            raise TableError(
                f"{slot}: there is no column {value!r} of numbers; {hint(value, schema)}"
            )
        value = pl.col(value)
    value = value if isinstance(value, pl.Expr) else pl.lit(value, pl.Float64)
    dtype = _dtype(value, schema)
    inner = _inner(dtype, value)
    if not (inner.is_numeric() or inner == pl.Null):
        raise TableError(f"{slot} takes numbers, and {_said(value)} holds {dtype}; cast it first")
    return _bound(slot, value, dtype, pl.Float64())


def parameter(slot: str, value: pl.Expr, schema: pl.Schema, admitted: Sequence[Any]) -> Input:
    """Bind a parameter that an expression gives, to cells of the type that the op takes."""
    dtype = _dtype(value, schema)
    kind = _kind(_inner(dtype, value), admitted)
    if kind is None:
        wanted = " or ".join(one.__name__ for one in _KINDS if one in admitted)
        raise TableError(
            f"{slot} takes {wanted or 'numbers, text or booleans'}, and {_said(value)} holds "
            f"{dtype}; cast it first"
        )
    return _bound(slot, value, dtype, kind, param=True)


def _kind(inner: pl.DataType, admitted: Sequence[Any]) -> pl.DataType | None:
    """Return the type of a parameter's cells; None where the column does not fit."""
    fits = {
        bool: inner == pl.Boolean,
        str: inner == pl.String or isinstance(inner, pl.Categorical | pl.Enum),
        int: inner.is_integer(),
        float: inner.is_numeric(),
    }
    if inner == pl.Null:
        fits = dict.fromkeys(fits, type(None) in admitted)
    anything = not any(kind in admitted for kind in fits)  # the op does not say, or takes a list
    return next((_KINDS[k] for k in fits if fits[k] and (anything or k in admitted)), None)


def path(slot: str, value: Any, schema: pl.Schema, reader: str) -> Input:
    """Bind a file: a role, an expression, a path for all records, or two for two hemispheres."""
    nothing = value is None
    value = _file(value, schema)
    dtype = _dtype(value, schema)
    inner = _inner(dtype, value)
    if inner == _HEMISPHERES and reader in SIDED:
        return _bound(slot, value, dtype, _HEMISPHERES)
    if isinstance(inner, pl.Struct) and reader not in SIDED:
        raise TableError(
            f"{_said(value)} holds the files of two hemispheres, which {reader} does not read: "
            'begin with et.surface(…), or take one of them, pl.col(…).struct.field("L")'
        )
    if inner not in (pl.String, pl.Null):
        raise TableError(f"the column {_said(value)} holds {dtype}, paths are due")
    return _bound(slot, value, dtype, pl.String(), **({"nothing": True} if nothing else {}))


def sidecar(slot: str, role: Any, schema: pl.Schema) -> Input:
    """Bind the nearest JSON file that `stage` put beside a role, where it did."""
    column = role if isinstance(role, str) and role in schema else ""
    many = isinstance(schema.get(column), pl.List)  # a list of files, each with its sidecars
    beside = schema.get(f"{column}_sidecar")
    if isinstance(beside, pl.List) and (isinstance(beside.inner, pl.List) or not many):
        one = pl.element() if many else pl.col(f"{column}_sidecar")
        first = one.list.first()
        first = pl.col(f"{column}_sidecar").list.eval(first) if many else first
    else:
        nothing = pl.when(False).then(pl.element())
        first = pl.col(column).list.eval(nothing) if many else pl.lit(None, pl.String)
    return _bound(
        slot, first, pl.List(pl.String()) if many else pl.String(), pl.String(), nothing=True
    )


def _file(value: Any, schema: pl.Schema) -> pl.Expr:
    """Return a column of paths, or one path for all records."""
    if isinstance(value, pl.Expr):
        return value
    if value is None:
        return pl.lit(None, pl.String)
    if isinstance(value, str) and value in schema:
        return pl.col(value)
    if isinstance(value, tuple | list | dict):
        return _two_files(value)
    if not isinstance(value, str | Path):
        raise TableError(f"{value!r} is neither a column nor a file; give a role or a path")
    return pl.lit(_place(value, schema), pl.String)


def _two_files(value: Any) -> pl.Expr:
    sides = value if isinstance(value, dict) else dict(zip("LR", value, strict=len(value) == 2))
    if set(sides) != {"L", "R"}:
        raise TableError(
            f'{value!r} are no two hemispheres: give (left, right), or {{"L": …, "R": …}}'
        )
    files = Sides(*(_place(sides[side], None) for side in "LR"))
    return pl.struct(L=pl.lit(files.L, pl.String), R=pl.lit(files.R, pl.String))


def _place(value: Any, schema: Mapping[str, Any] | None) -> str:
    """Return the absolute path of a file that is there; a URL as it is."""
    if is_url(value):
        return str(value)
    if Path(value).is_dir():
        raise TableError(f"{value} is a folder, a file is due here; name the file in it")
    if not Path(value).is_file() and not is_remote(value):
        near = hint(value, schema or ())
        near = near if near.startswith("did") else "give a role or the path of a file"
        raise TableError(f"there is neither a column nor a file {str(value)!r}; {near}")
    return str(Path(value).absolute())


def _bound(
    slot: str, value: pl.Expr, dtype: pl.DataType, kind: pl.DataType, **flags: bool
) -> Input:
    """Return the slot; of a column of lists one that stands for each of its items."""
    if isinstance(dtype, pl.List):
        node = Node("slot", name=slot, each=True, **flags)
        return Input(node, {slot: value}, {slot: pl.List(kind)})
    return Input(Node("slot", name=slot, **flags), {slot: value}, {slot: kind})


def _inner(dtype: pl.DataType, value: pl.Expr) -> pl.DataType:
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    if isinstance(inner, pl.List):
        raise TableError(
            f"{_said(value)} holds lists of lists, which make no tensors: pivot once, to the "
            "highest level, and before it take one file of many, as .list.first() does"
        )
    return inner if isinstance(inner, pl.DataType) else inner()


def _dtype(value: pl.Expr, schema: pl.Schema) -> pl.DataType:
    for name in value.meta.root_names():
        if name not in schema:
            raise TableError(f"there is no column {name!r} in the table; {hint(name, schema)}")
    if value.meta.is_column():
        return schema[value.meta.output_name()]
    if value.meta.is_literal():
        return pl.select(value).to_series().dtype
    known = {name: schema[name] for name in value.meta.root_names()}
    return pl.LazyFrame(schema=known).select(value.alias("it")).collect_schema()["it"]


def _said(value: pl.Expr) -> str:
    names = value.meta.root_names()
    return repr(names[0]) if names else str(value)
