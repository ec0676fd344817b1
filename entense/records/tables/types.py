"""The types of a table's columns: inferred from the whole, or told by its sidecar."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError
from entense.files import local, version_of
from entense.index.entities import IDENTIFYING
from entense.index.fetch import is_url
from entense.records.tables.files import ending, typed
from entense.records.tables.labels import listed
from entense.records.tables.sets import BIDS_IDS, FILE, ROW, TableSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LOG = logging.getLogger("entense")
_MISSING = (
    *("na", "n.a.", "n/a", "nan", "nil", "none", "null", "#n/a", "#null!", "missing", "unknown"),
    *("unk", "nd", "n.d.", "tbd", "not available", "not applicable", "not known", "inf"),
)


def with_types(one: TableSet, rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Type the columns of a table that are not ids.

    Parameters
    ----------
    one
        The table: where its sidecars are, and whether its cells are text.
    rows
        Its rows.
    keys
        Columns to leave alone.

    Examples
    --------
    >>> rows = pl.DataFrame({"subject": ["01"], "age": ["30"]})
    >>> with_types(TableSet("a.tsv", rows, text=True), rows, []).row(0)
    ('01', 30)
    """
    levels = _levels(one.files)
    columns = [rows[name] for name in _values(rows, keys)]
    enums = [_enum(c, *levels[c.name]) for c in columns if c.name in levels]
    others = [typed(c) for c in columns if one.text and c.name not in levels]
    return rows.with_columns(*enums, *others)


def _values(rows: pl.DataFrame, keys: Iterable[str]) -> list[str]:
    left = {*keys, *BIDS_IDS, *IDENTIFYING, FILE, ROW}
    return [name for name in rows.columns if name not in left]


def _enum(column: pl.Series, levels: Sequence[str], sidecar: str) -> pl.Series:
    text = column.cast(pl.String)
    whole = text.str.replace(r"^(-?\d+)\.0+$", "${1}")  # a code beside a gap: many write 1 as 1.0
    text = text.zip_with(text.is_in(levels) | ~whole.is_in(levels), whole)
    others = sorted({*text.drop_nulls()} - {*levels})
    if others:
        message = "%s lists no level %s for the column %s: appended to its levels"
        _LOG.warning(message, sidecar, listed(others), column.name)
    return text.cast(pl.Enum([*levels, *others]))


def _levels(files: Iterable[str]) -> dict[str, tuple[list[str], str]]:
    """Return column -> its levels, in order, and the sidecar that lists them first."""
    found: dict[str, tuple[list[str], str]] = {}
    for sidecar in dict.fromkeys(place for file in files for place in _sidecars(file)):
        for column, levels in _read_levels(sidecar).items():
            before, first = found.get(column, ([], sidecar))
            found[column] = (list(dict.fromkeys([*before, *levels])), first)
    return found


def _sidecars(table: str) -> list[str]:
    """Return the JSON files that may speak of a table; a dataset's ``sessions.json`` is for all."""
    if is_url(table):
        beside = table.replace(ending(table), ".json", 1)
        return [beside] if version_of(beside) else []
    file = Path(table)
    stem = file.name.removesuffix(ending(file))
    places = [file.with_name(f"{stem}.json")]
    if stem.startswith("sub-"):
        above = (
            one for one in file.absolute().parents if not one.name.startswith(("sub-", "ses-"))
        )
        places.append(next(above) / f"{stem.rpartition('_')[2]}.json")
    return [str(place) for place in places if place.is_file()]


def _read_levels(sidecar: str) -> dict[str, list[str]]:
    try:
        with local(sidecar) as place:
            content = json.loads(place.read_bytes())
        described = {name: one for name, one in content.items() if isinstance(one, dict)}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise TableError(f"{sidecar} cannot be read ({error}): mend it, or move it away") from error
    listing = {name: one.get("Levels") for name, one in described.items()}
    return {
        name: [str(level) for level in levels]
        for name, levels in listing.items()
        if levels and isinstance(levels, dict | list)
    }


def check_second_header(name: str, rows: pl.DataFrame, heads: pl.DataFrame) -> None:
    """Refuse a first row that describes the columns instead of a record (as NDA's tables have it).

    It is one where it has words in a column that holds numbers below, has no number in any other
    such column, and is about no record.

    Parameters
    ----------
    name
        What the table is called.
    rows
        All rows, as text.
    heads
        The first rows of files that are about no record.

    Raises
    ------
    TableError
        There is a second header row.

    Examples
    --------
    >>> rows = pl.DataFrame({FILE: ["a", "a"], ROW: [1, 2], "age": ["in years", "30"]})
    >>> check_second_header("a", rows, rows[:1])
    Traceback (most recent call last):
    ...
    entense.errors.TableError: a has a second header row (age: 'in years'), which turns numbers to \
text: delete that row
    """
    rest = rows.join(heads, on=[FILE, ROW], how="anti")
    numbers = [n for n in _values(rows, ()) if _numeric(rest[n])]
    turned = [n for n in numbers if not _numeric(rows[n])]
    numbered = pl.any_horizontal(
        pl.lit(False), *(pl.col(n).is_not_null() for n in numbers if n not in turned)
    )
    for head in heads.filter(~numbered).iter_rows(named=True):
        if said := [f"{n}: {head[n]!r}" for n in turned if _is_words(head[n])]:
            raise TableError(
                f"{name} has a second header row ({listed(said)}), which turns numbers to text: "
                "delete that row"
            )


def _numeric(text: pl.Series) -> bool:
    return typed(text).dtype.is_numeric()


def _is_words(cell: str | None) -> bool:
    bare = (cell or "").strip().lower()
    return bare not in _MISSING and any(one.isalpha() or one in "%°" for one in bare)
