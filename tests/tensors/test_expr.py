"""What `transform` makes of an expression: canonical recipes, early errors, cheap chains."""

import io

import numpy as np
import polars as pl
import pytest

import entense as et
from entense.plan.survey import survey
from entense.tensors.lazy import storage, tensor_columns

pytestmark = pytest.mark.usefixtures("no_executor")

SUBJECTS = ["1", "2", "3", "4"]
TABLE = pl.DataFrame(
    {
        "subject": SUBJECTS,
        "age": [30, 20, 50, 40],
        "bold": [f"/none/{s}.nii.gz" for s in SUBJECTS],
        "mask": [f"/none/{s}_mask.nii.gz" for s in SUBJECTS],
        "confounds": [f"/none/{s}.tsv" for s in SUBJECTS],
        "bold_tr": [2.0, 2.0, None, 1.5],
    }
)
VOLUME = et.volume("bold", mask="mask")
CLEAN = VOLUME.denoise("confounds", "36P", low_pass=0.08).zscore()
LAZY = TABLE.entense.transform(clean=CLEAN)


def test_datasets_processed_alike_concatenate_whatever_their_columns_are_called():
    renamed = {"bold": "func", "mask": "brain", "confounds": "motion", "bold_tr": "seconds"}
    tensor = et.volume("func", mask="brain", tr="seconds").denoise("motion", "36P", low_pass=0.08)
    other = TABLE.rename(renamed).entense.transform(clean=tensor.zscore())
    both = pl.concat([LAZY.select("subject", "clean"), other.select("subject", "clean")])
    assert both.schema["clean"] == LAZY.schema["clean"]
    assert both.select(storage("clean")).unique().height == 4


def test_an_atlas_is_in_the_cells_so_that_it_may_differ(tmp_path):
    made = []
    for name in ("a.nii.gz", "b.nii.gz"):
        (tmp_path / name).touch()
        made.append(TABLE.entense.transform(x=VOLUME.parcellate(tmp_path / name)))
    both = pl.concat(made)
    paths = both.select(storage("x").struct.field("parcellate.atlas")).to_series()
    assert paths.to_list() == [str(tmp_path / "a.nii.gz")] * 4 + [str(tmp_path / "b.nii.gz")] * 4


def test_the_same_chain_built_twice_is_the_same_type():
    again = et.volume(pl.col("bold"), mask=pl.col("mask"), tr="bold_tr").apply(
        "denoise", "confounds", model="36P", low_pass=np.float64(0.08), detrend=np.bool_(True)
    )
    assert TABLE.entense.transform(clean=again.zscore()).schema == LAZY.schema


def test_a_chain_in_one_step_or_two_is_the_same_type():
    two = TABLE.entense.transform(a=et.volume("bold", mask="mask").detrend())
    two = two.entense.transform(clean=et.col("a").zscore())
    one = TABLE.entense.transform(clean=et.volume("bold", mask="mask").detrend().zscore())
    assert two.schema["clean"] == one.schema["clean"]


def test_changing_a_column_does_not_change_the_cells_and_relocate_does():
    moved = LAZY.with_columns(bold=pl.lit("/other.nii.gz"))
    assert survey(moved).rows[0].bound.files["clean:volume.image"] == "/none/1.nii.gz"
    relocated = LAZY.entense.relocate({"/none": "/data"})
    assert survey(relocated).rows[0].bound.files["clean:volume.image"] == "/data/1.nii.gz"


# Errors appear at the line that made them

WRONG = [
    (lambda v: v.zscor(), AttributeError, "did you mean 'zscore'"),
    (lambda v: v.apply("zscor"), et.EntenseError, "did you mean 'zscore'"),
    (lambda v: v.zscore(ddof=1), et.RecipeError, "'ddof' is unknown"),
    (lambda v: v.zscore(1), et.RecipeError, "too many values"),
    (lambda v: v.denoise("c"), et.RecipeError, "'model' is missing"),
    (lambda v: v.denoise(), et.RecipeError, "needs 'confounds'"),
    (lambda v: v.denoise("c", "37P"), et.RecipeError, "did you mean .36P."),
    (lambda v: v.denoise("c", []), et.RecipeError, "empty"),
    (lambda v: v.denoise("c", 36), et.RecipeError, "list or str, not 36"),
    (lambda v: v.denoise("c", [1, "csf"]), et.RecipeError, "names of columns"),
    (lambda v: v.denoise("c", "6P", model="6P"), et.RecipeError, "given twice"),
    (lambda v: v.denoise("c", "6P", lowpass=0.1), et.RecipeError, "'lowpass' is unk.*low_pass"),
    (lambda v: v.denoise("c", "6P", low_pass="0.1"), et.RecipeError, "None or float, not '0.1'"),
    (lambda v: v.denoise("c", "6P", low_pass=float("nan")), et.RecipeError, "finite"),
    (lambda v: v.denoise("c", "6P", detrend=1), et.RecipeError, "bool, not 1"),
    (lambda v: v.bandpass(high_pass=0.1, low_pass=0.01), et.RecipeError, "high_pass the lower"),
    (lambda v: v.bandpass(), et.RecipeError, "needs a cut-off"),
    (lambda v: v.bandpass(high_pass=-1), et.RecipeError, "above 0"),
    (lambda v: v.astype("float8"), et.RecipeError, "float16"),
    (lambda v: v.parcellate(), et.RecipeError, "needs 'atlas'"),
    (lambda v: v.smooth(0.0), et.RecipeError, "above 0 mm"),
    (lambda v: v.smooth(float("nan")), et.RecipeError, "finite"),
    (lambda v: v.downsample(1), et.RecipeError, "2 or more"),
    (lambda v: v.crop([5, 4]), et.RecipeError, "crop: shape=.*three numbers"),
    (lambda v: v.pad([5, 4, 0]), et.RecipeError, "pad: shape=.*1 or more"),
    (lambda v: v.pad(), et.RecipeError, "'shape' is missing"),
    (lambda v: v.resample("mask", method="cubic"), et.RecipeError, "'linear' or 'nearest'"),
    (lambda v: v.resample(voxel_size=-1.0), et.RecipeError, "0.1 to 100 mm"),
]


