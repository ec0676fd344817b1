"""What a column of text becomes: numbers, levels of a sidecar, or an error for a second header."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entense.errors import TableError
from entense.records import join_table
from entense.records.tables.files import typed

RECORDS = pl.DataFrame({"subject": ["01", "02", "03"]})


@pytest.fixture
def write(tmp_path):
    def make(text, name="participants.tsv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return make


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_whole_numbers(values):
    made = typed(pl.Series([v if v is None else str(v) for v in values], dtype=pl.String))
    assert made.to_list() == values
    assert made.dtype == (pl.Int64 if any(v is not None for v in values) else pl.String)


@given(st.lists(st.none() | st.floats(allow_nan=False), min_size=1))
def test_numbers_are_those_that_python_reads(values):
    made = typed(pl.Series([v if v is None else repr(v) for v in values], dtype=pl.String))
    assert made.cast(pl.Float64).to_list() == values


def test_other_columns():
    truth = typed(pl.Series(["True", "false", None]))
    assert truth.to_list() == [True, False, None]
    for cells in (["1", "true"], ["1 2"], [" 1", "x"], ["1,5"], ["0x1"], ["2020-01-01"]):
        assert typed(pl.Series(cells)).to_list() == cells
    assert typed(pl.Series(["9" * 30])).to_list() == [float("9" * 30)]
    assert typed(pl.Series(["NaN", "1", "nan"])).to_list() == [None, 1.0, None]


def test_ids_stay_text_whatever_they_look_like(write):
    path = write("participant_id\tsession_id\tspace\trun\n01\t1\t2\t3\n02\t1\t2\t3\n")
    joined = join_table(RECORDS, path)
    assert joined.dtypes == [pl.String] * 4


def levels(**columns):
    return json.dumps({name: {"Levels": found} for name, found in columns.items()})


def test_levels_of_the_sidecar_make_an_enum(write, caplog):
    write(levels(sex={"M": "male", "F": "female"}, group=["b", "a"]), "participants.json")
    path = write("participant_id\tsex\tgroup\tage\n01\tF\ta\t1\n02\tM\tn/a\t2\n03\tn/a\tb\t3\n")
    joined = join_table(RECORDS, path)
    assert joined.schema["sex"] == pl.Enum(["M", "F"])
    assert joined.schema["group"] == pl.Enum(["b", "a"])
    assert joined.schema["age"] == pl.Int64
    assert joined["sex"].to_list() == ["F", "M", None]
    assert joined["group"].to_list() == ["a", None, "b"]
    assert not caplog.messages


def test_levels_that_the_sidecar_does_not_list(write, caplog):
    sidecar = write(levels(sex={"M": "male"}), "participants.json")
    path = write("participant_id\tsex\n01\tX\n02\tM\n03\tF\n")
    joined = join_table(RECORDS, path)
    assert joined.schema["sex"] == pl.Enum(["M", "F", "X"])
    assert joined["sex"].to_list() == ["X", "M", "F"]
    (line,) = caplog.messages
    assert line == f"{sidecar} lists no level F, X for the column sex: appended to its levels"


@pytest.mark.parametrize("codes", [("1", "2", "n/a"), ("1.0", "2.0", ""), ("1", "2.0", "n/a")])
@pytest.mark.parametrize("name", ["participants.tsv", "participants.parquet"])
def test_codes_compare_as_their_text(write, caplog, tmp_path, codes, name):
    write(levels(sex={"1": "male", "2": "female"}), "participants.json")
    path = write("participant_id\tsex\n01\t{}\n02\t{}\n03\t{}\n".format(*codes))
    if name.endswith("parquet"):
        table = pl.read_csv(path, separator="\t", null_values=["n/a", ""], infer_schema_length=9)
        path = tmp_path / name
        table.with_columns(participant_id=pl.Series(["01", "02", "03"])).write_parquet(path)
    joined = join_table(RECORDS, path)
    assert joined.schema["sex"] == pl.Enum(["1", "2"])
    assert joined["sex"].to_list() == ["1", "2", None]
    assert not caplog.messages


def test_levels_for_the_files_of_all_subjects(write, tmp_path):
    write(levels(drug={"b": "B", "a": "A"}), "sessions.json")
    write(levels(drug={"c": "C"}), "sub-02/sub-02_sessions.json")
    for subject in ("01", "02", "03"):
        write("session_id\tdrug\nses-1\ta\n", f"sub-{subject}/sub-{subject}_sessions.tsv")
    records = RECORDS.with_columns(session=pl.lit("1"))
    joined = join_table(records, f"{tmp_path}/sub-*/*_sessions.tsv")
    assert joined.schema["drug"] == pl.Enum(["b", "a", "c"])


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_sidecar_that_cannot_be_read(write, text):
    write(text, "participants.json")
    path = write("participant_id\tsex\n01\tX\n")
    with pytest.raises(TableError, match=r"participants\.json cannot be read .*: mend it"):
        join_table(RECORDS, path)


def test_a_sidecar_without_levels(write):
    write('{"sex": {"Description": "d"}, "age": "x", "a": {"Levels": {}}}', "participants.json")
    path = write("participant_id\tsex\tage\ta\n01\tX\t3\t4\n")
    assert join_table(RECORDS, path).dtypes == [pl.String, pl.String, pl.Int64, pl.Int64]


@pytest.mark.parametrize(
    "row",
    [
        "The NDA GUID\tAge in months\t\tfree text\tkg",
        "id\tmonths\t1-10 scale\t\tkg",
        "\tyears\tpoints\t\t",
        "sub-xx\t%\tn/a\tn/a\tn/a",
    ],
)
def test_a_second_header_row(write, row):
    head = "participant_id\tage\tscore\tnote\tweight\n"
    rows = "01\t300\t1\ta\t60.5\n02\tn/a\t2\tb\t70\n03\t311\tn/a\t\t\n"
    join_table(RECORDS, write(head + rows))
    with pytest.raises(TableError, match=r"has a second header row \(age: .*: delete that row"):
        join_table(RECORDS, write(head + row + "\n" + rows))


@pytest.mark.parametrize(
    "rows",
    [
        "01\trefused\t3\n02\t4\t5\n",  # a record's own row
        "9\trefused\t3\n02\t4\t5\n",  # it has a number, too
        "9\tunknown\t\n02\t4\t\n",  # a mark for what is missing
        "9\t89+\t\n02\t4\t\n",
        "9\tlow\tx\n02\thigh\ty\n",
        "9\tlow\t\n02\t\t\n",
    ],
)
def test_a_first_row_that_is_no_header(write, rows):
    joined = join_table(RECORDS, write("participant_id\ta\tb\n" + rows))
    assert joined.filter(subject="02").height == 1


CELLS = {
    "numbers": st.integers(-9, 99).map(str) | st.floats(-9, 9).map(repr),
    "words": st.sampled_from(["low", "high", "left handed", "7 cups"]),
    "missing": st.sampled_from(["n/a", "", "NA", "unknown", "-", "missing"]),
}


@st.composite
def ordinary_tables(draw):
    """Columns of numbers or of words, with gaps and marks; the first column, age, has no gap."""
    height = draw(st.integers(1, 6))
    kinds = draw(st.lists(st.sampled_from(["numbers", "words"]), max_size=4))
    columns = [[draw(CELLS["numbers"]) for _ in range(height)]]
    columns += [[draw(CELLS[kind] | CELLS["missing"]) for _ in range(height)] for kind in kinds]
    return [[f"sub-{n:02}", *cells] for n, cells in enumerate(zip(*columns, strict=True))]


@given(rows=ordinary_tables(), present=st.integers(0, 5))
def test_no_ordinary_table_has_a_second_header(tmp_path_factory, rows, present):
    path = tmp_path_factory.mktemp("t") / "p.tsv"
    head = ["participant_id", *(f"c{n}" for n in range(1, len(rows[0])))]
    path.write_text("".join("\t".join(row) + "\n" for row in [head, *rows]))
    records = pl.DataFrame({"subject": [f"{present % len(rows):02}"]})
    assert join_table(records, path).width == len(head)


@given(rows=ordinary_tables())
def test_any_table_with_a_second_header_has_one(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "p.tsv"
    head = ["participant_id", *(f"c{n}" for n in range(1, len(rows[0])))]
    second = [f"what {name} means" for name in head]
    path.write_text("".join("\t".join(row) + "\n" for row in [head, second, *rows]))
    with pytest.raises(TableError, match="has a second header row"):
        join_table(pl.DataFrame({"subject": ["00"]}), path)
