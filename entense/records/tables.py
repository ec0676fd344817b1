"""Tables about subjects and sessions: phenotypes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError
from entense.index.entities import ENTITIES, IDENTIFYING
from entense.records.frames import Frame, attach, distinct

if TYPE_CHECKING:
    from collections.abc import Sequence

_BIDS = {"participant_id": "subject", "session_id": "session"}
_SEPARATORS = {".tsv": "\t", ".csv": ","}


def join_table(
    frame: Frame,
    table: str | Path | pl.DataFrame | pl.LazyFrame,
    *,
    on: str | Sequence[str] | None = None,
) -> Frame:
    """Join a table that describes subjects, sessions or any other group of records.

    Every record keeps its place; it gets nulls where the table says nothing about it. ``sub-01``
    and ``01`` are the same subject; ``participant_id`` is ``subject``, ``session_id`` ``session``.

    Parameters
    ----------
    frame
        A record table.
    table
        A ``.tsv``, ``.csv`` or ``.parquet`` file, or a frame. In text, ``n/a`` and nothing are
        null, and types are inferred from the whole file; ids stay text.
    on
        The columns that match; by default those of ``subject`` and ``session`` that both have.

    Raises
    ------
    TableError
        The file is missing or of another kind, no column matches, no record matches, a key is
        there twice, or both have a column of one name.

    Examples
    --------
    >>> records = pl.DataFrame({"subject": ["01", "02"]})
    >>> join_table(records, pl.DataFrame({"participant_id": ["sub-02"], "age": [31]}))["age"][1]
    31
    """
    wanted = [on] if isinstance(on, str) else list(on or [])
    name = "the table" if isinstance(table, pl.DataFrame | pl.LazyFrame) else str(table)
    schema = frame.collect_schema()
    right = _renamed(_read(table, wanted))
    keys = _keys(schema, right, wanted, name)
    right = right.with_columns(_label(key) for key in keys).drop_nulls(keys)
    _check_unique(right, keys, name)
    _check_clash(schema, right, keys, name)
    _check_overlap(frame, right, keys, name)
    return _joined(frame, right, keys)


def _read(table: str | Path | pl.DataFrame | pl.LazyFrame, ids: Sequence[str]) -> pl.DataFrame:
    if isinstance(table, pl.DataFrame | pl.LazyFrame):
        return table.lazy().collect()
    path = Path(table)
    if not path.is_file():
        raise TableError(f"there is no table {path}: check its path")
    if path.suffix not in (".parquet", *_SEPARATORS):
        raise TableError(f"{path} is not a table that can be read: give a .tsv, .csv or .parquet")
    try:
        return pl.read_parquet(path) if path.suffix == ".parquet" else _read_text(path, ids)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise TableError(f"{path} cannot be read as a table ({error}): mend the file") from error


def _read_text(path: Path, ids: Sequence[str]) -> pl.DataFrame:
    separator = _SEPARATORS[path.suffix]
    names = pl.read_csv(path, separator=separator, n_rows=0).columns
    return pl.read_csv(
        path,
        separator=separator,
        null_values=["n/a", ""],
        schema_overrides=dict.fromkeys({*ids, *_BIDS, *IDENTIFYING} & {*names}, pl.String),
        infer_schema_length=None,
    )


def _renamed(table: pl.DataFrame) -> pl.DataFrame:
    names = {old: new for old, new in _BIDS.items() if new not in table.columns}
    return table.rename(names, strict=False)


def _keys(schema: pl.Schema, right: pl.DataFrame, on: Sequence[str], name: str) -> list[str]:
    both = [key for key in _BIDS.values() if key in schema and key in right.columns]
    keys = [_BIDS.get(key, key) for key in on] or both
    missing = [key for key in keys if key not in schema or key not in right.columns]
    if missing or not keys:
        what = ", ".join(missing) if missing else "subject (participant_id) or session (session_id)"
        raise TableError(
            f"{name} and the records do not both have the column {what}: rename it, or say on=...; "
            f"{name} has {', '.join(right.columns)}"
        )
    return keys


def _label(key: str) -> pl.Expr:
    """Bring an id to one form: text, without the prefix that it has in file names."""
    text = pl.col(key).cast(pl.String)
    return text.str.strip_prefix(f"{ENTITIES[key]}-") if key in ENTITIES else text


def _check_unique(right: pl.DataFrame, keys: Sequence[str], name: str) -> None:
    repeated = right.filter(pl.struct(keys).is_duplicated())
    if len(repeated):
        row = repeated.select(keys).row(0)
        which = ", ".join(f"{key} {value!r}" for key, value in zip(keys, row, strict=True))
        raise TableError(
            f"{name} has more than one row for {which}: keep one, or name with on=... all the "
            "columns that tell the rows apart"
        )


def _check_clash(schema: pl.Schema, right: pl.DataFrame, keys: Sequence[str], name: str) -> None:
    clash = [column for column in right.columns if column in schema and column not in keys]
    if clash:
        raise TableError(
            f"{name} and the records both have the column {', '.join(clash)}: rename or drop it in "
            "one of them, or make it a key with on=..."
        )


def _check_overlap(frame: Frame, right: pl.DataFrame, keys: Sequence[str], name: str) -> None:
    left = distinct(frame, keys).with_columns(_label(key) for key in keys)
    if len(left) and left.join(right, on=keys, how="semi").is_empty():
        raise TableError(
            f"{name} says nothing about any record: it has {', '.join(keys)} {_some(right, keys)}, "
            f"the records have {_some(left, keys)}; use one form, or other columns with on=..."
        )


def _some(table: pl.DataFrame, keys: Sequence[str]) -> str:
    rows = table.select(keys).head(3).rows()
    return ", ".join("/".join(map(str, row)) for row in rows) or "none"


def _joined(frame: Frame, right: pl.DataFrame, keys: Sequence[str]) -> Frame:
    names = {key: f"{key} of the table" for key in keys}  # the records' own keys stay as they are
    left = frame.with_columns(_label(key).alias(name) for key, name in names.items())
    return attach(left, right.rename(names), list(names.values())).drop(names.values())
