"""What cannot be joined, and what is written wrong."""

import numpy as np
import polars as pl
import pytest

import entense as et
from entense.plan.survey import survey


def collected(table, tensor):
    return list(et.to_numpy(et.collect(table.entense.transform(made=tensor))["made"]))


def files(tmp_path, *arrays):
    paths = []
    for n, array in enumerate(arrays):
        np.save(tmp_path / f"{n}.npy", array)
        paths.append(str(tmp_path / f"{n}.npy"))
    return pl.DataFrame({"record": ["a"], "file": [paths]})


# What cannot be joined: that record's error, and the others go on


def failed(table, tensor):
    """Return the error of the first record, when the second is well."""
    known = survey(table.entense.transform(x=tensor))
    assert known.errors[1] is None
    return known.errors[0]


def test_other_masks(runs):
    half = runs.inside.copy()
    half[3:] = False
    moved = np.roll(half, 1, axis=0)
    masks = [str(runs.image(f"{n}.nii.gz", m.astype("u1"))) for n, m in enumerate((half, moved))]

    def said(first, second):
        paths = pl.Series([first, second, *[runs.brain] * 3])
        table = runs.records.with_columns(mask=paths).entense.pivot("subject")
        return failed(table, et.volume("bold", mask="mask").concat())

    assert half.sum() == moved.sum()
    assert "same columns" in said(*masks)
    assert "one mask or atlas for all (see et.group_mask)" in said(*masks)
    assert f"(time 40, voxel {half.sum()})" in said(masks[0], runs.brain)
    assert "give one mask or atlas for all" in said(masks[0], runs.brain)


def test_other_atlases(runs, bold):
    one, other = (str(runs.atlas(f"{n}.nii.gz", (2, 3, n))) for n in (5, 8))
    table = runs.records.with_columns(atlas=pl.Series([one, other, one, one, one]))
    text = failed(table.entense.pivot("subject"), bold.parcellate("atlas").concat())
    assert "different masks or parcels" in text


def test_other_lengths(runs, bold):
    for name in ("stack", "mean"):
        text = failed(
            runs.records.filter(~((pl.col("subject") == "02") & (pl.col("run") != "1")))
            .entense.pivot("subject"),
            bold.apply(name),
        )  # fmt: skip
        assert f"{name} takes tensors of one shape" in text
        assert "float32 (time 40, voxel 109) and float32 (time 33, voxel 109)" in text
        assert "concat" in text


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        (2.0, 2.0, True),
        (0.72, float(np.float32(0.72)), True),  # a sidecar's, and a header's
        (None, None, True),
        (float("nan"), float("nan"), True),  # what no scanner has is unknown
        (2.0, 2.2, False),
        (2.0, float("nan"), False),
    ],
)
def test_other_repetition_times(study, one, other, fits):
    for subject in ("01", "02"):
        for run in ("1", "2"):
            study.run(subject, run=run, tr=None)
    table = study.records.with_columns(bold_tr=pl.Series([one, other, 2.0, 2.0], dtype=pl.Float64))
    tensor = et.volume("bold", mask="mask").concat()
    text = failed(table.entense.pivot("subject"), tensor)
    assert (text is None) == fits
    if not fits:
        assert f"one repetition time, these have {one} s and {other} s; leave one kind" in text


def test_other_types(tmp_path):
    table = files(tmp_path, np.zeros((3, 2), "f4"), np.zeros((3, 2), "i2"))
    with pytest.raises(et.RecordError, match=r"float32 \(time 3, column 2\) and int16 \(time"):
        collected(table, et.array("file").concat())


def test_a_list_that_is_empty_or_null(runs, bold):
    table = runs.records.entense.pivot("subject")
    for nothing in ([], None):
        lists = pl.Series([nothing, table["bold"][1].to_list()])
        text = failed(table.with_columns(bold=lists, bold_tr=pl.lit(2.0)), bold.concat())
        assert text == (
            "the record has no files to concat: leave such records out with "
            ".entense.drop_incomplete()"
        )


@pytest.mark.parametrize("place", [0, 1])
def test_a_null_in_a_list(runs, bold, place):
    lacks = pl.int_range(pl.len()) == place
    for role, tensor, word in (
        ("bold", bold, "image"),
        ("confounds", bold.denoise("confounds", "6P"), "confounds"),
        ("confounds", et.table("confounds", ["csf"]), "table"),
    ):
        table = runs.records.with_columns(pl.when(~lacks).then(role).alias(role))
        text = failed(table.entense.pivot("subject"), tensor.concat())
        assert f"the record has no file for its {word}; leave such records out with" in text
        whole = table.entense.pivot("subject").entense.drop_incomplete()
        assert whole["subject"].to_list() == ["02"]


def test_lists_of_different_length(runs, bold):
    table = runs.records.entense.pivot("subject")
    short = pl.when(subject="01").then(pl.col("confounds").list.head(1)).otherwise("confounds")
    text = failed(table.with_columns(confounds=short), bold.denoise("confounds", "6P").concat())
    assert "the lists of files that go together differ in length ([1, 2])" in text


def test_one_bad_run_does_not_stop_the_others(runs, bold):
    with open(runs.rows[1]["bold"], "r+b") as file:  # noqa: PTH123
        file.truncate(2000)
    table = runs.records.entense.pivot("subject").entense.transform(x=bold.concat())
    with pytest.raises(et.RecordError, match="1 of 2 records") as error:
        table.entense.collect()
    assert runs.rows[1]["bold"] in str(error.value)
    assert len(table.filter(subject="02").entense.collect()) == 1


# What is written wrong is an error at transform


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda v: v.zscore(), r"x would be a list of tensors in each row: end it with \.concat"),
        (lambda v: v.concat().mean(), "mean joins.*each row has one: they were joined before"),
        (
            lambda v: v.concat().denoise("confounds", "6P"),
            r"denoise would take one tensor and a list of confounds: call it before \.concat\(\)",
        ),
    ],
)
def test_lists_that_are_not_gathered_once(runs, bold, make, says):
    with pytest.raises(et.RecipeError, match=says):
        runs.records.entense.pivot("subject").entense.transform(x=make(bold))


@pytest.mark.parametrize("name", ["concat", "stack", "mean"])
def test_a_gather_without_a_list(runs, bold, name):
    says = rf'{name} joins the tensors of a list, .*: call \.entense\.pivot\("subject"\) first'
    with pytest.raises(et.RecipeError, match=says):
        runs.records.entense.transform(x=bold.apply(name))
