"""What the sidecars say: `facts`, and what it does with bad ones."""

import json

import polars as pl
import pytest

from entense.errors import RecordError, TableError
from entense.records import facts, stage

BOLD = {"suffix": "bold"}
NAMES = ["sub-01/func/sub-01_task-x_bold", "sub-02/func/sub-02_task-x_bold"]


@pytest.fixture
def dataset(tmp_path, files):
    """Two runs, each with a JSON beside it, and one above: its records."""

    def make(*said, above=None):
        table = files(*(f"{name}{end}" for name in NAMES for end in (".nii", ".json")))
        top = files("sub-03/sub-03_task-x_bold.json").with_columns(
            path=pl.lit("/data/task-x_bold.json"), subject=pl.lit(None, pl.String)
        )
        table = pl.concat([table, top]).with_columns(
            path=pl.col("path").str.replace("/data", str(tmp_path), literal=True),
            root=pl.lit(str(tmp_path)),
        )
        for name, text in zip([*NAMES, "task-x_bold"], [*said, above], strict=True):
            path = tmp_path / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text if isinstance(text, str) else json.dumps(text or {}))
        return stage(table, bold=BOLD)

    return make


def test_the_nearest_that_has_it_counts(dataset):
    records = dataset({"EchoTime": 0.01, "Site": None}, {}, above={"EchoTime": 0.03, "Site": "A"})
    df = facts(records, "bold", EchoTime=pl.Float64, Site=pl.String, Nope=pl.Int64).collect()
    assert df["bold_EchoTime"].to_list() == [0.01, 0.03]
    assert df["bold_Site"].to_list() == ["A", "A"]
    assert df["bold_Nope"].to_list() == [None, None]
    assert df.schema["bold_Nope"] == pl.Int64
    assert df.columns[-3:] == ["bold_EchoTime", "bold_Site", "bold_Nope"]


def test_the_repetition_time_is_inherited(dataset):
    records = dataset({"RepetitionTime": 0.72}, {}, above={"RepetitionTime": 2})
    assert records.collect()["bold_tr"].to_list() == [0.72, 2.0]
    assert [len(cell) for cell in records.collect()["bold_sidecar"]] == [2, 2]


def test_only_a_file_that_must_be_read_can_be_broken(dataset):
    tr = dataset({"RepetitionTime": 0.72}, {}, above="{ not json").collect()["bold_tr"]
    assert tr[0] == 0.72
    assert tr.is_nan()[1]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (pl.List(pl.Float64), [0, 0.5, 1.0]),
        (pl.List(pl.String), ["a", "b"]),
        (pl.Int64, 3),
        (pl.Float64, 3),
        (pl.Boolean, True),
        (pl.Struct({"a": pl.Int64}), {"a": 1}),
        (pl.Enum(["i", "j-"]), "j-"),
    ],
)
def test_types(dataset, dtype, value):
    df = facts(dataset({"F": value}, {}), "bold", F=dtype).collect()
    assert df["bold_F"].to_list() == [value, None]
    assert df.schema["bold_F"] == dtype


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (pl.Float64, "fast"),
        (pl.Float64, True),
        (pl.Float64, [1.0]),
        (pl.Int64, 1.5),
        (pl.String, 1),
        (pl.List(pl.Float64), 1.0),
        (pl.List(pl.Float64), ["a"]),
        (pl.Enum(["i"]), "j"),
    ],
)
def test_a_value_of_another_type_is_an_error_that_names_the_file(dataset, dtype, value):
    records = facts(dataset({"F": value}, {}), "bold", F=dtype)
    with pytest.raises(RecordError) as error:
        records.collect()
    assert f"{NAMES[0]}.json: has F {value!r}: F cannot be read as" in str(error.value)
    assert records.filter(subject="02").collect()["bold_F"].to_list() == [None]


@pytest.mark.parametrize("text", ["{ not json", "[1]", '"F"', "", "\x00", "null"])
def test_a_sidecar_that_is_none(dataset, text):
    with pytest.raises(RecordError, match=rf"{NAMES[0]}.json: is not a JSON file of key and value"):
        facts(dataset(text, {}), "bold", F=pl.Int64).collect()


def test_many_bad_ones_are_counted(tmp_path):
    lists = [[str(tmp_path / f"{n}.json")] for n in range(5)]
    df = pl.DataFrame({"bold": ["/a"] * 5, "bold_sidecar": lists})
    with pytest.raises(RecordError, match=r"0\.json: there is no such file.*2\.json.*and 2 more"):
        facts(df, "bold", F=pl.Int64)


def test_nothing_is_read_until_the_column_is_used(dataset):
    records = facts(dataset("{ not json", "{ not json"), "bold", F=pl.Int64)
    assert records.collect_schema()["bold_F"] == pl.Int64
    assert records.select("subject").collect().height == 2


def test_a_data_frame_stays_one(dataset):
    records = dataset({"F": 1}, {"F": 2})
    df = facts(records.collect(), "bold", F=pl.Int64)
    assert isinstance(df, pl.DataFrame)
    assert df["bold_F"].to_list() == [1, 2]


def test_records_without_sidecars():
    df = pl.DataFrame({"bold": ["/a"], "bold_sidecar": [None]})
    assert facts(df, "bold", F=pl.List(pl.Int8))["bold_F"].to_list() == [None]
    empty = pl.DataFrame(schema={"bold": pl.String, "bold_sidecar": pl.List(pl.String)})
    assert facts(empty, "bold", F=pl.Int64).schema["bold_F"] == pl.Int64


def test_what_cannot_be_asked():
    df = pl.DataFrame({"bold": ["/a"], "bold_sidecar": [None], "bold_F": 1})
    with pytest.raises(TableError, match="there is no role 'bald'; did you mean 'bold'"):
        facts(df, "bald", F=pl.Int64)
    with pytest.raises(TableError, match="a column bold_F already"):
        facts(df, "bold", F=pl.Int64)
    with pytest.raises(TableError, match="none of Polars'"):
        facts(df, "bold", G="Float64")
    nested = df.with_columns(bold_sidecar=pl.Series([[["/a.json"]]]))
    with pytest.raises(TableError, match="not those of one record"):
        facts(nested, "bold", G=pl.Int64)
