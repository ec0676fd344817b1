import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from entense.errors import TableError
from entense.records import join_table

RECORDS = pl.DataFrame(
    {"subject": ["02", "01", "02"], "session": ["a", "a", "b"], "bold": ["/2a", "/1a", "/2b"]}
)


@pytest.fixture
def write(tmp_path):
    def make(text: str, name: str = "participants.tsv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return make


def test_a_tsv_of_participants(write):
    path = write(
        "participant_id\tage\tsex\tsite\nsub-01\t30\tF\t\nsub-02\tn/a\tM\tn/a\nsub-3\t1\tM\tx\n"
    )
    joined = join_table(RECORDS, path)
    added = pl.DataFrame(
        {
            "age": [None, 30, None],
            "sex": ["M", "F", "M"],
            "site": pl.Series([None] * 3, dtype=pl.String),
        }
    )
    assert_frame_equal(joined, pl.concat([RECORDS, added], how="horizontal"))


def test_the_kind_of_frame_is_kept(write):
    path = write("participant_id\tage\nsub-01\t30\nsub-02\t31\n")
    lazy = join_table(RECORDS.lazy(), str(path))
    assert isinstance(lazy, pl.LazyFrame)
    assert_frame_equal(lazy.collect(), join_table(RECORDS, path))


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "frame", "lazy"])
def test_other_kinds_of_table(tmp_path, name):
    frame = pl.DataFrame({"subject": ["01", "02"], "age": [30, 31]})
    table = {"frame": frame, "lazy": frame.lazy()}.get(name, tmp_path / name)
    if name == "t.csv":
        frame.write_csv(table)
    if name == "t.parquet":
        frame.write_parquet(table)
    assert join_table(RECORDS, table)["age"].to_list() == [31, 30, 31]


@pytest.mark.parametrize("ours", ["01", "sub-01"])
@pytest.mark.parametrize("theirs", ["01", "sub-01"])
def test_labels_match_with_and_without_prefix(ours, theirs):
    records = pl.DataFrame({"subject": [ours]})
    joined = join_table(records, pl.DataFrame({"participant_id": [theirs], "age": [30]}))
    assert joined.rows() == [(ours, 30)]


def test_a_label_keeps_its_zeros(write):
    records = pl.DataFrame({"subject": ["007", "7"]})
    joined = join_table(records, write("participant_id\tage\n007\t30\n7\t31\n"))
    assert joined.rows() == [("007", 30), ("7", 31)]


def test_types_come_from_the_whole_file(write):
    rows = "".join(f"sub-{n}\t{n}\n" for n in range(500))
    table = write(f"participant_id\tscore\n{rows}sub-x\t0.5\n")
    records = pl.DataFrame({"subject": ["3", "x"]})
    assert join_table(records, table)["score"].to_list() == [3.0, 0.5]


def test_subject_and_session_are_the_keys_where_both_have_them(write):
    path = write("participant_id\tsession_id\tmood\nsub-02\tses-a\t1\nsub-02\tses-b\t2\n")
    assert join_table(RECORDS, path)["mood"].to_list() == [1, None, 2]


def test_keys_of_ones_own(write):
    records = RECORDS.with_columns(family=pl.Series([1, 2, 1]))
    path = write("family\tincome\n1\t10\n2\t20\n", "families.tsv")
    assert join_table(records, path, on="family")["income"].to_list() == [10, 20, 10]
    assert join_table(records, path, on="family").columns == [*records.columns, "income"]


def test_the_bids_name_of_a_key_will_do():
    table = pl.DataFrame({"participant_id": ["01", "02"], "age": [30, 31]})
    assert join_table(RECORDS, table, on=["participant_id"])["age"].to_list() == [31, 30, 31]


def test_records_without_a_subject_stay(write):
    records = pl.DataFrame({"subject": ["01", None]})
    table = pl.DataFrame({"subject": ["01", None, None], "age": [30, 98, 99]})
    assert join_table(records, table)["age"].to_list() == [30, None]


def test_no_records_is_no_error():
    joined = join_table(RECORDS.clear(), pl.DataFrame({"subject": ["01"], "age": [30]}))
    assert joined.columns == [*RECORDS.columns, "age"]


def test_a_subject_that_is_there_twice(write):
    path = write("participant_id\tage\nsub-01\t30\n01\t31\nsub-02\t3\n")
    with pytest.raises(
        TableError,
        match=rf"{path} has more than one row for subject '01' \(row 1, row 2\): keep one",
    ):
        join_table(RECORDS, path)


def test_a_column_that_both_have(write):
    path = write("participant_id\tbold\nsub-01\tx\n")
    with pytest.raises(TableError, match="both have the column bold: rename or drop it"):
        join_table(RECORDS, path)


