"""Numbers and parameters that come from the cells, each record's own."""

import numpy as np
import polars as pl
import pytest

import entense as et
from entense.ops import ops
from entense.plan.survey import survey
from entense.tensors.graph import describe
from entense.tensors.lazy import storage

BOLD = et.volume("bold", mask="mask")
CUTOFFS = {"01": 0.01, "02": 0.02, "03": 0.03}


@pytest.fixture
def table(study):
    for subject in CUTOFFS:
        study.run(subject, frames=60)
    return study.records.with_columns(
        hp=pl.Series(list(CUTOFFS.values())),
        low=pl.Series([0.1, None, 0.2]),
        model=pl.Series(["6P", "9P", "6P"]),
        flat=pl.Series([True, False, True]),
        whole=pl.Series([1, 0, 1]),
    )


@pytest.fixture
def clean():
    """One's own ops end with the test."""
    before = dict(ops._things)
    yield
    ops._things.clear()
    ops._things.update(before)


def computed(table, tensor):
    return et.to_numpy(et.collect(table.entense.transform(made=tensor))["made"])


def each(table, tensor):
    """Compute row by row, with `tensor(row)`."""
    rows = [table[i] for i in range(table.height)]
    return [computed(row, tensor(row.row(0, named=True)))[0] for row in rows]


PARAMETERS = {
    "a column": (BOLD.bandpass(high_pass=pl.col("hp")), lambda r: BOLD.bandpass(high_pass=r["hp"])),
    "by position": (BOLD.bandpass(pl.col("hp")), lambda r: BOLD.bandpass(high_pass=r["hp"])),
    "two, one null": (
        BOLD.bandpass(high_pass=pl.col("hp"), low_pass=pl.col("low")),
        lambda r: BOLD.bandpass(high_pass=r["hp"], low_pass=r["low"]),
    ),
    "an expression over two": (
        BOLD.bandpass(low_pass=pl.col("low").fill_null(0.15) + pl.col("hp")),
        lambda r: BOLD.bandpass(low_pass=(0.15 if r["low"] is None else r["low"]) + r["hp"]),
    ),
    "an aggregate": (
        BOLD.bandpass(low_pass=pl.col("low").max()),
        lambda _: BOLD.bandpass(low_pass=0.2),
    ),
    "a literal": (BOLD.bandpass(low_pass=pl.lit(0.2)), lambda _: BOLD.bandpass(low_pass=0.2)),
    "text": (
        BOLD.denoise("confounds", pl.col("model"), high_pass=0.01),
        lambda r: BOLD.denoise("confounds", r["model"], high_pass=0.01),
    ),
    "an Enum": (
        BOLD.denoise("confounds", pl.col("model").cast(pl.Enum(["6P", "9P"]))),
        lambda r: BOLD.denoise("confounds", r["model"]),
    ),
    "a boolean": (
        BOLD.denoise("confounds", "6P", detrend=pl.col("flat")),
        lambda r: BOLD.denoise("confounds", "6P", detrend=r["flat"]),
    ),
    "integers for numbers": (
        BOLD.window(0.0, seconds=pl.col("whole") + 9),
        lambda r: BOLD.window(0.0, seconds=float(r["whole"] + 9)),
    ),
    "before parcels": (
        BOLD.bandpass(high_pass=pl.col("hp")).zscore(),
        lambda r: BOLD.bandpass(r["hp"]).zscore(),
    ),
}


