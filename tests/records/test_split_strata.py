"""Strata, quantiles and folds."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

import entense as et
from entense.errors import TableError

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}


def cohort(n, seed=0):
    """A subject a row, of two sexes, three sites of other sizes, and an age."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "subject": [f"{i:03}" for i in range(n)],
            "sex": rng.choice(["F", "M"], n),
            "site": rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]),
            "age": rng.gamma(4, 10, n),
        }
    )


records = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["F", "M", None]),
        st.one_of(st.none(), st.floats(allow_infinity=True, width=16)),
    ),
    min_size=1,
    max_size=50,
)


def classed(frame):
    """Say in plain Python what each subject's class and quantile of four are."""
    sexes, ages = {}, {}
    for subject, sex, age in frame.select("subject", "sex", "age").rows():
        sexes.setdefault(subject, set()).add(sex)
        ages.setdefault(subject, []).extend([age] if age is not None and np.isfinite(age) else [])
    means = {s: sum(sorted(a)) / len(a) for s, a in ages.items() if a}
    bins = {s: sum(o < m for o in means.values()) * 4 // len(means) for s, m in means.items()}
    return {s: (frozenset(sexes[s]), bins.get(s)) for s in sexes}


@given(records, st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 3), st.data())
def test_no_group_is_parted_and_each_stratum_and_all_get_their_share(rows, parts, seed, data):
    frame = pl.DataFrame(
        rows, {"subject": pl.Int64, "sex": pl.String, "age": pl.Float64}, orient="row"
    )
    assume(frame["subject"].n_unique() >= len(parts))
    fractions = {f"s{n}": part / sum(parts) for n, part in enumerate(parts)}
    asked = {"stratify": "sex", "representative": "age", "seed": seed}
    result = et.split(frame, fractions, **asked)
    assert result.drop("split").equals(frame, null_equal=True)
    pairs = result.select("subject", "split").unique().rows()
    found = dict(pairs)
    assert len(found) == len(pairs)

    strata = classed(frame)
    for members in ([s for s in found if strata[s] == kind] for kind in [*set(strata.values())]):
        counts = Counter(found[subject] for subject in members)
        assert all(abs(counts[n] - f * len(members)) < 1 + 1e-9 for n, f in fractions.items())
    totals = Counter(found.values())
    assert all(abs(totals[n] - f * len(found)) < 1 + 1e-9 for n, f in fractions.items())

    order = data.draw(st.permutations(range(len(frame))))
    shuffled = et.split(frame[order].lazy(), fractions, **asked).collect()
    assert dict(shuffled.select("subject", "split").rows()) == found


def test_the_same_everywhere():
    # written down once: a change here breaks the splits of published work
    frame = pl.DataFrame({"subject": list("abcdefgh"), "sex": list("FFFFMMMM"), "age": range(8)})
    halves = {"x": 0.5, "y": 0.5}
    assert "".join(et.split(frame, halves, stratify="sex")["split"]) == "xyxyyyxx"
    assert "".join(et.split(frame, halves, representative="age", seed=3)["split"]) == "yxxyyxyx"


def test_seeds_differ_even_where_every_group_is_a_stratum():
    frame = cohort(12).with_columns(site="subject")
    halves = {"a": 0.5, "b": 0.5}
    assert (
        len({tuple(et.split(frame, halves, stratify="site", seed=s)["split"]) for s in range(9)})
        == 9
    )
    quartiles = {
        tuple(et.split(frame[:4], halves, representative="age", seed=s)["split"]) for s in range(20)
    }
    assert len(quartiles) > 3


def test_a_group_whose_records_differ_is_of_a_class_of_its_own():
    # one site scanned all, and another those of even number: half of them have both
    subjects = [f"{s:02}" for s in range(16)]
    frame = pl.DataFrame(
        {"subject": subjects + subjects[::2], "site": ["a"] * 16 + ["b"] * 8, "records": 1}
    )
    result = et.split(frame, {"train": 0.75, "test": 0.25}, stratify="site")
    both = result.filter(site="b")
    assert Counter(both["split"]) == {"train": 6, "test": 2}
    alone = result.filter(~pl.col("subject").is_in(both["subject"].to_list()))
    assert Counter(alone["split"]) == {"train": 6, "test": 2}


def test_the_class_may_be_the_column_of_the_groups():
    frame = pl.DataFrame({"site": [*"abcd"], "age": [1, 2, 3, 4]})
    result = et.split(frame, {"x": 0.5, "y": 0.5}, by="site", stratify="site", representative="age")
    assert Counter(result["split"]) == {"x": 2, "y": 2}


def test_quantiles_are_of_the_mean_over_a_groups_records_and_exact_in_any_order():
    ages = [[0.1] * 10, [1e16, 1.0, -1e16], [0.2, 0.2], [0.3]]
    frame = pl.DataFrame({"subject": [*"abcd"], "age": ages}).explode("age")
    means = et.records.splitting.groups.groups_of(frame, ["subject"], [], ["age"], 4)
    assert means.means["age"].to_list() == [0.1, 1 / 3, 0.2, 0.3]
    assert means.binned["age"].to_list() == [0, 3, 1, 2]


@pytest.mark.parametrize("kind", [pl.Int8, pl.UInt64, pl.Float32, pl.Decimal(10, 2), pl.Date])
def test_numbers_of_any_type_are_represented(kind):
    frame = pl.DataFrame({"subject": range(40), "x": pl.Series(range(40)).cast(kind)})
    result = et.split(frame, {"a": 0.5, "b": 0.5}, representative="x", bins=10)
    quantiles = result.with_row_index().group_by(pl.col("index") // 4, "split").len()
    assert quantiles["len"].to_list() == [2] * 20


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["F", "M"]), pl.String])
def test_classes_of_any_type_give_the_same(kind):
    frame = cohort(40)
    same = frame.with_columns(pl.col("sex").cast(kind))
    expected = et.split(frame, SHARES, stratify="sex")["split"]
    assert et.split(same, SHARES, stratify="sex")["split"].equals(expected)


