"""Add to each record the split, or the fold, of its group."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.errors import TableError
from entense.records.frames import Frame, attach
from entense.records.splitting.groups import as_columns, groups_of
from entense.records.splitting.schemes import dealt
from entense.records.splitting.shares import are_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def split(
    frame: Frame,
    fractions: Mapping[str, Any] | pl.DataFrame | pl.LazyFrame | str | Path,
    *,
    by: str | Sequence[str] = "subject",
    stratify: str | Sequence[str] | None = None,
    representative: str | Sequence[str] | None = None,
    bins: int = 4,
    seed: int = 0,
    scheme: str | None = None,
) -> Frame:
    """Add the column ``split`` (String): groups of records, shared out and never parted.

    The same groups, fractions and seed give the same split on any machine, whatever the order of
    the rows. Fractions are of groups, and met to within one group each, in all and of each stratum:
    with few groups, a small fraction may get none. `split_report` says how well it went.

    Parameters
    ----------
    frame
        A record table.
    fractions
        Name of a split -> its share; positive, and 1 in sum. Or fixed lists: name of a split -> its
        groups (``sub-01`` is ``01``; tuples, if `by` is several columns); or a table, or a
        ``.tsv``, ``.csv`` or ``.parquet`` file of one, with the columns of `by` and ``split``.
    by
        The column, or columns, whose values make a group.
    stratify
        Columns of categories: each split gets its share of the groups of each combination. A
        group's class is the value of its records, or all of their values where
        they differ (a group of F and M is neither F nor M); absent is a value, too.
    representative
        Columns of numbers: so too of the groups of each quantile of the mean over their records.
        Groups without a number, or with NaN or infinite ones only, are a bin of their own.
    bins
        How many quantiles; equal means share one.
    seed
        Another one, another split.
    scheme
        A way to share out, one's own (see `register_split`), ``"random"`` or ``"lists"``; by
        default, of the last two, what `fractions` are.

    Raises
    ------
    TableError
        The fractions are wrong, a column is missing, of a wrong type or without a value in `by`,
        ``split`` is there already, there are fewer groups than splits or none, a group is in no
        list or in two, the seed is no whole number, or a split cannot name a folder of shards
        (letters, digits, ``_`` and ``-``; no two that differ only in case).
    EntenseError
        There is no such scheme.

    Examples
    --------
    >>> df = pl.DataFrame({"subject": ["01", "02", "03", "04", "01"], "sex": [*"FFMMF"]})
    >>> split(df, {"train": 0.75, "test": 0.25})["split"].to_list()
    ['test', 'train', 'train', 'train', 'test']
    >>> split(df, {"train": 0.5, "test": 0.5}, stratify="sex")["split"].to_list()
    ['test', 'train', 'train', 'test', 'test']
    >>> split(df, {"train": ["01", "02"], "test": ["03", "04"]})["split"].to_list()
    ['train', 'train', 'test', 'test', 'train']
    """
    _check_absent(frame, "split")
    keys = as_columns(by)
    groups = groups_of(frame, keys, as_columns(stratify), as_columns(representative), bins)
    found = dealt(scheme or _scheme_of(fractions), groups, fractions, seed)
    return attach(frame, groups.keys.with_columns(found), keys)


def kfold(
    frame: Frame,
    k: int,
    *,
    by: str | Sequence[str] = "subject",
    stratify: str | Sequence[str] | None = None,
    representative: str | Sequence[str] | None = None,
    bins: int = 4,
    seed: int = 0,
) -> Frame:
    """Add the column ``fold`` (Int64, from 0): `k` equal parts of the groups, none of them parted.

    Each fold is to test once what the others train; the fold of a run becomes its split by
    ``pl.when(pl.col("fold") == 0).then(pl.lit("test")).otherwise(pl.lit("train"))``.

    Parameters
    ----------
    frame
        A record table.
    k
        How many folds; 2 or more.
    by, stratify, representative, bins, seed
        As for `split`.

    Raises
    ------
    TableError
        `k` is no whole number above 1, ``fold`` is there already, or as `split` does.

    Examples
    --------
    >>> df = pl.DataFrame({"subject": ["01", "02", "03", "04", "01"]})
    >>> kfold(df, 2)["fold"].to_list()
    [1, 1, 0, 0, 1]
    """
    _check_absent(frame, "fold")
    if not isinstance(k, int) or k < 2:
        raise TableError(f"{k!r} folds cannot be made: give a whole number of 2 or more")
    keys = as_columns(by)
    groups = groups_of(frame, keys, as_columns(stratify), as_columns(representative), bins)
    shares = {str(fold): Fraction(1, k) for fold in range(k)}
    found = dealt("random", groups, shares, seed).cast(pl.Int64).alias("fold")
    return attach(frame, groups.keys.with_columns(found), keys)


def _check_absent(frame: pl.DataFrame | pl.LazyFrame, name: str) -> None:
    if name in frame.collect_schema():
        raise TableError(f"the table has a column {name!r} already: drop or rename it first")


def _scheme_of(fractions: object) -> str:
    shares = isinstance(fractions, Mapping) and are_numbers(fractions)
    return "random" if shares else "lists"
