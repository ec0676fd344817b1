"""`pivot`: records of a higher level, and back again."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import entense as et
from entense.errors import ArchiveError, RecipeError, TableError
from entense.records import drop_incomplete, pivot, split, with_record_id
from entense.tensors.lazy import Lazy, storage

RUNS = [
    ("01", "a", "1"), ("01", "a", "2"), ("01", "b", "1"), ("02", "a", "1"), ("02", "b", "1"),
]  # fmt: skip


def table(**more):
    """Two subjects of two sessions and three runs, and two; the paths do not exist."""
    names = [f"sub-{subject}_ses-{session}_run-{run}" for subject, session, run in RUNS]
    return pl.DataFrame(
        {
            "dataset": "ds",
            **{
                key: [row[i] for row in RUNS] for i, key in enumerate(("subject", "session", "run"))
            },
            "task": "rest",
            "bold": [f"/none/{name}_bold.nii.gz" for name in names],
            "bold_sidecar": [[f"/none/{name}_bold.json"] for name in names],
            "bold_tr": [2.0, 2.0, 1.5, 2.0, None],
            "mask": "/none/mask.nii.gz",
            "mask_sidecar": pl.Series([None] * 5, dtype=pl.List(pl.String)),
            "age": [30, 30, 30, 40, 40],
            "mood": [1, 2, 1, 1, 1],
            **more,
        }
    )


def runs(df, column="run"):
    return df.select("subject", column).rows()


FRAMES = pytest.mark.parametrize("kind", [pl.DataFrame, pl.LazyFrame], ids=lambda k: k.__name__)


@FRAMES
def test_a_subject(kind):
    df = pivot(kind(table()), "subject")
    assert isinstance(df, kind)
    df = df.lazy().collect()
    assert runs(df) == [("01", ["1", "2", "1"]), ("02", ["1", "1"])]
    assert runs(df, "session") == [("01", ["a", "a", "b"]), ("02", ["a", "b"])]
    # roles and what was read for them are lists whatever they hold, others where they differ
    listed = [name for name, dtype in df.schema.items() if isinstance(dtype, pl.List)]
    assert sorted(listed) == sorted(
        ["session", "run", "bold", "bold_sidecar", "bold_tr", "mask", "mask_sidecar", "mood"]
    )
    assert df["bold_tr"].to_list() == [[2.0, 2.0, 1.5], [2.0, None]]
    assert df["mask"].to_list() == [["/none/mask.nii.gz"] * 3, ["/none/mask.nii.gz"] * 2]
    assert df.select("task", "age").rows() == [("rest", 30), ("rest", 40)]
    assert set(df.columns) == set(table().columns)


@FRAMES
def test_a_session(kind):
    df = pivot(kind(table()), "session").lazy().collect()
    assert df.select("subject", "session", "run").rows() == [
        ("01", "a", ["1", "2"]), ("01", "b", ["1"]), ("02", "a", ["1"]), ("02", "b", ["1"])
    ]  # fmt: skip
    assert df["age"].dtype == pl.Int64


@FRAMES
@pytest.mark.parametrize(
    ("level", "keys"),
    [
        (["session"], ["dataset", "session"]),
        (["run", "subject"], ["dataset", "run", "subject"]),
        (("dataset", "task"), ["dataset", "task"]),
        ("age", ["dataset", "age"]),
    ],
)
def test_any_columns(kind, level, keys):
    df = pivot(kind(table()), level).lazy().collect()
    assert df.columns[: len(keys)] == keys
    assert not any(isinstance(df.schema[key], pl.List) for key in keys)
    assert df["bold"].list.len().sum() == 5
    assert_frame_equal(df.select(keys), table().select(keys).unique(maintain_order=True))


def test_datasets_are_not_mixed():
    two = pl.concat([table(), table().with_columns(dataset=pl.lit("other"))])
    assert len(pivot(two, "subject")) == 4
    assert len(pivot(two.drop("dataset"), "subject")) == 2


@given(st.permutations(range(5)))
def test_the_order_is_that_of_the_rows(order):
    df = table().with_columns(place=pl.Series(range(5)))[order]
    made = pivot(df, "subject")
    due = {}
    for row in df.rows(named=True):
        due.setdefault(row["subject"], []).append((row["bold"], row["bold_tr"], row["place"]))
    found = made.select("subject", pl.col("bold", "bold_tr", "place")).rows()
    assert [(s, list(zip(*lists, strict=True))) for s, *lists in found] == list(due.items())


@given(st.permutations(range(5)), st.sampled_from(["subject", "session", ["run"]]))
def test_explode_undoes_it(order, level):
    df = table()[order]
    made = pivot(df, level)
    again = made.explode([n for n in df.columns if made.schema[n] != df.schema[n]])
    again = again.select(df.columns)
    assert_frame_equal(again.sort("bold"), df.sort("bold"))


def test_a_null_is_a_value_that_differs():
    df = pivot(table(iq=[None, 100, 100, None, None]), "subject")
    assert df["iq"].to_list() == [[None, 100, 100], [None, None]]


def test_columns_of_lists_and_structs_that_are_no_roles():
    lists = [["a"], ["a"], ["a"], ["b"], ["b"]]
    structs = [{"key": 1}, {"key": 2}, {"key": 1}, {"key": 1}, {"key": 1}]
    df = pivot(table(same=lists, other=structs, others=[[one] for one in structs]), "subject")
    assert df["same"].to_list() == [["a"], ["b"]]
    assert df["other"].to_list() == [structs[:3], structs[3:]]
    assert df["others"].to_list() == [
        [[one] for one in structs[:3]],
        [[one] for one in structs[3:]],
    ]


def test_an_empty_table_stays_one():
    assert pivot(table().head(0), "subject").height == 0


def test_a_split_that_parts_a_record_is_an_error():
    parted = table(split=["train", "train", "test", "train", "train"])
    with pytest.raises(TableError, match="one dataset and subject are in different splits: pivot"):
        pivot(parted, "subject")
    assert pivot(parted, "session")["split"].to_list() == ["train", "test", "train", "train"]
    by_subject = split(table(), {"train": 0.5, "test": 0.5}, by="subject")
    assert pivot(by_subject, "subject")["split"].dtype == pl.String
    assert split(pivot(table(), "subject"), {"train": 0.5, "test": 0.5})["split"].dtype == pl.String


@pytest.mark.parametrize(
    ("level", "says"),
    [
        ("subjct", "no column 'subjct' to pivot to; did you mean 'subject'"),
        (["subject", "echo"], "no column 'echo'"),
        ([], 'needs a level, such as "subject"'),
        ("bold_sidecar", "'bold_sidecar' holds lists already: pivot once"),
    ],
)
def test_a_wrong_level(level, says):
    with pytest.raises(TableError, match=says):
        pivot(table(), level)


def test_a_level_that_is_in_lists_already():
    with pytest.raises(TableError, match="'session' holds lists already: pivot once"):
        pivot(pivot(table(), "subject"), "session")


# Roles of other forms

SIDES = [{"L": f"/none/{i}.L.gii", "R": f"/none/{i}.R.gii"} for i in range(5)]


def test_hemispheres_become_a_list_of_both():
    df = pivot(table(bold=SIDES), "subject")
    assert df.schema["bold"] == pl.List(pl.Struct({"L": pl.String, "R": pl.String}))
    assert df["bold"].to_list() == [SIDES[:3], SIDES[3:]]
    made = df.entense.transform(x=et.surface("bold").zscore().concat())
    assert made.select(storage("x").struct.field("surface.image"))["surface.image"].to_list() == [
        SIDES[:3], SIDES[3:]
    ]  # fmt: skip
    with pytest.raises(TableError, match=r"two hemispheres, which volume does not read"):
        df.entense.transform(x=et.volume("bold", mask="mask").concat())


def test_many_files_a_record_are_lists_of_lists_which_transform_refuses():
    df = pivot(table(t1w=[["/a", "/b"]] * 5, t1w_sidecar=None), "subject")
    assert df.schema["t1w"] == pl.List(pl.List(pl.String))
    with pytest.raises(TableError, match=r"'t1w'.*lists of lists.*pivot once.*\.list\.first\(\)"):
        df.entense.transform(x=et.array("t1w").stack())
    one = table(t1w=[["/a", "/b"]] * 5, t1w_sidecar=None).with_columns(pl.col("t1w").list.first())
    assert pivot(one, "subject").entense.transform(x=et.array("t1w").stack()).width == one.width + 1


def test_a_second_pivot_makes_lists_of_lists_too():
    twice = pivot(pivot(table(), "subject"), "dataset")
    with pytest.raises(TableError, match=r"'bold'.*lists of lists"):
        twice.entense.transform(x=et.volume("bold", mask="mask").concat())
    gathered = pivot(table(), "subject").entense.transform(
        x=et.volume("bold", mask="mask").concat()
    )
    with pytest.raises(TableError, match=r"'x' was gathered from lists.*pivot once"):
        pivot(gathered, "dataset").entense.transform(y=et.col("x").stack())


def test_an_optional_role_keeps_what_was_found():
    found = [True, False, True, True, True]
    df = table(events=["/e", None, "/e", "/e", "/e"], events_sidecar=None, events_found=found)
    made = pivot(df, "subject")
    assert made["events_found"].to_list() == [found[:3], found[3:]]
    # what is optional is not asked for, unless it is named
    assert len(drop_incomplete(made)) == 2
    assert drop_incomplete(made, "events")["subject"].to_list() == ["02"]


def test_drop_incomplete_before_or_after():
    df = table(bold=["/1", None, "/3", "/4", "/5"])
    assert drop_incomplete(pivot(df, "subject"))["subject"].to_list() == ["02"]
    before = pivot(drop_incomplete(df), "subject")
    assert before["bold"].to_list() == [["/1", "/3"], ["/4", "/5"]]
    # a subject that lacks a file goes as a whole, either way
    group = pivot(drop_incomplete(df, by="subject"), "subject")
    assert group["bold"].to_list() == [["/4", "/5"]]


# Names, tensors and files


def test_records_are_named_after_what_is_left():
    names = {
        "subject": ["ds_sub-01_task-rest", "ds_sub-02_task-rest"],
        "session": [f"ds_sub-{s}_ses-{e}_task-rest" for s in ("01", "02") for e in "ab"],
    }
    for level, due in names.items():
        assert with_record_id(pivot(table(), level))["record"].to_list() == due
    with pytest.raises(TableError, match=r"'ds_task-rest' is there 2 times.*add a column 'record'"):
        with_record_id(pivot(table(site=list("ABABA")), "site"))


def test_names_of_ones_own_stay_where_they_are_one_a_record():
    own = table(record=["a", "a", "a", "b", "b"])
    assert with_record_id(pivot(own, "subject"))["record"].to_list() == ["a", "b"]
    with pytest.raises(TableError, match="'record' holds lists, as pivot makes them: rename it"):
        with_record_id(pivot(table(record=list("abcde")), "subject"))


def lazy(frame=None):
    chain = et.volume("bold", mask="mask").zscore()
    return (table() if frame is None else frame).entense.transform(clean=chain)


@FRAMES
def test_lazy_tensors_become_lists(kind):
    frame = lazy(kind(table()))
    made = pivot(frame, "subject")
    assert made.collect_schema()["clean"] == pl.List(frame.collect_schema()["clean"])
    # to gather what was made before is to make it of lists and gather
    late = made.entense.transform(x=et.col("clean").concat()).lazy().collect()
    early = pivot(kind(table()), "subject").entense.transform(
        x=et.volume("bold", mask="mask").zscore().concat()
    )
    assert late.select("x").equals(early.lazy().collect().select("x"))
    assert late.schema["x"] == early.collect_schema()["x"]


def test_a_gathered_tensor_takes_the_place_of_its_lists():
    made = pivot(lazy(), "subject").entense.transform(clean=et.col("clean").concat())
    assert isinstance(made.schema["clean"], Lazy)


@pytest.mark.parametrize(
    "step",
    [
        lambda t, _: t.entense.collect(),
        lambda t, out: t.entense.write(out),
        lambda t, _: t.entense.loader(batch_size=1),
    ],
)
def test_a_list_of_tensors_is_not_computed(step, tmp_path):
    with pytest.raises((RecipeError, ArchiveError)) as error:
        step(pivot(lazy(), "subject"), tmp_path / "out")
    assert "'clean' holds a list of tensors in each row" in str(error.value)
    assert 'transform(clean=et.col("clean").concat())' in str(error.value)
    assert '.drop("clean")' in str(error.value)


def test_parquet_and_back(tmp_path):
    made = pivot(lazy(table(both=SIDES, both_sidecar=None)), "subject")
    made.write_parquet(tmp_path / "t.parquet")
    again = pl.read_parquet(tmp_path / "t.parquet")
    assert again.schema == made.schema
    assert again.equals(made)
    gathered = made.entense.transform(x=et.col("clean").concat()).drop("clean")
    gathered.write_parquet(tmp_path / "t.parquet")
    read = pl.scan_parquet(tmp_path / "t.parquet")
    assert read.collect_schema() == gathered.schema
    assert read.collect().equals(gathered)
    both = again.entense.transform(x=et.col("clean").concat()).drop("clean")
    assert pl.concat([gathered, both]).height == 4
