"""Which records share a shard."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entense.archive.sharding import (
    Limits,
    Sharding,
    by_size,
    register_sharding,
    schemes,
    shard_groups,
)
from entense.archive.write import write
from entense.errors import ArchiveError, EntenseError

LIMITS = st.builds(Limits, st.none() | st.integers(1, 100), st.none() | st.integers(1, 5))
RECORDS = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 6)))


@pytest.fixture
def scheme():
    """Register a sharding for one test."""
    before = set(schemes)
    yield register_sharding
    for name in set(schemes) - before:
        del schemes._things[name]


def sharded(archive):
    """Return the ids of each shard of train, in the order of the shards."""
    train = archive.records.filter(split="train").sort(pl.col("clean").struct.field("offset"))
    by_shard = train.group_by("shard").agg("record").sort("shard")
    return by_shard["record"].to_list()


@given(RECORDS, LIMITS)
def test_every_record_once_no_group_parted_and_no_shard_beyond_its_limits(records, limits):
    sizes, groups = [size for size, _ in records], [group for _, group in records]
    parts = by_size(sizes, groups, limits)
    assert sorted(place for part in parts for place in part) == list(range(len(records)))
    owners = [{groups[place] for place in part} for part in parts]
    assert sum(map(len, owners)) == len(set(groups))
    for part, held in zip(parts, owners, strict=True):
        fits = limits.allow(sum(sizes[place] for place in part), len(part))
        assert fits or len(held) == 1
        assert part == sorted(part, key=lambda place: (groups.index(groups[place]), place))


@given(RECORDS, LIMITS)
def test_a_shard_is_as_full_as_can_be(records, limits):
    sizes, groups = [size for size, _ in records], [group for _, group in records]
    parts = by_size(sizes, groups, limits)
    for part, after in pairwise(parts):
        more = part + [place for place in after if groups[place] == groups[after[0]]]
        assert not limits.allow(sum(sizes[place] for place in more), len(more))


@given(st.lists(st.text(min_size=1), unique=True), st.integers(0, 2**70), st.randoms())
def test_the_same_shuffle_on_any_order_of_rows(ids, seed, random):
    sharding = Sharding.of(None, None, None, seed, "size")
    moved = random.sample(ids, len(ids))
    assert [ids[row] for row in sharding.order(ids)] == [moved[r] for r in sharding.order(moved)]


def test_a_shuffle_is_one_for_ever_and_another_for_another_seed():
    orders = [Sharding.of(None, None, None, seed, "size").order("abcdefgh") for seed in (0, 1)]
    assert orders == [[6, 7, 2, 4, 5, 0, 1, 3], [5, 3, 2, 7, 0, 1, 4, 6]]
    assert Sharding.of(None, None, None, None, "size").order("abc") == range(3)


def test_groups_are_of_one_column_or_several():
    table = pl.DataFrame({"a": [1, 1, 2, 1], "b": ["x", "y", "x", "x"]})
    assert shard_groups(table, ()) == range(4)
    assert shard_groups(table, ["a"]) == [0, 0, 2, 0]
    assert shard_groups(table, ["a", "b"]) == [0, 1, 2, 0]


def test_a_number_of_records_a_shard(records, tmp_path):
    archive = write(records, tmp_path / "out", shard_size=None, shard_records=4)
    assert [shard.records for shard in archive.manifest.shards] == [4, 2, 3]
    assert archive.verify().records == 9


def test_a_group_shares_a_shard_even_where_it_is_too_large(records, tmp_path):
    site = pl.Series(["b", "a", "b", "a", "b", "c", "a", "b", "c"])
    table = records.with_columns(site=site)
    archive = write(table, tmp_path / "out", shard_records=2, shard_by="site")
    assert [shard.records for shard in archive.manifest.shards] == [3, 2, 1, 2, 1]
    held = archive.records.group_by("split", "site").agg(pl.col("shard").n_unique())
    assert held["shard"].to_list() == [1] * 6


def test_shuffled_records_lie_in_shards_in_that_order_and_the_table_in_that_of_ids(
    records, tmp_path
):
    one = write(records, tmp_path / "one", shard_records=2, shuffle=3)
    other = write(records.sample(fraction=1, shuffle=True, seed=1), tmp_path / "other",
                  shard_records=2, shuffle=3)  # fmt: skip
    assert one.records["record"].to_list() == sorted(one.records["record"])
    assert sharded(one) == sharded(other)
    found = [record for shard in sharded(one) for record in shard]
    order = Sharding.of(None, None, None, 3, "size").order(one.records["record"].to_list())
    assert found == [one.records["record"][row] for row in order if row < 6]
    for shard in one.manifest.shards:
        assert (one.folder / shard.path).read_bytes() == (other.folder / shard.path).read_bytes()
    for row in range(9):
        due = np.load(tmp_path / "inputs" / f"clean-{row}.npy")
        np.testing.assert_array_equal(one[row]["clean"], due)


def test_another_sharding_is_refused_in_words(records, tmp_path, scheme, monkeypatch):
    def one(sizes, groups, limits):
        return [range(len(sizes))]

    scheme("one", one)
    same = {"shard_records": 2, "shard_by": "site", "shuffle": 0}
    table = records.with_columns(site=pl.lit("x"))
    write(table, tmp_path / "out", **same)
    write(table, tmp_path / "out", **same)
    for name, there, here in (
        ("shard_records", 2, 3), ("shard_size", 512 * 10**6, 10**6), ("shard_by", ["site"], []),
        ("shuffle", 0, 1), ("sharding", "size", "one"),
    ):  # fmt: skip
        words = rf"differs in {name}: {there!r} there, {here!r} here; .*overwrite=True"
        with pytest.raises(ArchiveError, match=words.replace("[", r"\[")):
            write(table, tmp_path / "out", **(same | {name: here}))
    with pytest.raises(ArchiveError, match=r"differs in disaggregate: None there, 'tensor' here;"):
        write(table, tmp_path / "out", disaggregate="tensor", **same)
    archive = write(table, tmp_path / "new", sharding="one")
    assert [shard.records for shard in archive.manifest.shards] == [6, 3]
    assert archive.manifest.sharding["scheme"] == "one"
    monkeypatch.setitem(schemes._things, "one", lambda sizes, groups, limits: [range(len(sizes))])
    with pytest.raises(ArchiveError, match=r"differs in the code of sharding one;"):
        write(table, tmp_path / "new", sharding="one")


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (lambda sizes, groups, limits: [[0]], "exactly one shard"),
        (lambda sizes, groups, limits: [[0, 1, 2, 3, 4, 5, 0]], "exactly one shard"),
        (lambda sizes, groups, limits: [[n] for n in range(len(sizes))], "parts a group of sex"),
    ],
)
def test_a_sharding_that_loses_records_or_parts_groups_is_refused(
    records, tmp_path, scheme, cut, words
):
    scheme("mine", cut)
    table = records.with_columns(sex=pl.lit("f"))
    with pytest.raises(ArchiveError, match=words):
        write(table, tmp_path / "out", sharding="mine", shard_by="sex")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shard_records": 0}, "shard_records=0 is no whole number from 1"),
        ({"shard_records": True}, "shard_records=True"),
        ({"shuffle": True}, "shuffle=True is no whole number from 0"),
        ({"shuffle": -1}, "shuffle=-1"),
        ({"shard_by": "site"}, "shard_by= names 'site', which the table has not"),
        ({"shard_by": "sex"}, "3 records have no 'sex'"),
        ({"sharding": "sise"}, "no sharding 'sise'; did you mean 'size'"),
        ({"disaggregate": "column"}, "disaggregate='column' is unknown; give \"tensor\""),
        ({"format": []}, "names no format"),
        ({"format": ["tfrecord", "tfrecord"]}, "or one twice"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(records, tmp_path, options, words):
    with pytest.raises(EntenseError, match=words):
        write(records, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
