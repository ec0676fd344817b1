"""The scheme ``lists``: the split of each group is written down."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.errors import TableError
from entense.records.tables.labels import counted, label, listed
from entense.records.tables.sets import BIDS_IDS, table_sets

if TYPE_CHECKING:
    from entense.records.splitting.groups import Groups

_LOG = logging.getLogger("entense")


def by_lists(groups: Groups, given: Any, seed: int) -> list[str]:
    """Look each group up; labels are the same with and without prefix (``sub-01``, ``01``)."""
    if groups.classes.width or groups.means.width:
        raise TableError("lists say where each group goes: leave out stratify and representative")
    keys = groups.keys.columns
    table = _read(given, keys).select(*map(label, keys), pl.col("split").cast(pl.String)).unique()
    wanted = groups.keys.select(map(label, keys))
    found = wanted.unique().join(table.drop_nulls(), on=keys, how="left")
    _check(found, keys)
    if len(absent := table.join(wanted, on=keys, how="anti")):
        _LOG.warning(
            "%d of the groups in the lists of splits have no record: %s",
            *(len(absent), listed(_names(absent, keys))),
        )
    return wanted.join(found, on=keys, how="left", maintain_order="left")["split"].to_list()


def _read(given: Any, keys: list[str]) -> pl.DataFrame:
    if isinstance(given, Mapping):
        return pl.concat(_rows(name, groups, keys) for name, groups in given.items())
    if not isinstance(given, str | Path | pl.DataFrame | pl.LazyFrame):
        raise TableError(
            'fractions or lists are due, {"train": 0.8, …} or {"train": ["01"], …}, '
            f"not {given!r}"
        )
    [one] = table_sets(given)
    names = {old: new for old, new in BIDS_IDS.items() if old in one.rows and new not in one.rows}
    table = one.rows.rename(names)
    if missing := [name for name in (*keys, "split") if name not in table]:
        raise TableError(
            f"{one.name} has no column {listed(missing)}: a table of splits has a row a group, and "
            f"the columns {', '.join(keys)} and split"
        )
    return table


def _rows(split: str, groups: Any, keys: list[str]) -> pl.DataFrame:
    """Return a list of groups as rows; of several columns a group is a tuple."""
    if isinstance(groups, str) or not isinstance(groups, Iterable):
        raise TableError(
            f"the split {split!r} needs a list of groups where others have one, not {groups!r}"
        )
    rows = [tuple(group) if isinstance(group, tuple | list) else (group,) for group in groups]
    if wrong := [row for row in rows if len(row) != len(keys)]:
        raise TableError(f"{wrong[0]!r} in {split!r} names no group: say its {', '.join(keys)}")
    texts = [[str(value) for value in row] for row in rows]
    table = pl.DataFrame(texts, dict.fromkeys(keys, pl.String), orient="row")
    return table.with_columns(split=pl.lit(split))


def _check(found: pl.DataFrame, keys: list[str]) -> None:
    unlisted = found.filter(pl.col("split").is_null())
    if len(unlisted):
        raise TableError(
            f"{counted(len(unlisted), 'group is', 'groups are')} in no list of a split: "
            f"{listed(_names(unlisted, keys))}; list them, or leave their records out (filter)"
        )
    twice = found.filter(pl.struct(keys).is_duplicated())
    if len(twice):
        raise TableError(
            f"{counted(twice.select(keys).n_unique(), 'group is', 'groups are')} in two lists: "
            f"{listed(_names(twice, keys))}; leave each in one"
        )


def _names(table: pl.DataFrame, keys: list[str]) -> list[str]:
    return table.select(pl.concat_str(keys, separator="_")).to_series().unique().sort().to_list()
