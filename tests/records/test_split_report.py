import polars as pl
import pytest

import entense as et
from entense.errors import TableError

FRAME = pl.DataFrame(
    {
        "subject": ["01", "01", "02", "03", "04", "05"],
        "sex": [*"FFFMM", None],
        "age": [20.0, 30.0, 25.0, 40.0, 50.0, None],
        "split": ["train", "train", "train", "test", "train", "test"],
    }
)
HALVES = {"train": 0.5, "test": 0.5}


def cells(report, *columns, **where):
    return report.filter(**where).select(columns).rows()


def test_totals_by_hand():
    report = et.split_report(FRAME, HALVES)
    assert cells(report, "split", "groups", "records", "due", "off", "problem") == [
        ("train", 3, 4, 2.5, 0.5, None),
        ("test", 2, 2, 2.5, -0.5, None),
    ]
    assert report["column"].null_count() == report["mean"].null_count() == 2
    assert et.split_report(FRAME.lazy(), HALVES).equals(report)


def test_without_fractions_the_shares_are_those_there_are():
    report = et.split_report(FRAME)
    assert cells(report, "split", "due", "off") == [("test", 2.0, 0.0), ("train", 3.0, 0.0)]


def test_classes_by_hand():
    report = et.split_report(FRAME, HALVES, stratify="sex")
    columns = ("value", "split", "groups", "records", "due", "problem")
    assert cells(report, *columns, column="sex") == [
        ("(absent)", "train", 0, 0, 0.5, "no group: 1 for 2 splits"),
        ("(absent)", "test", 1, 1, 0.5, None),
        ("F", "train", 2, 3, 1.0, "1.0 groups too many"),
        ("F", "test", 0, 0, 1.0, "no group: 2 for 2 splits"),
        ("M", "train", 1, 1, 1.0, None),
        ("M", "test", 1, 1, 1.0, None),
    ]


def test_quantiles_and_means_by_hand():
    report = et.split_report(FRAME, HALVES, representative="age", bins=2)
    assert cells(report, "split", "value", "mean", "sd", "groups", column="age") == [
        ("train", None, 100 / 3, pytest.approx(14.43376), 3),
        ("test", None, 40.0, None, 2),
        ("train", "(absent)", None, None, 0),
        ("test", "(absent)", None, None, 1),
        ("train", "1: 25 to 25", 25.0, 0.0, 2),
        ("test", "1: 25 to 25", None, None, 0),
        ("train", "2: 40 to 50", 50.0, None, 1),
        ("test", "2: 40 to 50", 40.0, None, 1),
    ]


def test_combinations_and_groups_of_several_values():
    frame = FRAME.with_columns(sex=pl.Series([*"FMFMMM"]))
    report = et.split_report(frame, HALVES, stratify="sex", representative="age", bins=2)
    values = report.filter(column="sex, age")["value"].unique().sort().to_list()
    assert values == ["F + M, 1: 25 to 25", "F, 1: 25 to 25", "M, (absent)", "M, 2: 40 to 50"]
    for _, facet in report.drop_nulls("value").group_by("column"):
        assert facet["groups"].sum() == 5
        assert facet["records"].sum() == 6


def test_a_group_that_somebody_parted_is_named():
    frame = pl.concat([FRAME, FRAME[:1].with_columns(split=pl.lit("test"))])
    report = et.split_report(frame, HALVES)
    said = "groups that are in other splits, too: 01"
    assert cells(report, "split", "groups", "problem") == [("train", 3, said), ("test", 3, said)]


def test_records_without_a_split_and_splits_without_records():
    frame = FRAME.with_columns(pl.col("split").replace("test", None))
    report = et.split_report(frame, {"train": 0.6, "val": 0.4})
    assert cells(report, "split", "groups", "off", "problem") == [
        ("train", 3, 0.0, None),
        ("val", 0, -2.0, "no group: 5 for 3 splits"),
        (None, 2, 2.0, "2.0 groups too many"),
    ]


def test_what_split_makes_has_no_problem_and_a_small_stratum_is_one():
    frame = pl.DataFrame({"subject": range(41), "sex": ["F"] * 20 + ["M"] * 20 + ["X"]})
    shares = {"train": 0.5, "val": 0.25, "test": 0.25}
    done = et.split(frame, shares, stratify="sex")
    report = done.entense.split_report(shares, stratify="sex")
    assert report["off"].abs().max() < 1
    problems = report.drop_nulls("problem")
    assert set(problems["value"]) == {"X"}
    assert set(problems["problem"]) == {"no group: 1 for 3 splits"}
    assert len(problems) == 2


def test_folds():
    frame = et.kfold(FRAME.drop("split"), 5)
    report = et.split_report(frame, column="fold")
    assert cells(report, "split", "groups") == [(str(fold), 1) for fold in range(5)]


def test_bad_input():
    with pytest.raises(TableError, match="no column 'fold' to report on: call split or kfold"):
        et.split_report(FRAME, column="fold")
    with pytest.raises(TableError, match=r"must be positive and sum to 1, not 0\.5"):
        et.split_report(FRAME, {"train": 0.5})
    with pytest.raises(TableError, match="there is no column 'family' to split by"):
        et.split_report(FRAME, by="family")
    with pytest.raises(TableError, match="there is no column 'site' to stratify by"):
        et.split_report(FRAME, stratify="site")


def test_a_slip_in_a_name():
    with pytest.raises(TableError, match="no split 'trian' in the table; did you mean 'train'"):
        et.split_report(FRAME, {"trian": 0.5, "test": 0.5})
    with pytest.raises(TableError, match="no split 'x' in the table; there are: test, train"):
        et.split_report(FRAME, {"x": 1.0})