def test_no_key(write):
    path = write("name\tage\nx\t1\n")
    with pytest.raises(TableError, match=r"do not both have the column subject .*has name, age"):
        join_table(RECORDS, path)
    with pytest.raises(TableError, match="do not both have the column site"):
        join_table(RECORDS, path, on="site")


def test_a_table_about_others(write):
    path = write("participant_id\tage\nsub-X1\t1\nsub-X2\t1\n")
    with pytest.raises(TableError, match="says nothing about any record: it has subject X1, X2"):
        join_table(RECORDS.lazy(), path)


def test_a_missing_file(tmp_path):
    with pytest.raises(TableError, match=r"there is no table .*nope\.tsv"):
        join_table(RECORDS, tmp_path / "nope.tsv")


def test_another_kind_of_file(write):
    with pytest.raises(TableError, match=r"table\.xlsx is not a table that can be read"):
        join_table(RECORDS, write("x", "table.xlsx"))


def test_what_has_no_match_is_counted(write, caplog):
    path = write(
        "participant_id\tage\n" + "".join(f"sub-{n:02}\t{n}\n" for n in range(1, 12)) + "n/a\t4\n"
    )
    records = pl.DataFrame({"subject": ["01", "x", "01", "y", "x", None]})
    join_table(records, path)
    (line,) = caplog.messages
    assert line == (
        f"{path}: 4 of 6 records have no row (subject x, y, (absent)); "
        "11 of 12 rows have no record (subject 02, 03, 04, 05, 06, …)"
    )


def test_where_all_match_nothing_is_said(caplog):
    join_table(RECORDS, pl.DataFrame({"subject": ["02", "01"], "age": [1, 2]}))
    join_table(RECORDS.clear(), pl.DataFrame({"subject": ["02", "01"], "age": [1, 2]}))
    assert not caplog.messages


@given(
    subjects=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=8),
    rows=st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8),
    lazy=st.booleans(),
)
def test_each_record_gets_the_row_of_its_subject(subjects, rows, lazy):
    records = pl.DataFrame({"subject": subjects, "place": range(len(subjects))})
    table = pl.DataFrame(
        {"subject": rows, "value": [ord(row) for row in rows]},
        {"subject": pl.String, "value": pl.Int64},
    )
    if not set(subjects) & set(rows):
        with pytest.raises(TableError):
            join_table(records, table)
        return
    joined = join_table(records.lazy() if lazy else records, table).lazy().collect()
    values = [ord(one) if one in rows else None for one in subjects]
    assert_frame_equal(joined, records.with_columns(value=pl.Series(values, dtype=pl.Int64)))


def test_a_session_that_the_records_lack_is_no_key():
    records = pl.DataFrame({"subject": ["01", "02"], "session": [None, None]})
    table = pl.DataFrame(
        {"participant_id": ["01", "02"], "session_id": ["ses-1", "ses-1"], "age": [1, 2]}
    )
    joined = join_table(records, table)
    assert joined["age"].to_list() == [1, 2]
    assert joined["session_id"].to_list() == ["ses-1", "ses-1"]
    twice = pl.concat([table, table.with_columns(session_id=pl.lit("ses-2"))])
    with pytest.raises(TableError, match="more than one row for subject '01'"):
        join_table(records, twice)


def test_a_run_is_a_number():
    records = pl.DataFrame({"subject": ["01", "01"], "run": ["1", "02"]})
    table = pl.DataFrame({"subject": ["01", "01"], "run": ["run-01", "2"], "good": [True, False]})
    assert join_table(records, table, on=["subject", "run"])["good"].to_list() == [True, False]


def test_a_table_of_one_dataset_is_not_joined_to_the_subjects_of_another():
    """Two studies have a subject 01 each, who are two persons."""
    people = pl.DataFrame({"participant_id": ["sub-01", "sub-02"], "age": [30, 31]})
    one, other = (
        pl.DataFrame({"dataset": [name] * 2, "subject": ["01", "02"]}) for name in ("ds1", "ds2")
    )
    with pytest.raises(TableError, match=r"subject 01 is, and there is one in ds1, ds2: join it"):
        join_table(pl.concat([one, other]), people)
    both = people.with_columns(dataset=pl.lit("ds2"))
    joined = join_table(pl.concat([one, other]), both, on=["dataset", "subject"])
    assert joined.rows() == [
        *(("ds1", "01", None), ("ds1", "02", None)),
        *(("ds2", "01", 30), ("ds2", "02", 31)),
    ]
    twice = pl.concat([one, one.with_columns(session=pl.lit("b"))], how="diagonal")
    assert join_table(twice, people)["age"].to_list() == [30, 31] * 2
    apart = pl.concat([one.head(1), other.tail(1)])
    assert join_table(apart, people)["age"].to_list() == [30, 31]
    families = pl.DataFrame({"family": ["f"], "income": [1]})
    related = pl.concat([one, other]).with_columns(family=pl.lit("f"))
    assert join_table(related, families, on="family")["income"].to_list() == [1] * 4
