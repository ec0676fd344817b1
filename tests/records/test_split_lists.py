import logging

import polars as pl
import pytest

import entense as et
from entense.errors import EntenseError, TableError

FRAME = pl.DataFrame({"subject": ["03", "01", "02", "01"], "session": ["a", "a", "b", "b"]})
LISTS = {"train": ["01", "sub-02"], "test": ["03"]}
EXPECTED = ["test", "train", "train", "train"]


def test_lists_with_and_without_prefix():
    assert et.split(FRAME, LISTS)["split"].to_list() == EXPECTED
    assert et.split(FRAME.lazy(), LISTS).collect()["split"].to_list() == EXPECTED
    prefixed = FRAME.with_columns("sub-" + pl.col("subject"))
    assert et.split(prefixed, LISTS).equals(prefixed.with_columns(split=pl.Series(EXPECTED)))


def test_lists_of_other_types():
    frame = pl.DataFrame({"family": [7, 8, 9]})
    lists = {"train": pl.Series([7, 8]).to_numpy(), "test": pl.Series([9])}
    assert et.split(frame, lists, by="family")["split"].to_list() == ["train", "train", "test"]


def test_groups_of_several_columns_are_tuples():
    lists = {"x": [("01", "a"), ("02", "b")], "y": [("01", "b"), ["03", "a"]]}
    found = et.split(FRAME, lists, by=["subject", "session"])
    assert found["split"].to_list() == ["y", "x", "x", "y"]


@pytest.mark.parametrize("ending", [".tsv", ".csv", ".parquet"])
def test_a_file_as_bids_names_its_columns(tmp_path, ending):
    table = pl.DataFrame(
        {"participant_id": ["sub-01", "sub-02", "sub-03"], "split": ["train", "train", "test"]}
    )
    path = tmp_path / f"splits{ending}"
    if ending == ".parquet":
        table.write_parquet(path)
    else:
        table.write_csv(path, separator="\t" if ending == ".tsv" else ",")
    assert et.split(FRAME, path)["split"].to_list() == EXPECTED
    assert et.split(FRAME, str(path))["split"].to_list() == EXPECTED


def test_columns_of_the_table_itself():
    frame = FRAME.with_columns(cohort=pl.Series(EXPECTED, dtype=pl.Categorical))
    found = et.split(frame, frame.lazy().select("subject", split="cohort"))
    assert found["split"].to_list() == EXPECTED
    parted = FRAME.select("subject", split="session")
    with pytest.raises(TableError, match="1 group is in two lists: 01; leave each in one"):
        et.split(FRAME, parted)


def test_a_split_written_down_is_the_same_split():
    frame = pl.DataFrame({"subject": [f"{s:02}" for s in range(20)]})
    once = et.split(frame, {"train": 0.8, "test": 0.2})
    assert et.split(frame, once.select("subject", "split")).equals(once)


def test_groups_in_no_list_and_in_two_are_named():
    with pytest.raises(TableError, match="2 groups are in no list of a split: 01, 03; list them"):
        et.split(FRAME, {"train": ["02"]})
    with pytest.raises(TableError, match="2 groups are in two lists: 01, 02"):
        et.split(FRAME, {"train": ["01", "02"], "test": ["03", "01", "02"]})
    with pytest.raises(TableError, match="in no list of a split: 03_a"):
        et.split(FRAME[:1], {"x": [("03", "b")]}, by=["subject", "session"])
    without = pl.DataFrame({"subject": ["01", "02", "03"], "split": ["a", None, "b"]})
    with pytest.raises(TableError, match="1 group is in no list of a split: 02"):
        et.split(FRAME, without)


def test_twice_in_one_list_is_once():
    assert (
        et.split(FRAME, {"a": ["01", "01", "sub-01", "02", "03"]})["split"].to_list() == ["a"] * 4
    )


def test_listed_groups_without_records_are_told(caplog):
    with caplog.at_level(logging.WARNING, "entense"):
        et.split(FRAME, LISTS)
        assert not caplog.messages
        et.split(FRAME, LISTS | {"val": ["99", "04"]})
    assert caplog.messages == ["2 of the groups in the lists of splits have no record: 04, 99"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"train": ["01"], "test": 0.2}, "the split 'test' needs a list of groups.* not 0.2"),
        ({"train": "01"}, "the split 'train' needs a list of groups.* not '01'"),
        ({"train": [("01", "a")]}, r"\('01', 'a'\) in 'train' names no group: say its subject"),
        ([0.8, 0.2], r"fractions or lists are due.* not \[0.8, 0.2\]"),
        ("nowhere.tsv", "there is no table nowhere.tsv"),
        (FRAME, "the table has no column split: a table of splits has a row a group"),
        (FRAME.select(split="session"), "the table has no column subject"),
    ],
)
def test_lists_that_are_none(given, said):
    with pytest.raises(TableError, match=said):
        et.split(FRAME, given)


def test_lists_are_not_balanced():
    with pytest.raises(TableError, match="leave out stratify and representative"):
        et.split(FRAME, LISTS, stratify="session")


def test_fractions_are_no_lists():
    with pytest.raises(TableError, match="fractions are due"):
        et.split(FRAME, LISTS, scheme="random")
    with pytest.raises(
        EntenseError, match="there is no split scheme 'randum'; did you mean 'random'"
    ):
        et.split(FRAME, {"a": 1.0}, scheme="randum")
