"""What the sidecars say of the data."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.errors import RecordError, TableError, hint
from entense.records.contents import Content, read_files
from entense.records.frames import Frame, roles_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from polars._typing import PolarsDataType

    Said = dict[str, Any]  # path -> a value, or the RecordError that says why there is none
    Column = Callable[[Said], pl.Series]

_SHOWN = 3


def facts(frame: Frame, role: str, /, **fields: PolarsDataType) -> Frame:
    """Append what the sidecars of a role say: a column ``role_field`` for each field.

    The nearest sidecar that has a field counts, by BIDS inheritance. Of a LazyFrame the files are
    read when, and only if, the column is used.

    Parameters
    ----------
    frame
        A record table.
    role
        A role of it.
    **fields
        Key of the JSON files -> type of the column, which is null where no sidecar has the key.

    Raises
    ------
    TableError
        There is no such role, a column is there already, or a type is none of Polars'.
    RecordError
        When the column is read: a sidecar cannot be, or it holds a value of another type.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "bold.json")
    ...     _ = path.write_text('{"EchoTime": 0.03}')
    ...     df = pl.DataFrame({"bold": ["bold.nii"], "bold_sidecar": [[str(path)]]})
    ...     facts(df, "bold", EchoTime=pl.Float64)["bold_EchoTime"].item()
    0.03
    """
    _check(frame.collect_schema(), role, fields)
    return frame.with_columns(
        _lazily(f"{role}_sidecar", field, dtype, _strictly(field, dtype)).alias(f"{role}_{field}")
        for field, dtype in fields.items()
    )


def repetition_time(sidecar: str) -> pl.Expr:
    """Read the repetition time (Float64, seconds) of records when, and only if, it is used.

    Null where no sidecar has it, NaN where one that may have it cannot be read.

    Parameters
    ----------
    sidecar
        A column of lists of paths, nearest first.

    Examples
    --------
    >>> df = pl.DataFrame({"sidecar": [["/no/such.json"], None]})
    >>> df.select(repetition_time("sidecar"))["sidecar"].to_list()
    [nan, None]
    """
    return _lazily(sidecar, "RepetitionTime", pl.Float64(), _seconds)


def _check(schema: pl.Schema, role: str, fields: Mapping[str, object]) -> None:
    roles = roles_of(schema)
    if role not in roles:
        raise TableError(f"there is no role {role!r}; {hint(role, roles)}")
    if schema[f"{role}_sidecar"] not in (pl.List(pl.String), pl.Null):
        raise TableError(f"the sidecars of {role!r} are not those of one record: call facts sooner")
    for field, dtype in fields.items():
        if f"{role}_{field}" in schema:
            raise TableError(f"there is a column {role}_{field} already: rename or drop it")
        if not isinstance(dtype, pl.DataType | type(pl.DataType)):
            raise TableError(f"the type of {field!r} is none of Polars', such as pl.Float64")


def _lazily(sidecar: str, field: str, dtype: PolarsDataType, column: Column) -> pl.Expr:
    def read(lists: pl.Series) -> pl.Series:
        return _nearest(lists.cast(pl.List(pl.String)), field, dtype, column)

    # declared elementwise, so that a filter is applied before files are read and not after
    return pl.col(sidecar).map_batches(read, return_dtype=dtype, is_elementwise=True)


def _nearest(lists: pl.Series, field: str, dtype: PolarsDataType, column: Column) -> pl.Series:
    """Take of each list what its first file that has the field says, and read no more files."""
    value = pl.col("value")
    rows = pl.DataFrame({"paths": lists}).with_columns(value=pl.lit(None, dtype))
    longest = rows.select(pl.col("paths").list.len().max()).item() or 0
    for level in range(longest):
        path = pl.col("paths").list.get(level, null_on_oob=True)
        rows = rows.with_columns(path=pl.when(value.is_null()).then(path))
        said = _said(rows["path"].drop_nulls().unique(maintain_order=True).to_list(), field)
        read = pl.DataFrame({"path": pl.Series([*said], dtype=pl.String), "new": column(said)})
        rows = rows.join(read, on="path", how="left", maintain_order="left")
        rows = rows.select("paths", value=pl.coalesce("value", "new"))
    return rows["value"].alias(lists.name)


def _said(paths: list[str], field: str) -> Said:
    return read_files(paths, partial(_value, field))


def _value(field: str, path: str, content: Content) -> object:
    if isinstance(content, RecordError):
        return content
    try:
        return json.loads(content)[field]
    except KeyError:
        return None
    except (ValueError, TypeError, RecursionError) as error:
        return RecordError(f"{path}: is not a JSON file of key and value ({error}); mend it")


def _seconds(said: Said) -> pl.Series:
    return pl.Series([_second(value) for value in said.values()], dtype=pl.Float64)


def _second(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (ValueError, TypeError, OverflowError):
        return float("nan")  # whoever needs it says so, naming the file


def _strictly(field: str, dtype: PolarsDataType) -> Column:
    def column(said: Said) -> pl.Series:
        unfit = {path: value for path, value in said.items() if not _fits(value, dtype)}
        if unfit:
            raise _unfit(unfit, field, dtype)
        return pl.Series(list(said.values()), dtype=dtype)

    return column


def _fits(value: object, dtype: PolarsDataType) -> bool:
    if isinstance(value, RecordError) or (isinstance(value, bool) and dtype != pl.Boolean):
        return False
    try:
        pl.Series([value], dtype=dtype)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        return False
    return True


def _unfit(said: Said, field: str, dtype: PolarsDataType) -> RecordError:
    each = [
        str(value) if isinstance(value, RecordError) else f"{path}: has {field} {value!r:.60}"
        for path, value in said.items()
    ]
    more = f"; and {len(each) - _SHOWN} more" if len(each) > _SHOWN else ""
    return RecordError(
        f"{'; '.join(each[:_SHOWN])}{more}: {field} cannot be read as {dtype}; mend the files, ask "
        "for another type, or leave their records out"
    )
