"""Bad input to the steps before: folders, roles, columns, atlases, masks of groups."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from spoil import (
    ROLES,
    SPOILERS,
    cleaned,
    cleaned_of,
    empty_mask,
    place,
    probability_mask,
    rewrite,
    said,
    shifted_mask,
    staged,
    volume,
)

import entense as et
from entense.errors import ArchiveError, EntenseError, RecordError, TableError


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(TableError, match=r"no folder .*nowhere; give the folder that holds"):
        et.scan(tmp_path / "nowhere")


def test_an_empty_folder(tmp_path):
    with pytest.raises(TableError) as raised:
        et.scan(tmp_path)
    said(raised, f"{tmp_path} holds no files", "give the folder that holds the dataset")


def test_a_folder_that_is_no_derivative(tmp_path):
    for name in ("holiday.jpg", "tax.pdf", "sub-01.txt"):
        (tmp_path / name).touch()
    with pytest.raises(TableError) as raised:
        et.scan(tmp_path)
    said(raised, str(tmp_path), "holiday.jpg", "sub-01_task-rest", "give the output folder")


def test_a_role_that_nothing_matches_says_what_is_there(root):
    with pytest.raises(TableError) as raised:
        et.stage(et.scan(root), bold={"suffix": "bold", "space": "T1w"})
    said(raised, "'bold'", "space='T1w'", "there is space: MNI152NLin2009cAsym")
    with pytest.raises(TableError) as raised:
        et.stage(et.scan(root), bold={"sufix": "bold"})
    said(raised, "'sufix'", "did you mean 'suffix'?")


def test_two_candidates_for_a_role(root):
    path = place(root, "confounds_timeseries.tsv")
    other = path.with_name(path.name.replace("confounds", "custom"))
    shutil.copy(path, other)
    with pytest.raises(TableError) as raised:
        et.stage(et.scan(root), bold=ROLES["bold"], confounds={"suffix": "timeseries"})
    said(raised, str(path), str(other), "'desc'", "'confounds' or 'custom'")
    with pytest.raises(TableError) as raised:
        et.stage(et.scan(root), confounds={"suffix": "timeseries"})
    said(raised, str(path), str(other), "one record", "'desc'")


@pytest.mark.parametrize(
    ("role", "word"), [("mask", "mask"), ("confounds", "confounds"), ("bold", "image")]
)
def test_a_record_without_a_file_for_a_role(root, tmp_path, role, word):
    table = staged(root).with_columns(pl.when(pl.col("subject") != "02").then(role).alias(role))
    table = cleaned_of(table)
    with pytest.raises(ArchiveError) as raised:
        table.entense.write(tmp_path / "out")
    said(raised, "1 of 3 records", "study_sub-02", f"no file for its {word}", "drop_incomplete()")
    assert len(table.entense.write(tmp_path / "out", on_error="skip").rows(None)) == 2
    assert len(table.entense.drop_incomplete().entense.collect()) == 2


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda t, _: t.entense.transform(x=et.volume("bald", mask="mask")), ("'bald'", "'bold'?")),
        (lambda t, _: t.entense.transform(x=et.volume("bold", mask="m.nii")), ("'m.nii'", "give")),
        (
            lambda t, _: t.entense.transform(x=volume().denoise("conf", "6P")),
            ("'conf'", "'confoun"),
        ),
        (lambda t, _: t.entense.transform(x=et.col("claen")), ("'claen'", "there are none")),
        (lambda t, _: t.entense.group_mask("brain", to="x.nii.gz"), ("'brain'", "it has dataset")),
        (lambda t, _: t.entense.drop_incomplete("mesk"), ("'mesk'", "did you mean 'mask'?")),
        (lambda t, _: t.entense.split({"a": 1.0}, by="family"), ("'family'", "there are: dataset")),
        (
            lambda t, out: cleaned_of(t).entense.write(out, columns=["aeg"]),
            ("'aeg'", "there are: dataset"),
        ),
    ],
)
def test_a_column_that_is_not_there(root, tmp_path, step, words):
    with pytest.raises((TableError, ArchiveError)) as raised:
        step(staged(root), tmp_path / "out")
    said(raised, *words)


def test_a_phenotype_table_with_duplicate_subjects(root, tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_text("participant_id\tage\nsub-01\t20\nsub-02\t30\n02\t31\n")
    with pytest.raises(TableError) as raised:
        staged(root).entense.join_table(path)
    said(raised, f"{path} has more than one row for subject '02'", "keep one", "on=")


@pytest.mark.parametrize(
    "spoil", [empty_mask, probability_mask, shifted_mask], ids=lambda s: s.__name__
)
def test_a_group_mask_of_a_bad_mask(root, tmp_path, spoil):
    path = spoil(root)
    with pytest.raises(EntenseError) as raised:
        staged(root).entense.group_mask("mask", to=tmp_path / "brain.nii.gz")
    words = {shifted_mask: ("another grid", "stage one space and resolution")}
    said(raised, str(path), *words.get(spoil, SPOILERS[spoil]))
    assert not (tmp_path / "brain.nii.gz").exists()


def test_a_group_mask_needs_a_mask_of_each_record(root, tmp_path):
    place(root, "mask.nii.gz").unlink()
    with pytest.raises(TableError, match=r"1 of 3 records have no 'mask'.*drop_incomplete"):
        staged(root).entense.group_mask("mask", to=tmp_path / "brain.nii.gz")
    with pytest.raises(TableError, match=r"no voxel lies in 90% .*lower the threshold"):
        apart(root).entense.group_mask("mask", to=tmp_path / "brain.nii.gz")


def apart(root):
    """Return a table in which the two masks that are left share no voxel."""
    for number, path in enumerate(sorted(root.glob("sub-*/func/*mask.nii.gz"))):
        rewrite(
            path,
            lambda data, affine, n=number: (
                (np.arange(data.size) == n).reshape(data.shape).astype("u1"),
                affine,
            ),
        )
    return staged(root).entense.drop_incomplete("mask")


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_explain_takes_what_is_bad_as_it_comes(root, spoil):
    spoil(root)
    plan = cleaned(root)
    assert "denoise" in plan.entense.explain()
    assert "denoise" in plan.filter(pl.col("subject") == "02").entense.explain()


def atlas_on_another_grid(path):
    rewrite(path, lambda data, affine: (data, affine @ np.diag([1.5, 1.5, 1, 1])))


def probabilistic_atlas(path):
    rewrite(path, lambda data, affine: (data.astype("f4") / 10, affine))


def atlas_of_five_dimensions(path):
    rewrite(path, lambda data, affine: (np.stack([data[..., None]] * 2, -1), affine))


def atlas_of_negative_maps(path):
    rewrite(path, lambda data, affine: (np.stack([data, -data], -1).astype("f4"), affine))


def negative_atlas(path):
    rewrite(path, lambda data, affine: (-data, affine))


def empty_atlas(path):
    rewrite(path, lambda data, affine: (data * 0, affine))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (atlas_on_another_grid, ("another grid", "same space and resolution")),
        (probabilistic_atlas, ("not a label image", "dseg")),
        (atlas_of_five_dimensions, ("3-D image is due", "(5, 6, 4, 1, 2)", "take one volume")),
        (atlas_of_negative_maps, ("weights of 0 and more", "threshold it first")),
        (negative_atlas, ("not a label image", "dseg")),
        (empty_atlas, ("label image is empty", "make it again")),
        (Path.unlink, ("no such file", "relocate")),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_atlas_that_does_not_fit(root, spoil, words):
    path = root.parent / "atlas.nii.gz"
    spoil(path)
    with pytest.raises(RecordError) as raised:
        cleaned(root).entense.collect()
    said(raised, "3 of 3 records", str(path), *words)
