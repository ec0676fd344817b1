import polars as pl
import pytest

import entense as et
from entense.errors import TableError
from entense.index import IDENTIFYING
from entense.records import stage, with_record_id


def test_the_id_is_the_dataset_and_what_identifies():
    row = {name: f"{n}" for n, name in enumerate(IDENTIFYING)}
    df = with_record_id(pl.DataFrame({"bold": "/x", **row, "dataset": "ds"}))
    assert df["record"].item() == (
        "ds_sub-0_ses-1_task-2_acq-3_dir-4_run-5_echo-6_part-7_space-8_res-9_den-10"
    )
    assert df.columns[-1] == "record"


def test_what_is_absent_is_left_out():
    df = pl.DataFrame({"dataset": ["ds", None], "subject": "01", "session": [None, "a"], "run": 2})
    assert with_record_id(df)["record"].to_list() == ["ds_sub-01_run-2", "sub-01_ses-a_run-2"]


def test_other_characters_become_dashes():
    df = pl.DataFrame({"dataset": ["my data/v1.2"], "subject": ["Zoë+1"]})
    assert with_record_id(df)["record"].item() == "my-data-v1-2_sub-Zo-+1"


def test_ids_of_staged_records_are_unique(files):
    names = [f"sub-{s}/func/sub-{s}_run-{r}_bold.nii" for s in "12" for r in "123"]
    df = stage(files(*names), bold={"suffix": "bold"}).collect()
    assert with_record_id(df)["record"].n_unique() == 6


def test_a_column_of_ones_own_is_kept():
    df = pl.DataFrame({"record": [2, 1], "subject": "01"})
    assert with_record_id(df)["record"].to_list() == ["2", "1"]
    assert with_record_id(with_record_id(df)).equals(with_record_id(df))


def test_a_repeated_record_is_named():
    df = pl.DataFrame({"dataset": "ds", "subject": ["01", "02", "01", "01"]})
    with pytest.raises(TableError, match="the record 'ds_sub-01' is there 3 times: give two"):
        with_record_id(df)
    with pytest.raises(TableError, match="the record 'x' is there 2 times"):
        with_record_id(df.with_columns(record=pl.Series(["a", "x", "b", "x"])))


def test_two_names_that_become_one_are_a_repeat_and_are_told_apart():
    said = "the record 'a-b_sub-1' is there 2 times, as '-' stands for other characters than "
    with pytest.raises(TableError, match=f"{said}.* in 'a b_sub-1' and 'a.b_sub-1': add a column"):
        with_record_id(pl.DataFrame({"dataset": ["a b", "a.b"], "subject": "1"}))
    with pytest.raises(TableError, match=r"'sub-J-rg' .* in 'sub-Jörg' and 'sub-Järg': add"):
        with_record_id(pl.DataFrame({"subject": ["Jörg", "Järg", "Jörg"]}))
    with pytest.raises(TableError, match="'sub-J-rg' is there 2 times: give two studies"):
        with_record_id(pl.DataFrame({"subject": ["Jörg", "Jörg"]}))


@pytest.mark.parametrize("name", ["a/b", "a.b", "é", " "])
def test_a_name_of_ones_own_that_no_file_can_have(name):
    with pytest.raises(TableError, match="that no file can have"):
        with_record_id(pl.DataFrame({"record": ["fine", name]}))


@pytest.mark.parametrize("name", [None, ""])
def test_a_record_without_a_name(name):
    with pytest.raises(TableError, match="a record has no name"):
        with_record_id(pl.DataFrame({"record": ["fine", name]}))


def test_a_table_that_names_nothing():
    with pytest.raises(TableError, match="add a column 'record'"):
        with_record_id(pl.DataFrame({"age": [1]}))


def test_a_trial_has_its_number():
    df = pl.DataFrame({"dataset": "ds", "subject": "01", "trial": [0, 12, 12345, None]})
    assert with_record_id(df)["record"].to_list() == [
        "ds_sub-01_trial-0000",
        "ds_sub-01_trial-0012",
        "ds_sub-01_trial-12345",
        "ds_sub-01",
    ]


def test_what_is_a_list_after_a_pivot_is_no_part():
    df = pl.DataFrame({"subject": ["01", "02"], "run": [["1", "2"], ["1"]], "trial": [[0], [0, 1]]})
    assert with_record_id(df)["record"].to_list() == ["sub-01", "sub-02"]
    with pytest.raises(TableError, match="the records have no names"):
        with_record_id(df.select("run"))


def test_a_tensor_may_have_the_name_of_an_entity():
    table = pl.DataFrame({"subject": ["01"], "bold": ["a.nii.gz"], "mask": ["m.nii.gz"]})
    table = et.transform(table, part=et.volume("bold", mask="mask"))
    assert with_record_id(table)["record"].to_list() == ["sub-01"]
