"""What a split came to: how much of what each split has, and what could not be met."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from entense.errors import TableError, hint
from entense.records.splitting.groups import Groups, as_columns, groups_of
from entense.records.splitting.shares import read_shares
from entense.records.tables.labels import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ABSENT = "(absent)"
_GROUP = "group"
_COLUMNS = ("split", "column", "value", "groups", "records", "due")
_ONE = 1 - 1e-9  # what is due is rounded


class _Facet(NamedTuple):
    """A way to tell groups apart, one after the other in the report."""

    column: str | None
    values: pl.Series  # (group,) String
    means: pl.Series  # (group,) Float64


def split_report(
    frame: pl.DataFrame | pl.LazyFrame,
    fractions: Mapping[str, float] | None = None,
    *,
    by: str | Sequence[str] = "subject",
    stratify: str | Sequence[str] | None = None,
    representative: str | Sequence[str] | None = None,
    bins: int = 4,
    column: str = "split",
) -> pl.DataFrame:
    """Say what each split has of all groups and of each kind of them, and what could not be met.

    Parameters
    ----------
    frame
        A record table with a column of splits, whoever made it.
    fractions
        What was asked for; by default what all groups came to, so that only the balance of the
        kinds is judged.
    by, stratify, representative, bins
        As for `split`: what was asked for, or whatever else should be balanced.
    column
        Where the splits are; ``"fold"`` after `kfold`.

    Returns
    -------
    DataFrame
        A row a split for all groups, where ``column`` and ``value`` are null, and for each value of
        each column, each quantile of each mean (``2: 31 to 40``), and each combination if there
        are several columns. ``split`` is null for records without one. ``groups`` and ``records``
        are counts (Int64); ``due`` is how many groups it should have (Float64), ``off`` how many
        more it has; ``mean`` and ``sd`` are those of the groups' means, where `representative` is
        spoken of. ``problem`` (String) is null, or says what was not met: a kind of which a split
        has no group, one that is off by a group or more, or groups that are in several splits.

    Raises
    ------
    TableError
        There is no such column, or it is of a wrong type, there is no record, or the fractions are
        wrong or misspell a split.

    Examples
    --------
    >>> df = pl.DataFrame({"subject": ["01", "02", "03"], "sex": [*"FFM"], "split": [*"aab"]})
    >>> report = split_report(df, stratify="sex")
    >>> report.select("split", "column", "value", "groups", "due").rows()[-2:]
    [('a', 'sex', 'M', 0, 0.6666666666666666), ('b', 'sex', 'M', 1, 0.3333333333333333)]
    >>> report.drop_nulls("problem").select("split", "value", "problem").rows()
    [('b', 'F', 'no group: 2 for 2 splits'), ('a', 'M', 'no group: 1 for 2 splits')]
    """
    keys = as_columns(by)
    groups = groups_of(frame, keys, as_columns(stratify), as_columns(representative), bins)
    places = _places(frame, groups, keys, column)
    shares = _shares(places, fractions)
    rows = pl.concat(_rows(facet, places, shares) for facet in _facets(groups))
    return _with_problems(rows, places, groups)


def _places(
    frame: pl.DataFrame | pl.LazyFrame, groups: Groups, keys: list[str], column: str
) -> pl.DataFrame:
    """Return where each group lies: (group, split, records), more than a row if it is parted."""
    if column not in frame.collect_schema():
        raise TableError(f"there is no column {column!r} to report on: call split or kfold first")
    found = frame.lazy().group_by(*keys, pl.col(column).cast(pl.String).alias(" split"))
    counts = found.agg(pl.len().cast(pl.Int64).alias(" records")).collect()
    placed = groups.keys.with_row_index(f" {_GROUP}").join(counts, on=keys)
    return placed.select(
        pl.col(f" {name}").alias(name) for name in (_GROUP, "split", "records")
    ).sort(_GROUP, "split")


def _shares(places: pl.DataFrame, fractions: Mapping[str, float] | None) -> dict[str | None, float]:
    there = places.group_by("split").len().sort("split", nulls_last=True)
    if fractions is None:
        return {name: n / len(places) for name, n in there.rows()}
    shares: dict[str | None, float] = {n: float(s) for n, s in read_shares(fractions).items()}
    absent = [name for name in shares if name not in there["split"]]
    unasked = [name for name in there["split"].drop_nulls() if name not in shares]
    if absent and unasked:  # else a split that got no group
        raise TableError(
            f"there is no split {absent[0]!r} in the table; {hint(absent[0], unasked)}"
        )
    return shares | {name: 0.0 for name in there["split"] if name not in shares}


def _facets(groups: Groups) -> Iterator[_Facet]:
    whole = pl.Series([None] * len(groups), dtype=pl.String)
    blank = whole.cast(pl.Float64)
    yield _Facet(None, whole, blank)
    kinds = [_Facet(name, _classes(groups.classes[name]), blank) for name in groups.classes.columns]
    for name in groups.means.columns:
        means = groups.means[name]
        yield _Facet(name, whole, means)
        kinds.append(_Facet(name, _quantiles(means, groups.binned[name]), means))
    yield from kinds
    if len(kinds) > 1:
        texts = pl.select(pl.concat_str([kind.values for kind in kinds], separator=", "))
        yield _Facet(", ".join(str(kind.column) for kind in kinds), texts.to_series(), blank)


def _classes(values: pl.Series) -> pl.Series:
    return values.list.eval(pl.element().fill_null(_ABSENT)).list.join(" + ")


def _quantiles(means: pl.Series, bins: pl.Series) -> pl.Series:
    """Name each bin by the least and the greatest mean in it."""
    table = pl.DataFrame({"mean": means, "bin": bins})
    ends = table.group_by("bin").agg(pl.min("mean").alias("least"), pl.max("mean").alias("most"))
    names = {b: f"{b + 1}: {least:g} to {most:g}" for b, least, most in ends.drop_nulls().rows()}
    return pl.Series([names.get(b, _ABSENT) for b in bins], dtype=pl.String)


def _rows(facet: _Facet, places: pl.DataFrame, shares: Mapping[str | None, float]) -> pl.DataFrame:
    """Count the groups of each value in each split, zeros too."""
    kinds = pl.DataFrame({"value": facet.values, "means": facet.means})
    counts = (
        places.with_columns(kinds[places[_GROUP]])
        .group_by("value", "split")
        .agg(
            groups=pl.len().cast(pl.Int64),
            records=pl.sum("records"),
            mean=pl.mean("means"),
            sd=pl.std("means"),
        )
    )
    sizes = kinds.group_by("value").agg(size=pl.len().cast(pl.Int64)).sort("value")
    splits = pl.DataFrame(
        [*shares.items()], {"split": pl.String, "share": pl.Float64}, orient="row"
    )
    grid = sizes.join(splits, how="cross", maintain_order="left_right").join(
        counts, on=["value", "split"], how="left", nulls_equal=True, maintain_order="left"
    )
    due = pl.col("size") * pl.col("share")
    return grid.with_columns(
        pl.col("groups", "records").fill_null(0),
        due.alias("due"),
        column=pl.lit(facet.column, pl.String),
    )


def _with_problems(rows: pl.DataFrame, places: pl.DataFrame, groups: Groups) -> pl.DataFrame:
    off, empty = pl.col("groups") - pl.col("due"), pl.col("groups") == 0
    many = pl.when(off > 0).then(pl.lit("many")).otherwise(pl.lit("few"))
    none = pl.format("no group: {} for {} splits", "size", pl.col("split").n_unique())
    problem = (
        pl.when(pl.col("column").is_null() & pl.col("parted").is_not_null())
        .then("parted")
        .when(empty & (pl.col("due") > 0))
        .then(none)
        .when(off.abs() >= _ONE)
        .then(pl.format("{} groups too {}", off.abs().round(2), many))
    )
    told = rows.join(
        _parted(places, groups), on="split", how="left", nulls_equal=True, maintain_order="left"
    )
    return told.select(*_COLUMNS, off.alias("off"), "mean", "sd", problem.alias("problem"))


def _parted(places: pl.DataFrame, groups: Groups) -> pl.DataFrame:
    """Say of each split which of its groups are in others, too."""
    names = ["_".join(name) for name in groups.names]
    parted = places.filter(pl.len().over(_GROUP) > 1)
    which = {
        split: listed(names[group] for group in part[_GROUP])
        for (split,), part in parted.group_by("split", maintain_order=True)
    }
    told = [f"groups that are in other splits, too: {some}" for some in which.values()]
    return pl.DataFrame(
        {"split": list(which), "parted": told}, {"split": pl.String, "parted": pl.String}
    )