@pytest.mark.parametrize(("tensor", "due"), PARAMETERS.values(), ids=PARAMETERS)
def test_each_record_has_its_own(table, tensor, due):
    for ours, theirs in zip(computed(table, tensor), each(table, due), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_cells_stay_with_their_rows(table, tmp_path):
    tensor = BOLD.bandpass(high_pass=pl.col("hp"))
    lazy = table.entense.transform(x=tensor)
    due = dict(zip(lazy["subject"], et.to_numpy(lazy.entense.collect()["x"]), strict=True))
    lazy.write_parquet(tmp_path / "t.parquet")
    for moved in (
        lazy.sort("hp", descending=True),
        lazy.filter(pl.col("subject") != "02"),
        pl.concat([lazy.tail(1), lazy.head(1)]),
        pl.read_parquet(tmp_path / "t.parquet"),
        lazy.with_columns(hp=0.05).rename({"hp": "other"}),
        lazy.drop("hp", "low"),
    ):
        df = moved.entense.collect()
        for subject, array in zip(df["subject"], et.to_numpy(df["x"]), strict=True):
            np.testing.assert_array_equal(array, due[subject])


def test_tables_of_other_values_have_one_recipe(table):
    made = [
        t.entense.transform(x=BOLD.window(pl.col("at"), seconds=pl.col("long")).detrend())
        for t in (
            table.with_columns(at=4.0, long=20.0),
            table.with_columns(at=pl.lit(2, pl.Int16), long=pl.lit(21, pl.Int64)),
            table.with_columns(at=pl.lit(1.5, pl.Float32), long=pl.lit(22, pl.UInt8)),
        )
    ]
    assert len({str(t.schema["x"]) for t in made}) == 1
    cells = pl.concat(t.select("x") for t in made).select(
        storage("x").struct.field("window.seconds", "window.start")
    )
    assert cells.unique(maintain_order=True).rows() == [(20.0, 4.0), (21.0, 2.0), (22.0, 1.5)]


def test_what_is_printed_has_no_address_in_it(table):
    tensor = BOLD.bandpass(high_pass=pl.col("hp"), low_pass=0.2)
    said = "low_pass=0.2, method='butterworth', order=5)"
    assert repr(tensor) == f'volume(bold, mask) → bandpass(high_pass=col("hp"), {said}'
    root = table.entense.transform(x=tensor).schema["x"].root
    assert describe(root) == (
        "volume → bandpass(low_pass=0.2, method=butterworth, order=5, high_pass=…)"
    )


def high_pass(name):
    return BOLD.bandpass(high_pass=pl.col(name))


def six_motion(**params):
    return BOLD.denoise("confounds", "6P", **params)


# What is wrong of a record is its error; what is wrong of a column is one at transform


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (
            BOLD.bandpass(high_pass=pl.col("low")),
            "bandpass needs a cut-off: high_pass= or low_pass= in Hz, or both",
        ),
        (
            BOLD.bandpass(high_pass=pl.when(subject="02").then(-1.0).otherwise("hp")),
            "high_pass=-1.0 and low_pass=None keep nothing",
        ),
        (
            BOLD.bandpass(high_pass=pl.when(subject="02").then(float("nan")).otherwise("hp")),
            "finite",
        ),
        (
            BOLD.denoise("confounds", pl.when(subject="02").then(pl.lit("37P")).otherwise("model")),
            "37P",
        ),
        (
            BOLD.denoise("confounds", pl.when(pl.col("subject") != "02").then("model")),
            "denoise: the parameter 'model' must be list or str, not None",
        ),
        (
            BOLD.window(0.0, seconds=pl.when(subject="02").then(0.0).otherwise(10.0)),
            "seconds=0.0 is no length of a window",
        ),
        (
            BOLD.window(pl.when(pl.col("subject") != "02").then(1.0), seconds=10),
            "the record has no number for its start",
        ),
        (
            BOLD.window(pl.when(subject="02").then(float("nan")).otherwise(1.0), seconds=10),
            "the window starts at nan s; filter such trials out",
        ),
        (
            BOLD.window(pl.when(subject="02").then(float("inf")).otherwise(1.0), seconds=10),
            "the window starts at inf s",
        ),
    ],
)
def test_a_bad_value_is_that_records_error_and_the_others_go_on(table, tensor, says):
    lazy = table.entense.transform(x=tensor)
    assert [error is None for error in survey(lazy).errors] == [True, False, True]
    with pytest.raises(et.RecordError) as error:
        lazy.entense.collect()
    assert str(error.value).startswith("1 of 3 records cannot be computed:\n  study_sub-02_task")
    assert says in str(error.value)
    assert len(lazy.filter(pl.col("subject") != "02").entense.collect()) == 2


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (high_pass("model"), r"bandpass\.high_pass takes float, and 'model' holds String; cast"),
        (high_pass("flat"), r"bandpass\.high_pass takes float, and 'flat' holds Boolean"),
        (high_pass("hpp"), r"no column 'hpp' in the table; did you mean 'hp'"),
        (BOLD.bandpass(pl.lit("x")), r"bandpass\.high_pass takes float, and .* holds String"),
        (
            six_motion(detrend=pl.col("whole")),
            r"denoise\.detrend takes bool, and 'whole' holds Int64",
        ),
        (six_motion(detrend=pl.lit(None)), r"denoise\.detrend takes bool, and .* holds Null"),
        (BOLD.denoise("confounds", pl.col("hp")), r"model takes str, and 'hp' holds Float64"),
        (BOLD.window("model", seconds=3), r"window\.start takes numbers, and 'model' holds Str"),
        (BOLD.window("onset", seconds=3), r"window\.start: there is no column 'onset' of num"),
        (BOLD.window(pl.col("flat"), seconds=3), r"takes numbers, and 'flat' holds Boolean"),
    ],
)
@pytest.mark.parametrize("kind", [pl.DataFrame, pl.LazyFrame], ids=lambda k: k.__name__)
def test_a_column_of_the_wrong_type_is_an_error_at_transform(table, tensor, says, kind):
    with pytest.raises(et.TableError, match=says):
        kind(table).entense.transform(x=tensor)


def test_nulls_of_no_type_are_none(table):
    lazy = table.with_columns(nothing=None).entense.transform(
        x=BOLD.bandpass(high_pass=pl.col("nothing"), low_pass=0.2)
    )
    np.testing.assert_array_equal(
        et.to_numpy(lazy.entense.collect()["x"]), computed(table, BOLD.bandpass(low_pass=0.2))
    )


def test_one_and_true_are_two_parameters(table, clean):
    @et.op
    def kept(x, *, what=None):
        return x

    roots = []
    for name in ("flat", "whole"):
        lazy = table.head(1).entense.transform(x=BOLD.kept(what=pl.col(name)))
        roots.append(survey(lazy).rows[0].bound.roots[0].params["what"])
    assert roots == [True, 1]
    assert [type(what) for what in roots] == [bool, int]


def test_relocate_moves_parameters_that_are_paths(table, clean):
    @et.op
    def kept(x, *, what: str):
        return x

    paths = pl.Series(["/old/a.txt", "/older/b.txt", "36P"])
    lazy = table.with_columns(path=paths).entense.transform(x=BOLD.kept(what=pl.col("path")))
    moved = lazy.entense.relocate({"/old": "/new"})
    found = [row.bound.roots[0].params["what"] for row in survey(moved).rows]
    assert found == ["/new/a.txt", "/older/b.txt", "36P"]
