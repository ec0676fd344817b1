"""Which records train, and which test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError
from entense.records.frames import Frame, attach, distinct

if TYPE_CHECKING:
    from collections.abc import Sequence


def split(
    frame: Frame,
    fractions: Mapping[str, float],
    *,
    by: str | Sequence[str] = "subject",
    seed: int = 0,
) -> Frame:
    """Add the column ``split``: groups of records, shared out at random and never parted.

    The same groups, fractions and seed give the same split on any machine, whatever the order of
    the rows. Fractions are of groups, and met to within one group each: with few groups, a small
    fraction may get none.

    Parameters
    ----------
    frame
        A record table.
    fractions
        Name of a split -> its share; positive, and 1 in sum.
    by
        The column, or columns, whose values make a group.
    seed
        Another one, another split.

    Raises
    ------
    TableError
        The fractions are wrong, a column is missing or has nulls, ``split`` is there already, or
        there are fewer groups than splits.

    Examples
    --------
    >>> df = pl.DataFrame({"subject": ["01", "02", "03", "04", "01"]})
    >>> split(df, {"train": 0.75, "test": 0.25})["split"].to_list()
    ['test', 'train', 'train', 'train', 'test']
    """
    keys = [by] if isinstance(by, str) else list(by)
    _check(frame.collect_schema(), fractions, keys)
    groups = distinct(frame, keys)
    if any(groups.null_count().row(0)):
        raise TableError(
            f"some records have no {' or '.join(keys)} to split by: fill it, or drop those records"
        )
    if len(groups) < len(fractions):
        raise TableError(
            f"{len(groups)} groups of {', '.join(keys)} cannot make {len(fractions)} splits: ask "
            "for fewer, or add data"
        )
    shares = groups.with_columns(split=_assign(groups, fractions, seed))
    return attach(frame, shares, keys)


def _check(schema: pl.Schema, fractions: Mapping[str, float], keys: Sequence[str]) -> None:
    if not isinstance(fractions, Mapping):
        raise TableError(f'fractions are due, {{"train": 0.8, "test": 0.2}}, not {fractions!r}')
    shares = list(fractions.values())
    if not shares or not all(share > 0 for share in shares) or abs(sum(shares) - 1) > 1e-9:
        raise TableError(
            f"the fractions {dict(fractions)} must be positive and sum to 1, not {sum(shares):g}"
        )
    if not keys or (missing := [key for key in keys if key not in schema]):
        raise TableError(
            f"there is no column {', '.join(missing) if keys else ''!r} to split by; there are: "
            f"{', '.join(schema)}"
        )
    if "split" in schema:
        raise TableError("the table has a column 'split' already: drop or rename it first")


def _assign(groups: pl.DataFrame, fractions: Mapping[str, float], seed: int) -> pl.Series:
    """Deal the groups, in the order of their hashes."""
    texts = groups.select(pl.all().cast(pl.String)).rows()
    ranks = [hashlib.sha256(json.dumps([seed, *text]).encode()).hexdigest() for text in texts]
    names = [name for name, n in _counts(len(groups), fractions).items() for _ in range(n)]
    dealt = dict(zip(sorted(ranks), names, strict=True))
    return pl.Series("split", [dealt[rank] for rank in ranks], pl.String)


def _counts(total: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """Share out by the largest remainder, in exact arithmetic."""
    exact = {
        name: total * Fraction(share).limit_denominator(10**9) for name, share in fractions.items()
    }
    counts = {name: int(share) for name, share in exact.items()}
    remainders = sorted(exact, key=lambda name: counts[name] - exact[name])  # stable: first first
    for name in remainders[: total - sum(counts.values())]:
        counts[name] += 1
    return counts
