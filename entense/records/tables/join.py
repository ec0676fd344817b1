"""Tables about subjects, sessions and scans, joined to the records that they speak of."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import polars as pl
from polars import selectors as cs

from entense.errors import TableError
from entense.index.entities import ENTITIES, IDENTIFYING
from entense.records.frames import Frame, attach
from entense.records.tables.labels import label, listed
from entense.records.tables.sets import BIDS_IDS, FILE, NAMED, ROW, TableSet, named, table_sets
from entense.records.tables.types import check_second_header, with_types

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_LOG = logging.getLogger("entense")
KEY = " of the record"
DATASET = "dataset"


def join_table(
    frame: Frame,
    table: str | Path | pl.DataFrame | pl.LazyFrame | Sequence[str | Path],
    *,
    on: str | Sequence[str] | None = None,
) -> Frame:
    """Join a table that describes subjects, sessions, scans or any other group of records.

    Every record keeps its place; it gets nulls where the table says nothing about it. ``sub-01``
    and ``01`` are the same subject; ``participant_id`` is ``subject``, ``session_id`` ``session``.
    How many records have no row, and how many rows no record, is logged to ``entense``.

    Parameters
    ----------
    frame
        A record table.
    table
        A ``.tsv``, ``.csv`` (gzipped or not) or ``.parquet`` file, a pattern of files
        (``phenotype/*.tsv``), a list of files, or a frame. Files named after a subject
        (``sub-01/sub-01_sessions.tsv``) are put one under the other and know the entities of their
        names; others are joined one after the other. In text, ``n/a`` and nothing are null, and
        types are inferred from the whole file; ids stay text. A column with ``Levels`` in the JSON
        beside the file becomes an Enum of these.
    on
        The columns that match; by default those of ``subject`` and ``session`` that both have.
        Tables of scans, where ``filename`` names them, and files of subjects match on all
        identifying entities that both have. Of scans, the functional ones count where records have
        tasks, else the others.

    Raises
    ------
    TableError
        A file is missing, damaged or of another kind, no column matches, no record matches, a key
        is there twice or is of subjects of several datasets, both have a column of one name, or a
        second header row follows the first.

    Examples
    --------
    >>> records = pl.DataFrame({"subject": ["01", "02"]})
    >>> people = pl.DataFrame({"participant_id": ["sub-01", "sub-02"], "age": [30, 31]})
    >>> join_table(records, people)["age"].to_list()
    [30, 31]
    """
    given = [on] if isinstance(on, str) else list(on or [])
    wanted: list[str] = [BIDS_IDS.get(key, key) for key in given]
    there = [key for key in frame.collect_schema() if key in {DATASET, *IDENTIFYING, *wanted}]
    records = frame.lazy().select(there).collect()
    for one in table_sets(table):
        frame = _join(frame, records, one, wanted)
    return frame


def _join(frame: Frame, records: pl.DataFrame, one: TableSet, wanted: Sequence[str]) -> Frame:
    rows = _about(records, one)
    keys = _keys(records, rows, wanted, one.name)
    left = records.select(_key(key, key) for key in keys)  # the records' own ids stay as they are
    right = _table(one, rows, left, keys)
    _check_one_dataset(records, left, right, one.name)
    _check_unique(right, left.columns, one.name)
    _check_clash(frame.collect_schema(), right, one.name)
    _report(left, right, one.name)
    keyed = frame.with_columns(_key(key, key) for key in keys)
    return attach(keyed, right.drop(FILE, ROW), left.columns).drop(left.columns)


def _table(
    one: TableSet, rows: pl.DataFrame, left: pl.DataFrame, keys: Mapping[str, str]
) -> pl.DataFrame:
    """Key the rows as the records are, and type their columns."""
    on = left.columns
    right = rows.with_columns(_key(*item) for item in keys.items())
    right = right.drop(cs.ends_with(NAMED) | cs.by_name(*keys.values()))
    if one.text:
        heads = right.join(left, on=on, how="anti").filter(pl.col(ROW) == 1)
        check_second_header(one.name, right, heads)
    right = with_types(one, right, on)
    if one.scans:  # the echoes of one scan have a row each
        return right.unique(cs.exclude("filename", ROW), keep="first", maintain_order=True)
    return right


def _about(records: pl.DataFrame, one: TableSet) -> pl.DataFrame:
    """Return the rows that can be about records: of scans, those with a task or those without."""
    rows, task = one.rows, pl.col(named("task"))
    if one.scans and _filled(records, "task"):
        # a reference image goes by the name of its series
        rows = rows.filter(task.is_not_null(), pl.col(named("suffix")) != "sbref")
    elif one.scans:
        rows = rows.filter(task.is_null())
    return rows.select(n for n in rows.columns if not n.endswith(NAMED) or _filled(rows, n))


def _filled(table: pl.DataFrame, column: str) -> bool:
    return column in table and (table.is_empty() or table[column].null_count() < table.height)


def _keys(
    records: pl.DataFrame, rows: pl.DataFrame, wanted: Sequence[str], name: str
) -> dict[str, str]:
    """Return the columns that match: the records' -> the table's."""
    told = [key for key in IDENTIFYING if key in BIDS_IDS.values() or named(key) in rows]
    sources = {key: _source(key, rows) for key in wanted or told}
    found = {key: source for key, source in sources.items() if source and key in records}
    if not wanted:
        found = {key: s for key, s in found.items() if key == "subject" or _filled(records, key)}
    missing = [key for key in wanted if key not in found]
    if missing or not found:
        what = ", ".join(missing) if missing else "subject (participant_id) or session (session_id)"
        there = [n for n in rows.columns if not n.endswith(NAMED) and n not in (FILE, ROW)]
        raise TableError(
            f"{name} and the records do not both have the column {what}: rename it, or say on=...; "
            f"{name} has {', '.join(there)}"
        )
    return found


def _source(key: str, rows: pl.DataFrame) -> str | None:
    bids = [old for old, new in BIDS_IDS.items() if new == key]
    return next((name for name in (named(key), key, *bids) if name in rows), None)


def _key(key: str, column: str) -> pl.Expr:
    """Bring an id to one form. What is absent in both is the same, unless it is the subject."""
    text = label(key, pl.col(column)).alias(f"{key}{KEY}")
    return text.fill_null("") if key in ENTITIES and key != "subject" else text


def _check_one_dataset(
    records: pl.DataFrame, left: pl.DataFrame, right: pl.DataFrame, name: str
) -> None:
    """Raise where a row would go to subjects of two datasets: they are not one person."""
    keys = left.columns
    if DATASET not in records.columns or "subject" not in map(_plain, keys):
        return
    found = left.with_columns(records[DATASET]).join(right, on=keys, how="semi").unique()
    several = found.filter(pl.struct(keys).is_duplicated()).sort(*keys, DATASET)
    if DATASET in map(_plain, keys) or several.is_empty():
        return
    those = several.join(several.head(1), on=keys, how="semi")[DATASET].sort()
    raise TableError(
        f"{name} does not say of which dataset its {_ids(several.head(1), keys)} is, and there is "
        f"one in {listed(those)}: join it to the records of its own dataset, before pl.concat, or "
        'give it a column dataset and say on=["dataset", "subject"]'
    )


def _check_unique(right: pl.DataFrame, keys: Sequence[str], name: str) -> None:
    repeated = right.drop_nulls(keys).filter(pl.struct(keys).is_duplicated())
    if repeated.is_empty():
        return
    same = repeated.join(repeated.head(1), on=keys, how="semi", maintain_order="left")
    which = ", ".join(f"{_plain(key)} {same[key][0]!r}" for key in keys)
    rows = [f"row {row}" for row in same[ROW]]
    if same[FILE].n_unique() > 1:
        rows = [f"{file} {row}" for file, row in zip(same[FILE], rows, strict=True)]
    raise TableError(
        f"{name} has more than one row for {which} ({listed(rows)}): keep one, or name with on=... "
        "all the columns that tell the rows apart"
    )


def _plain(key: str) -> str:
    return key.removesuffix(KEY)


def _check_clash(schema: pl.Schema, right: pl.DataFrame, name: str) -> None:
    if clash := [column for column in right.columns if column in schema]:
        raise TableError(
            f"{name} and the records both have the column {', '.join(clash)}: rename or drop it in "
            "one of them, or make it a key with on=..."
        )


def _report(left: pl.DataFrame, right: pl.DataFrame, name: str) -> None:
    """Count what has no match; where nothing has one, it is an error."""
    keys = left.columns
    lost, idle = left.join(right, on=keys, how="anti"), right.join(left, on=keys, how="anti")
    if left.is_empty() or (lost.is_empty() and idle.is_empty()):
        return
    if right.is_empty():
        raise TableError(f"{name} has no rows about such records: copy it again, or leave it out")
    zeros = _zeros(lost, idle, keys)
    if lost.height == left.height:
        raise TableError(
            f"{name} says nothing about any record: it has {_ids(right, keys)}, the records have "
            f"{_ids(left, keys)}; use one form, or other columns with on=...{zeros}"
        )
    parts = [
        f"{rows.height} of {whole.height} {what} ({_ids(rows, keys)})"
        for rows, whole, what in (
            (lost, left, "records have no row"),
            (idle, right, "rows have no record"),
        )
        if rows.height
    ]
    _LOG.warning("%s: %s%s", name, "; ".join(parts), zeros)


def _ids(rows: pl.DataFrame, keys: Sequence[str], most: int = 5) -> str:
    """Name the keys and their first few distinct values: ``subject, session 01/a, 02/a``."""
    labels = rows.select(keys).unique(maintain_order=True).head(most + 1)
    shown = ["/".join(part for part in row if part) or None for row in labels.iter_rows()]
    return f"{', '.join(map(_plain, keys))} {listed(shown, most)}"


def _zeros(lost: pl.DataFrame, idle: pl.DataFrame, keys: Sequence[str]) -> str:
    bare = [pl.col(key).str.strip_chars_start("0") for key in keys]
    alike = lost.select(bare).join(idle.select(bare), on=keys, how="semi")
    return "" if alike.is_empty() else "; ids are text, in which 01 is not 1: write them alike"
