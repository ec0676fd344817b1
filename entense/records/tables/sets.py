"""What `join_table` was given, as tables: files found, and those of subjects put together."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from entense.errors import RecordError, TableError
from entense.index.entities import ENTITIES, IDENTIFYING
from entense.index.fetch import is_url, name_of
from entense.records.tables.files import ending, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMED = " of the name"
BIDS_IDS = {"participant_id": "subject", "session_id": "session"}
FILE, ROW = "file of the table", "row of the table"


def named(entity: str) -> str:
    """Return the column that holds what the name of a file, or of a scan, says of an entity."""
    return entity + NAMED


class TableSet(NamedTuple):
    """One table to join, from one file, from a file a subject, or given as a frame.

    Parameters
    ----------
    name
        What it is called in messages.
    rows
        Its rows, with `FILE` and `ROW` (from 1) of each, and `named` entities where names tell.
    files
        The files, for their sidecars; none for a frame.
    text
        Whether all cells are still text.
    scans
        Whether ``filename`` says what a row is about.
    """

    name: str
    rows: pl.DataFrame
    files: tuple[str, ...] = ()
    text: bool = False
    scans: bool = False


def table_sets(
    table: str | Path | pl.DataFrame | pl.LazyFrame | Sequence[str | Path],
) -> list[TableSet]:
    """Read what is to be joined, in the order in which it was given.

    Raises
    ------
    TableError
        A file is missing, a folder, of another kind or damaged, or nothing was given.

    Examples
    --------
    >>> [only] = table_sets(pl.DataFrame({"subject": ["01", "02"]}))
    >>> only.name, only.rows[ROW].to_list()
    ('the table', [1, 2])
    """
    if isinstance(table, pl.DataFrame | pl.LazyFrame):
        rows = _placed(table.lazy().collect(), "the table")
        return [_with_scans(TableSet("the table", rows))]
    groups: dict[str, list[str]] = {}
    for file in _files(table):
        groups.setdefault(_suffix(file) if _of_subject(file) else file, []).append(file)
    return [_of_files(files) for files in groups.values()]


def _files(table: str | Path | Iterable[str | Path]) -> list[str]:
    given = [table] if isinstance(table, str | Path) else table
    if not isinstance(given, Iterable):
        raise TableError(f"join_table takes a file, files or a frame, not {table!r}")
    found = dict.fromkeys(file for one in given for file in _found(str(one)))
    if not found:
        raise TableError("join_table was given an empty list of files; name at least one")
    return list(found)


def _found(place: str) -> list[str]:
    if is_url(place) or not glob.has_magic(place) or Path(place).exists():
        return [place]
    found = sorted(glob.glob(place, recursive=True))  # noqa: PTH207
    if not found:
        raise TableError(f"no file is named like {place}: check the pattern")
    return found


def _of_subject(file: str) -> bool:
    return name_of(file).startswith("sub-")


def _suffix(file: str) -> str:
    return name_of(file).rpartition("_")[2].removesuffix(ending(file))


def _of_files(files: list[str]) -> TableSet:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    parts = [_placed(_read(file), file) for file in files]
    rows = pl.concat(parts, how="diagonal_relaxed")
    if _of_subject(files[0]):
        rows = rows.with_columns(_entities(FILE))
    text = any(ending(file) != ".parquet" for file in files)
    return _with_scans(TableSet(f"{files[0]}{more}", rows, tuple(files), text))


def _read(file: str) -> pl.DataFrame:
    if not is_url(file) and not Path(file).exists() and not Path(file).is_symlink():
        raise TableError(f"there is no table {file}: check its path")
    try:
        return read_table(file)
    except RecordError as error:
        raise TableError(str(error)) from error


def _placed(rows: pl.DataFrame, file: str) -> pl.DataFrame:
    return rows.with_row_index(ROW, offset=1).with_columns(pl.lit(file).alias(FILE))


def _with_scans(one: TableSet) -> TableSet:
    if not _lists_scans(one.rows):
        return one
    suffix = pl.col("filename").str.extract(r"_([^-_./]+)\.[^/]+$").alias(named("suffix"))
    return one._replace(
        rows=one.rows.with_columns(*_entities("filename", FILE), suffix), scans=True
    )


def _lists_scans(rows: pl.DataFrame) -> bool:
    if rows.schema.get("filename") != pl.String or {"participant_id", "subject"} & {*rows.columns}:
        return False
    return bool(rows["filename"].str.contains(r"(^|/)sub-[^/]+$").any())


def _entities(*paths: str) -> list[pl.Expr]:
    """Read the identifying entities of names, each under its `named` column; the first to tell."""
    names = [pl.lit("_") + pl.col(path).str.extract(r"([^/]+)$") for path in paths]
    return [
        pl.coalesce(name.str.extract(f"_{ENTITIES[one]}-([^_./]+)") for name in names).alias(
            named(one)
        )
        for one in IDENTIFYING
    ]
