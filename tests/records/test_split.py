import math
from collections import Counter
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from entense.archive.manifest import MASKS
from entense.errors import EntenseError, TableError
from entense.records import kfold, register_split, split, split_report
from entense.records.splitting.schemes import schemes

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def subjects(n: int, runs: int = 1) -> pl.DataFrame:
    return pl.DataFrame({"subject": [f"{s:03}" for s in range(n) for _ in range(runs)]})


def dealt(frame: pl.DataFrame, by: str = "subject") -> dict[str, str]:
    """Group -> split; a group that is parted fails."""
    pairs = frame.select(by, "split").unique().rows()
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


groups = st.lists(st.text(max_size=3), min_size=1, max_size=40)
weights = st.lists(st.integers(1, 20), min_size=1, max_size=5)


@given(groups, weights, st.integers(0, 3), st.randoms(use_true_random=False))
def test_groups_stay_whole_in_any_order_and_shares_are_met(names, parts, seed, order):
    assume(len(set(names)) >= len(parts))
    fractions = {f"s{n}": part / sum(parts) for n, part in enumerate(parts)}
    frame = pl.DataFrame({"subject": names, "row": range(len(names))})
    result = split(frame, fractions, seed=seed)
    assert result.drop("split").equals(frame)
    found = dealt(result)

    counts = Counter(found.values())
    total = len(set(names))
    assert set(counts) <= set(fractions)
    for name, share in fractions.items():
        assert abs(counts[name] - share * total) < 1 + 1e-9
        if math.isclose(share * total, round(share * total), abs_tol=1e-9):
            assert counts[name] == round(share * total)

    rows = list(range(len(names)))
    order.shuffle(rows)
    shuffled = split(frame[rows].lazy(), fractions, seed=seed)
    assert isinstance(shuffled, pl.LazyFrame)
    assert dealt(shuffled.collect()) == found


@pytest.mark.parametrize("apply", [split, kfold, split_report], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("table", "by", "words"),
    [
        ({"subject": ["02", "sub-01", "03", "01"]}, "subject", "01, sub-01 are one group of subj"),
        ({"run": ["1", "2", "01"], "site": ["a"] * 3}, ["site", "run"], "a_01, a_1 are one group"),
    ],
)
def test_a_group_under_two_names_is_not_two_groups(apply, table, by, words):
    given = {split: {"train": 0.5, "test": 0.5}, kfold: 2, split_report: None}[apply]
    frame = pl.DataFrame(table)
    frame = frame.with_columns(split=pl.lit("train")) if apply is split_report else frame
    with pytest.raises(TableError, match=words):
        apply(frame, given, by=by)


def test_names_of_what_is_no_entity_are_as_they_are():
    frame = pl.DataFrame({"family": ["01", "1", "sub-1"]})
    assert len(dealt(split(frame, {"a": 0.5, "b": 0.5}, by="family"), by="family")) == 3


def test_the_same_everywhere():
    # written down once: a change here breaks the splits of published work
    found = dealt(split(subjects(10), {"train": 0.7, "test": 0.3}, seed=0))
    assert {name for name, part in found.items() if part == "test"} == {"000", "003", "009"}


def test_random_splits_of_earlier_versions_are_kept():
    # written by the code that knew no strata
    def initials(frame, fractions, **asked):
        return "".join(split(frame, fractions, **asked)["split"])

    fifths = {"a": 0.6, "b": 0.2, "c": 0.2}
    frame = pl.DataFrame({"site": [i % 3 for i in range(12)], "family": [*"aabbccddeeff"]})
    sites = {"by": ["site", "family"], "seed": 3}
    assert initials(subjects(12).with_columns(pl.col("subject").str.tail(2)), fifths, seed=7) == (
        "abcbcbaaaaaa"
    )
    assert initials(frame, {"a": 1 / 3, "b": 2 / 3}, **sites) == "bababbbbbaab"
    assert initials(frame, {"a": 0.5, "b": 0.5}, by="family", seed=1) == "bbbbaaaabbaa"


def test_seeds_differ():
    splits = {tuple(split(subjects(30), SHARES, seed=seed)["split"]) for seed in range(10)}
    assert len(splits) == 10


def test_shares_that_binary_cannot_write_are_exact():
    counts = Counter(split(subjects(100), {"a": 0.29, "b": 0.57, "c": 0.14})["split"])
    assert counts == {"a": 29, "b": 57, "c": 14}
    assert Counter(split(subjects(9), {"a": 1 / 3, "b": 2 / 3})["split"]) == {"a": 3, "b": 6}


def test_fractions_of_other_types_are_the_same():
    expected = split(subjects(10), {"1": 0.5, "2": 0.25, "3": 0.25})
    shares = {1: Fraction(1, 2), 2: np.float32(0.25), 3: 0.25}
    assert split(subjects(10), shares).equals(expected)
    assert set(split(subjects(3), {"all": 1})["split"]) == {"all"}


def test_shares_are_of_groups_and_not_of_rows():
    frame = pl.concat([subjects(10), subjects(1, runs=100)])
    assert Counter(dealt(split(frame, {"a": 0.5, "b": 0.5})).values()) == {"a": 5, "b": 5}


def test_by_several_columns():
    frame = pl.DataFrame({"site": [1, 1, 2, 2, 1], "family": ["a", "b", "a", "b", "a"]})
    result = split(frame, {"train": 0.75, "test": 0.25}, by=["site", "family"])
    assert result["split"][0] == result["split"][4]
    assert Counter(result["split"][:4]) == {"train": 3, "test": 1}


