"""Which files belong to which record."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import polars as pl

from entense.index.entities import IDENTIFYING
from entense.records.staging.queries import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entense.records.staging.roles import Wanted

ROW = "_row"
_Part = tuple["pl.DataFrame", "list[str]"]  # rows, and the entities that all of them have


def match(wanted: Sequence[Wanted]) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Group files into records.

    Parameters
    ----------
    wanted
        The roles; the first is the anchor.

    Returns
    -------
    tuple
        The records: ``_row``, ``dataset`` and the identifying entities, in order. And for each
        role its pairs: ``_row``, ``_file``, and ``tied`` where others fit a place equally well.

    Examples
    --------
    >>> from entense.index.entities import FILE_SCHEMA
    >>> from entense.records.staging.roles import read_roles
    >>> match(read_roles(pl.DataFrame(schema=FILE_SCHEMA), {"bold": {}}))[1][0].columns
    ['_row', '_file', 'tied']
    """
    anchor, *others = wanted
    records, own = _records(anchor)
    return records, [own, *(_fill(records, one) for one in others)]


def _records(anchor: Wanted) -> tuple[pl.DataFrame, pl.DataFrame]:
    # the files are in order, so that those of one record follow each other
    keys = [number(name, pl.col(name)) for name in ("dataset", *IDENTIFYING)]
    new = pl.any_horizontal(key.ne_missing(key.shift()) for key in keys)
    files = anchor.files.with_columns(new.cum_sum().alias(ROW))
    records = files.unique(ROW, keep="first", maintain_order=True)
    return records.select(ROW, "dataset", *IDENTIFYING), _marked(files, anchor)


def _fill(records: pl.DataFrame, role: Wanted) -> pl.DataFrame:
    """Pair each record with the files that contradict none of its entities."""
    entities = [number(name, pl.col(name)) for name in role.matched]
    ours = records.select(ROW, "dataset", *entities)
    bonus = pl.col("datatype").eq_missing("func").cast(pl.Int32)
    theirs = role.files.select("_file", "dataset", *entities, *role.slot, score=bonus)
    named = [name for name in role.matched if name in role.query]
    parts = product(_by_what_they_have(ours, role), _by_what_they_have(theirs, role))
    columns = [ROW, "_file", "score", *role.slot]
    pairs = pl.concat(_joined(left, right, named).select(columns) for left, right in parts)
    return _marked(pairs if role.role.many else _best(pairs, role), role)


def _by_what_they_have(rows: pl.DataFrame, role: Wanted) -> list[_Part]:
    """Part rows by the entities that they have: what both sides have can be joined on."""
    gaps = [name for name in role.binding if rows[name].null_count()]
    bits = (pl.col(name).is_null().cast(pl.UInt32) * 2**i for i, name in enumerate(gaps))
    marked = rows.with_columns(_gaps=pl.sum_horizontal(pl.lit(0, pl.UInt32), *bits))
    parts = marked.partition_by("_gaps", include_key=False) if gaps else [rows]
    return [(part, [n for n in role.binding if not part[n].null_count()]) for part in parts]


def _joined(ours: _Part, theirs: _Part, named: Sequence[str]) -> pl.DataFrame:
    (left, have), (right, they_have) = ours, theirs
    exact = [name for name in have if name in they_have]
    same = [(pl.col(name) == pl.col(f"{name}_right")).fill_null(False) for name in named]
    shared = pl.sum_horizontal(pl.lit(len(exact), pl.Int32), *same)
    pairs = left.join(right, on=["dataset", *exact])
    return pairs.with_columns((pl.col("score") + 2 * shared).cast(pl.Int32))


def _best(pairs: pl.DataFrame, role: Wanted) -> pl.DataFrame:
    score = pl.col("score")
    return pairs.filter(score == score.max().over(ROW, *role.slot))


def _marked(pairs: pl.DataFrame, role: Wanted) -> pl.DataFrame:
    several = pl.len().over(ROW, *role.slot) > 1
    return pairs.select(ROW, "_file", tied=pl.lit(False) if role.role.many else several)