def furthest(labels, splits, shares):
    """Return by how many groups a class in a split is off at most."""
    sizes, counts = Counter(labels), Counter(zip(labels, splits, strict=True))
    return max(abs(counts[c, s] - n * shares[s]) for c, n in sizes.items() for s in shares)


@pytest.mark.parametrize("seed", range(5))
def test_a_stratified_split_has_of_each_class_what_sklearn_takes_to_within_one(seed):
    frame = cohort(173, seed).with_columns(kind=pl.col("site") + pl.col("sex"))
    shares = {"train": 0.8, "test": 0.2}
    found = et.split(frame, shares, stratify=["site", "sex"], seed=seed)
    sklearn = StratifiedShuffleSplit(1, test_size=0.2, random_state=seed)
    [(_, rows)] = sklearn.split(frame["kind"], frame["kind"])
    ours, theirs = Counter(found.filter(split="test")["kind"]), Counter(frame["kind"][rows])
    assert ours.total() == theirs.total()
    assert all(abs(ours[kind] - theirs[kind]) <= 1 for kind in theirs)
    assert furthest(frame["kind"], found["split"], shares) < 1


@pytest.mark.parametrize("seed", range(5))
def test_folds_are_as_even_as_those_of_sklearn_or_more(seed):
    frame = cohort(173, seed)
    labels, fifths = (frame["site"] + frame["sex"]).to_list(), dict.fromkeys(range(5), 0.2)
    ours = et.kfold(frame, 5, stratify=["site", "sex"], seed=seed)["fold"]
    theirs = np.empty(len(frame), int)
    sklearn = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    for fold, (_, rows) in enumerate(sklearn.split(labels, labels, frame["subject"])):
        theirs[rows] = fold
    assert furthest(labels, ours, fifths) <= furthest(labels, theirs.tolist(), fifths) + 1e-9


def test_means_of_a_representative_split_are_nearer_than_those_of_a_random_one():
    shares = {"train": 0.5, "test": 0.5}

    def apart(**asked):
        frames = (et.split(cohort(60), shares, seed=seed, bins=10, **asked) for seed in range(20))
        means = (f.group_by("split").agg(pl.mean("age"))["age"] for f in frames)
        return np.mean([abs(a - b) for a, b in means])

    assert apart(representative="age") < apart() / 2


@given(st.integers(2, 7), st.integers(7, 60), st.integers(0, 3))
def test_folds_are_equal_in_all_and_in_each_class(k, n, seed):
    frame = pl.concat([cohort(n), cohort(n)])
    folded = et.kfold(frame, k, stratify="sex", seed=seed)
    assert folded.schema["fold"] == pl.Int64
    groups = folded.unique("subject")
    assert len(folded.unique(["subject", "fold"])) == len(groups)
    for part in [groups, *groups.partition_by("sex")]:
        sizes = [len(part.filter(fold=fold)) for fold in range(k)]
        assert sum(sizes) == len(part)
        assert max(sizes) - min(sizes) <= 1


def test_folds_lie_beside_a_split_and_stay_lazy():
    frame = et.split(cohort(20).lazy(), {"train": 0.8, "test": 0.2})
    folded = frame.filter(split="train").entense.kfold(4)
    assert isinstance(folded, pl.LazyFrame)
    counts = folded.collect()["fold"].value_counts()
    assert counts["count"].to_list() == [4] * 4


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"stratify": "sexe"}, "there is no column 'sexe' to stratify by; there are: subject, sex"),
        ({"representative": ["age", "iq"]}, "there is no column 'iq' to represent"),
        ({"stratify": "age"}, "age has numbers with fractions.*representative=..., or cast"),
        ({"representative": "sex"}, "sex has no numbers.*say stratify=..."),
        ({"stratify": "runs"}, "runs holds lists, structs or tensors to stratify by"),
        ({"by": "runs"}, "runs holds lists, structs or tensors to split by"),
        ({"representative": "bold"}, "bold holds lists, structs or tensors to represent"),
        ({"bins": 1}, "bins=1 makes no quantiles: give a whole number of 2 or more"),
        ({"bins": 2.5}, r"bins=2\.5 makes no quantiles"),
    ],
)
def test_columns_that_do_not_fit(asked, said):
    frame = cohort(20).with_columns(runs=pl.lit([1, 2], pl.List(pl.Int64)), path=pl.lit("/a.npy"))
    frame = frame.entense.transform(bold=et.array("path"))
    with pytest.raises(TableError, match=said):
        et.split(frame, SHARES, **asked)
    with pytest.raises(TableError, match=said):
        et.kfold(frame, 5, **asked)


@pytest.mark.parametrize("k", [1, 0, -3, 2.0, "5"])
def test_a_number_of_folds_that_cannot_be(k):
    with pytest.raises(TableError, match="folds cannot be made: give a whole number of 2 or more"):
        et.kfold(cohort(9), k)


def test_more_folds_than_groups():
    with pytest.raises(TableError, match="9 groups of subject cannot make 10 splits"):
        et.kfold(cohort(9), 10)


def test_a_fold_is_not_overwritten():
    with pytest.raises(TableError, match="has a column 'fold' already"):
        et.kfold(et.kfold(cohort(9), 3), 3)