def test_families_stay_together():
    frame = subjects(40).with_columns(family=pl.int_range(40) // 4)
    assert Counter(dealt(split(frame, SHARES, by="family"), "family").values()) == {
        "train": 8,
        "val": 1,
        "test": 1,
    }


@pytest.mark.parametrize(
    ("fractions", "said"),
    [
        ({}, "and there are none"),
        ({"a": 0.5}, "not 0.5"),
        ({"a": 0.5, "b": 0.6}, "not 1.1"),
        ({"a": 1.2, "b": -0.2}, "and 'b' is -0.2"),
        ({"a": 1.0, "b": 0}, "and 'b' is 0"),
        ({"a": math.nan}, "and 'a' is nan"),
    ],
)
def test_wrong_fractions(fractions, said):
    with pytest.raises(TableError, match=f"must be positive and sum to 1, {said}$"):
        split(subjects(10), fractions)


def test_fewer_groups_than_splits():
    with pytest.raises(TableError, match=r"^2 groups of subject cannot make 3 splits"):
        split(subjects(2, runs=9), SHARES)
    with pytest.raises(TableError, match=r"^1 group of subject cannot make 3 splits"):
        split(subjects(1, runs=9), SHARES)


def test_a_table_whose_records_were_all_dropped():
    for step in (split, split_report):
        with pytest.raises(TableError, match="no records to split; look at what its filters drop"):
            step(subjects(0), SHARES)
    with pytest.raises(TableError, match="no records to split"):
        kfold(subjects(9).lazy().filter(subject="999"), 3)


@pytest.mark.parametrize("seed", ["a", None, 1.0, True])
def test_a_seed_that_is_no_whole_number(seed):
    with pytest.raises(TableError, match=f"seed={seed!r} is no whole number; give one, such as 0"):
        split(subjects(9), SHARES, seed=seed)
    with pytest.raises(TableError, match=f"seed={seed!r} is no whole number"):
        kfold(subjects(9), 3, seed=seed)


def test_a_seed_of_numpy_is_a_seed():
    assert split(subjects(9), SHARES, seed=np.int64(3)).equals(split(subjects(9), SHARES, seed=3))


@pytest.mark.parametrize("name", ["train/a", "..", "", "übung", "a b", ".entense", MASKS])
def test_a_name_that_no_folder_can_have_is_refused_at_the_line(name):
    with pytest.raises(TableError, match=f"the split '{name}' cannot name a folder of shards"):
        split(subjects(9), {name: 0.5, "test": 0.5})
    with pytest.raises(TableError, match=f"the split '{name}' cannot name a folder of shards"):
        split(subjects(1), {name: ["000"]})


def test_names_that_are_one_on_some_disks_are_refused():
    with pytest.raises(TableError, match="the splits 'Train' and 'train' would share one folder"):
        split(subjects(9), {"train": 0.5, "Train": 0.5})


def test_a_group_that_is_not_known():
    frame = pl.DataFrame({"family": ["01", None, "02"]})
    with pytest.raises(TableError, match=r"^1 record has no family to split by: fill it"):
        split(frame, {"a": 0.5, "b": 0.5}, by="family")
    frame = pl.DataFrame(
        {"dataset": "ds", "subject": ["1", "3", "2"], "session": ["a", None, None]}
    )
    with pytest.raises(
        TableError, match=r"^2 records have no session to split by, such as 'ds_sub-2': fill it, or"
    ):
        split(frame[::-1].lazy(), {"a": 0.5, "b": 0.5}, by="session")


def test_no_such_column():
    with pytest.raises(TableError, match="there is no column 'family' to split by"):
        split(subjects(9).lazy(), SHARES, by="family")
    with pytest.raises(TableError, match="to split by"):
        split(subjects(9), SHARES, by=[])


def test_a_split_is_not_overwritten():
    once = split(subjects(10), SHARES)
    with pytest.raises(TableError, match="has a column 'split' already"):
        split(once, SHARES)


@pytest.fixture
def own(monkeypatch):
    """Forget what a test registers."""
    monkeypatch.setattr(schemes, "_things", dict(schemes._things))


def test_a_scheme_of_ones_own_sees_groups_and_what_was_given(own):
    seen = []

    def newest(groups, cuts, seed):
        seen.append((groups, seed))
        return ["test" if year >= cuts["test"] else "train" for year in groups.means["year"]]

    assert register_split("newest", newest) is newest
    frame = pl.DataFrame(
        {"subject": [2, 10, 2], "year": [2010, 2015, 2014], "site": ["b", "a", None]}
    )
    asked = {"representative": "year", "stratify": "site", "scheme": "newest", "seed": 5}
    assert split(frame, {"test": 2013}, **asked)["split"].to_list() == ["train", "test", "train"]
    [(groups, seed)] = seen
    assert seed == 5
    assert groups.keys.equals(pl.DataFrame({"subject": [10, 2]}))  # by their text
    assert groups.names == [("10",), ("2",)]
    assert groups.records.to_list() == [1, 2]
    assert groups.classes["site"].to_list() == [["a"], ["b", None]]
    assert len(set(groups.ranks(0) + groups.ranks(1))) == 4


@pytest.mark.parametrize("answer", [["a"], ["a", None], ["a", 1], []])
def test_a_scheme_that_forgets_a_group(own, answer):
    register_split("forgetful", lambda *_: answer)
    with pytest.raises(TableError, match="'forgetful' must return a name for each of 2 groups"):
        split(subjects(2), {"a": 1.0}, scheme="forgetful")


def test_a_name_that_is_taken(own):
    with pytest.raises(EntenseError, match="the split scheme 'random' is already registered"):
        register_split("random", lambda *_: [])
