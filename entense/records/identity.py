"""The id of a record: what it is called in archives."""

from __future__ import annotations

import polars as pl

from entense.errors import TableError
from entense.index.entities import ENTITIES, IDENTIFYING

_UNSAFE = r"[^A-Za-z0-9_+-]"


def with_record_id(df: pl.DataFrame) -> pl.DataFrame:
    """Add the column ``record``: the dataset and the identifying entities that are there.

    A column ``trial`` adds its number, ``_trial-0003``; what is a list or a tensor is left
    out. Any character outside ``[A-Za-z0-9_+-]`` becomes ``-``. A table that has a column
    ``record`` keeps its own, checked.

    Parameters
    ----------
    df
        A record table.

    Raises
    ------
    TableError
        Two records have one id, or an id is missing or holds other characters.

    Examples
    --------
    >>> df = pl.DataFrame({"dataset": "ds 1", "subject": "01", "session": None, "task": "rest"})
    >>> with_record_id(df)["record"].to_list()
    ['ds-1_sub-01_task-rest']
    """
    if isinstance(df.schema.get("record"), pl.List):
        raise TableError(
            "the column 'record' holds lists, as pivot makes them: rename it, or drop it and the "
            "records are named after what is left"
        )
    is_own = "record" in df.columns
    told = pl.col("record").cast(pl.String) if is_own else _in_full(df.schema)
    names = df.select(told.alias("record"))["record"]
    ids = names if is_own else names.str.replace_all(_UNSAFE, "-")
    _check(ids, names)
    return df.with_columns(ids)


def record_name(schema: pl.Schema) -> pl.Expr:
    """Put together the name of a record, of the columns that are there.

    Raises
    ------
    TableError
        There is nothing to make it of.

    Examples
    --------
    >>> df = pl.DataFrame({"subject": "01", "run": [["1", "2"]], "trial": 3})
    >>> df.select(record_name(df.schema)).item()
    'sub-01_trial-0003'
    """
    return _in_full(schema).str.replace_all(_UNSAFE, "-")


def _in_full(schema: pl.Schema) -> pl.Expr:
    """Put it together with all the characters that it has."""
    single = [n for n, kind in schema.items() if not isinstance(kind, pl.List | pl.BaseExtension)]
    entities = [name for name in IDENTIFYING if name in single]
    parts = [pl.concat_str(pl.lit(f"{ENTITIES[name]}-"), name) for name in entities]
    if "dataset" in single:
        parts.insert(0, pl.col("dataset").cast(pl.String))
    if "trial" in single:
        number = pl.col("trial").cast(pl.String).str.zfill(4)
        parts.append(pl.concat_str(pl.lit("trial-"), number))
    if not parts:
        raise TableError(
            "the records have no names: the table has neither the column 'dataset' nor an entity; "
            "add a column 'record'"
        )
    return pl.concat_str(parts, separator="_", ignore_nulls=True)


def _check(ids: pl.Series, names: pl.Series) -> None:
    if ids.null_count() or "" in ids:
        raise TableError("a record has no name: fill the column 'record' in every row")
    unsafe = ids.filter(ids.str.contains(_UNSAFE))
    if len(unsafe):
        raise TableError(
            f"the record {unsafe[0]!r} has a name that no file can have: keep to letters, digits, "
            "'_', '+' and '-'"
        )
    repeated = ids.filter(ids.is_duplicated())
    if len(repeated):
        raise _repeat(repeated[0], names.filter(ids == repeated[0]))


def _repeat(name: str, names: pl.Series) -> TableError:
    """Say whether records are one, or became one when their characters were replaced."""
    told = names.unique(maintain_order=True)
    if len(told) > 1:
        return TableError(
            f"the record {name!r} is there {len(names)} times, as '-' stands for other characters "
            f"than letters, digits, '_' and '+' in {told[0]!r} and {told[1]!r}: add a column "
            "'record' that tells them apart"
        )
    return TableError(
        f"the record {name!r} is there {len(names)} times: give two studies two names "
        "(et.scan(…, dataset=)), drop repeats, or add a column 'record' that tells them apart"
    )
