import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entense.archive.assign import splits_of
from entense.archive.job import scalars_of
from entense.archive.sharding import Limits, by_size
from entense.errors import ArchiveError
from entense.sizes import bytes_of


@given(st.lists(st.integers(1, 50)), st.integers(1, 100))
def test_shards_hold_every_record_once_in_order_and_as_many_as_fit(sizes, limit):
    parts = by_size(sizes, range(len(sizes)), Limits(limit))
    assert [row for part in parts for row in part] == list(range(len(sizes)))
    totals = [sum(sizes[row] for row in part) for part in parts]
    for part, total in zip(parts, totals, strict=True):
        assert total <= limit or len(part) == 1
    for total, after in zip(totals, parts[1:], strict=False):
        assert total + sizes[after[0]] > limit


@pytest.mark.parametrize(
    ("text", "size"), [("512MB", 512e6), ("1 GiB", 2**30), (7, 7), ("1.5kb", 1500), ("2B", 2)]
)
def test_sizes(text, size):
    assert bytes_of(text, "shard_size") == size


@pytest.mark.parametrize("text", ["big", "", "-1", "0", "5 apples", "1e9", None])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ArchiveError, match=r"shard_size=.*512MB"):
        bytes_of(text, "shard_size")


def test_scalars_become_what_every_format_holds():
    table = pl.DataFrame(
        {"a": [1, None], "b": [1.5, 2], "c": [True, None], "d": ["x", None]},
        schema_overrides={"a": pl.UInt8, "b": pl.Float32},
    ).with_columns(e=pl.col("d").cast(pl.Categorical), f=pl.lit(2**63 - 1, pl.UInt64))
    plain = scalars_of(table, list("abcdef"))
    assert plain.dtypes == [
        pl.Int64, pl.Float64, pl.Boolean, pl.String, pl.String, pl.Int64
    ]  # fmt: skip
    assert plain.row(1) == (None, 2.0, None, None, None, 2**63 - 1)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pl.Series([[1]]), "List.*cast it first"),
        (pl.Series([2**63], dtype=pl.UInt64), "64 bits"),
        (pl.Series(["2020-01-01"]).str.to_date(), "Date.*cast it first"),
    ],
)
def test_what_no_sample_holds_is_refused(column, words):
    with pytest.raises(ArchiveError, match=words):
        scalars_of(column.alias("x").to_frame(), ["x"])
    with pytest.raises(ArchiveError, match=r"names 'y'.*there are: x"):
        scalars_of(column.alias("x").to_frame(), ["y"])


def test_splits():
    assert splits_of(pl.DataFrame({"x": [1, 2]})) == ["all", "all"]
    assert splits_of(pl.DataFrame({"split": ["b", "a"]})) == ["b", "a"]
    with pytest.raises(ArchiveError, match=r"1 records have no split"):
        splits_of(pl.DataFrame({"split": ["b", None]}))
    for name in ("../up", "masks", "a b", ".entense", ""):
        with pytest.raises(ArchiveError, match=r"cannot name a folder"):
            splits_of(pl.DataFrame({"split": [name]}))
    with pytest.raises(ArchiveError, match=r"'A' and 'a' would share one folder"):
        splits_of(pl.DataFrame({"split": ["a", "A"]}))
