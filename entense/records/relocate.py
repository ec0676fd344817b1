"""When files have moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError
from entense.tensors.lazy import Lazy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from polars._typing import PolarsDataType

    from entense.records.frames import Frame

    Change = Callable[[pl.Expr], pl.Expr]


def relocate(frame: Frame, prefixes: Mapping[str, str]) -> Frame:
    """Replace the start of every path: in columns, lists, structs, and the cells of lazy tensors.

    What begins with an old folder is taken for a path, a parameter in a cell too.

    Parameters
    ----------
    frame
        A table of files or records.
    prefixes
        Old folder -> new folder. Whole folders: ``/data`` is no prefix of ``/database/a.nii``. Of
        several that fit the longest counts, and each path is changed once.

    Raises
    ------
    TableError
        An old folder is not an absolute path.

    Examples
    --------
    >>> df = pl.DataFrame({"bold": ["/old/a.nii"], "sex": ["F"]})
    >>> relocate(df, {"/old": "/new"}).rows()
    [('/new/a.nii', 'F')]
    """
    for old in prefixes:
        if not old.startswith("/") and "://" not in old:
            raise TableError(f"{old!r} is not an absolute path: give the whole folder to replace")
    change = _change({old.rstrip("/"): new.rstrip("/") for old, new in prefixes.items()})
    schema = frame.collect_schema()
    moved = {name: _moved(pl.col(name), dtype, change) for name, dtype in schema.items()}
    return frame.with_columns(**{name: value for name, value in moved.items() if value is not None})


def _change(prefixes: Mapping[str, str]) -> Change:
    def change(path: pl.Expr) -> pl.Expr:
        result = path
        for old, new in sorted(prefixes.items(), key=lambda item: len(item[0])):
            inside = (path == old) | path.str.starts_with(f"{old}/")
            moved = pl.concat_str(pl.lit(new), path.str.strip_prefix(old))
            result = pl.when(inside).then(moved).otherwise(result)
        return result

    return change


def _moved(value: pl.Expr, dtype: pl.DataType, change: Change) -> pl.Expr | None:
    """Change every string in a value; None where there is none."""
    if isinstance(dtype, pl.String):
        return change(value)
    if isinstance(dtype, pl.Struct):
        return _moved_fields(value, dtype, change)
    if isinstance(dtype, pl.List):
        inner = _moved(pl.element(), _instance(dtype.inner), change)
        return None if inner is None else value.list.eval(inner)
    if isinstance(dtype, Lazy):
        storage = _moved(value.ext.storage(), _instance(dtype.ext_storage()), change)
        return None if storage is None else storage.ext.to(dtype)
    return None


def _moved_fields(value: pl.Expr, dtype: pl.Struct, change: Change) -> pl.Expr | None:
    fields = {one.name: _instance(one.dtype) for one in dtype.fields}
    each = {name: _moved(value.struct.field(name), kind, change) for name, kind in fields.items()}
    moved = [new.alias(name) for name, new in each.items() if new is not None]
    return pl.when(value.is_not_null()).then(value.struct.with_fields(moved)) if moved else None


def _instance(dtype: PolarsDataType) -> pl.DataType:
    return dtype() if isinstance(dtype, type) else dtype