@pytest.mark.parametrize(("make", "kind", "says"), WRONG, ids=[says for *_, says in WRONG])
def test_a_wrong_call_is_an_error_where_it_is_written(make, kind, says):
    with pytest.raises(kind, match=says):
        make(VOLUME)


AT_TRANSFORM = [
    (et.volume("bolt", mask="mask"), et.TableError, "neither a column nor a file 'bolt'.*'bold'"),
    (et.volume("bold", mask="/none/x.nii"), et.TableError, "neither a column nor a file '/none/x"),
    (VOLUME.parcellate("atls"), et.TableError, "'atls'"),
    (et.volume("age", mask="mask"), et.TableError, "'age' holds Int64, paths are due"),
    (et.col("clena"), et.TableError, "no lazy tensor 'clena'.*clean"),
    (et.col("bold"), et.TableError, "no lazy tensor 'bold'"),
    ("bold", et.RecipeError, "must be a tensor.*not a str"),
]


@pytest.mark.parametrize(("tensor", "kind", "says"), AT_TRANSFORM)
@pytest.mark.parametrize("frame", [LAZY, LAZY.lazy()], ids=["DataFrame", "LazyFrame"])
def test_a_wrong_name_is_an_error_at_transform(frame, tensor, kind, says):
    with pytest.raises(kind, match=says):
        frame.entense.transform(x=tensor)


def test_a_missing_polars_column_is_an_error_at_the_next_transform():
    frame = TABLE.lazy().filter(pl.col("agee") > 3)
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="agee"):
        frame.entense.transform(x=CLEAN)


def test_a_literal_path_is_one_for_all():
    made = TABLE.entense.transform(x=et.volume(pl.lit("/none/1.nii.gz"), mask="mask", tr=2.0))
    cells = made.select(storage("x").struct.field("volume.image", "volume.tr")).unique()
    assert cells.rows() == [("/none/1.nii.gz", 2.0)]
    unknown = TABLE.entense.transform(x=et.volume(pl.lit("/none/1.nii.gz"), mask="mask"))
    assert unknown.select(storage("x").struct.field("volume.tr"))["volume.tr"].null_count() == 4


def test_a_table_that_a_record_lacks_is_its_error():
    lacks = TABLE.with_columns(
        pl.when(pl.col("subject") == "1").then("confounds").alias("confounds")
    )
    known = survey(lacks.entense.transform(x=et.table("confounds")))
    assert [str(error).split(";")[0] for error in known.errors[1:]] == [
        "the record has no file for its table"
    ] * 3


# Twenty chained methods


def chain(frame, length):
    frame = frame.entense.transform(c0=CLEAN)
    for i in range(1, length):
        frame = frame.entense.transform(**{f"c{i}": et.col(f"c{i - 1}").detrend()})
    return frame


def test_chained_methods_resolve_once_each(monkeypatch):
    calls = []
    resolve = pl.LazyFrame.collect_schema
    monkeypatch.setattr(
        pl.LazyFrame, "collect_schema", lambda self: calls.append(1) or resolve(self)
    )
    counts = []
    for length in (10, 20, 40):
        calls.clear()
        chain(TABLE.lazy(), length)
        counts.append(len(calls))
    assert counts == [10, 20, 40]


def test_the_plan_holds_no_python_function():
    plan = chain(TABLE.lazy(), 20)
    assert len(tensor_columns(plan.collect_schema())) == 20
    # Polars writes a Python function into a plan as a pickle
    assert b"pickle" in TABLE.lazy().map_batches(lambda f: f).serialize()
    assert b"pickle" not in plan.serialize()
    again = pl.LazyFrame.deserialize(io.BytesIO(plan.serialize())).collect()
    assert again.schema == plan.collect().schema


def test_the_tr_of_an_expression_is_that_of_its_one_role():
    table = pl.DataFrame({"a": ["/a"], "b": ["/b"], "a_tr": [2.0], "b_tr": [0.8], "m": ["/m"]})
    for image in (pl.coalesce("a", "b"), pl.when(pl.col("a") == "x").then("a").otherwise("b")):
        with pytest.raises(
            et.TableError, match=r"repetition time .* made of a, b: say which it is"
        ):
            table.entense.transform(x=et.volume(image, mask="m"))
        made = table.entense.transform(x=et.volume(image, mask="m", tr=pl.coalesce("b_tr", "a_tr")))
        assert made.select(storage("x").struct.field("volume.tr")).item() == 0.8
    alone = table.entense.transform(x=et.volume(pl.col("b").str.to_lowercase(), mask="m"))
    assert alone.select(storage("x").struct.field("volume.tr")).item() == 0.8
    lists = table.with_columns(pl.col("a", "a_tr").implode())
    with pytest.raises(et.TableError, match="say which it is"):
        lists.entense.transform(x=et.volume(pl.col("a").list.first(), mask="m"))
