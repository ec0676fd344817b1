"""Real voxels and real confounds, through the whole path, beside nilearn.

The images are nitime's two BOLD runs (stored LSP, TR 1.35 s), cropped to the 30 frames that
nilearn's real fMRIPrep confounds have: one table of each generation of fMRIPrep's names.
"""

import json
import shutil
from pathlib import Path

import nibabel as nib
import nilearn
import nitime
import numpy as np
import pytest
from nilearn.maskers import NiftiLabelsMasker
from nilearn.signal import clean

import entense as et
from entense.ops.confounds import Regressors, design, formula_of

TR, FRAMES = 1.35, 30
TABLES = Path(nilearn.__file__).parent / "interfaces" / "fmriprep" / "data"
CONFOUNDS = {
    "01": ("test_desc-confounds_regressors", "desc-confounds_regressors"),
    "02": ("test-v21_desc-confounds_timeseries", "desc-confounds_timeseries"),
}
MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
SIGNALS = ["csf", "white_matter", "global_signal"]
EXPANDED = ("", "_derivative1", "_power2", "_derivative1_power2")
MODELS = {
    "6P": MOTION,
    "9P": MOTION + SIGNALS,
    "24P": [name + order for name in MOTION for order in EXPANDED],
    "36P": [name + order for name in MOTION + SIGNALS for order in EXPANDED],
}
COMPONENTS = ["trans_x", "rot_z", "a_comp_cor_00", "a_comp_cor_01", "cosine00"]
CASES = {
    "p6": ("6P", {}),
    "p9": ("9P", {"high_pass": 0.02}),
    "p24": ("24P", {}),
    "list": (COMPONENTS, {"low_pass": 0.2}),
    "raw9": ("9P", {"low_pass": 0.2, "detrend": False}),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Put the images and tables under fMRIPrep's names, with a mask and an atlas in the middle."""
    root = tmp_path_factory.mktemp("real")
    for number, subject in enumerate(("01", "02"), 1):
        stem = root / "ds" / f"sub-{subject}" / "func" / f"sub-{subject}_task-rest"
        stem.parent.mkdir(parents=True)
        whole = nib.load(Path(nitime.__file__).parent / "data" / f"fmri{number}.nii.gz")
        assert nib.aff2axcodes(whole.affine) == ("L", "S", "P")
        image = whole.slicer[..., :FRAMES]
        nib.save(image, f"{stem}_desc-preproc_bold.nii.gz")
        mean = np.asarray(image.dataobj).mean(axis=-1)
        mask = nib.Nifti1Image((mean > 550).astype(np.uint8), image.affine)
        nib.save(mask, f"{stem}_desc-brain_mask.nii.gz")
        source, name = CONFOUNDS[subject]
        shutil.copy(TABLES / f"{source}.tsv", f"{stem}_{name}.tsv")
        shutil.copy(TABLES / f"{source}.json", f"{stem}_{name}.json")
        if subject == "01":  # the other's TR is only in its header
            Path(f"{stem}_desc-preproc_bold.json").write_text(json.dumps({"RepetitionTime": TR}))
    places = np.stack(np.indices(image.shape[:3])) // np.array([4, 5, 6])[:, None, None, None]
    labels = np.array([0, 3, 4, 11, 12, 13, 20, 21, 22, 30, 40, 50, 60, 70, 80, 90, 91, 92])
    data = labels[np.ravel_multi_index(tuple(places), (3, 2, 3))].astype(np.int16)
    nib.save(nib.Nifti1Image(data, image.affine), root / "atlas.nii.gz")
    return root


@pytest.fixture(scope="module")
def records(study):
    table = et.stage(
        et.scan(study / "ds"),
        bold={"suffix": "bold", "desc": "preproc"},
        mask={"suffix": "mask", "desc": "brain"},
        confounds={"suffix": "timeseries", "desc": "confounds"},
    ).entense.drop_incomplete()
    atlas, start = study / "atlas.nii.gz", et.volume("bold", mask="mask")
    for name, (model, options) in CASES.items():
        cleaned = start.denoise("confounds", model, **options)
        parcels = start.parcellate(atlas).denoise("confounds", model, **options)
        table = table.entense.transform(
            **{
                name: cleaned.zscore(),
                f"{name}_parcels": parcels.zscore(),
                f"{name}_fc": et.col(name).parcellate(atlas).correlation(),
            }
        )
    return table


@pytest.fixture(scope="module")
def collected(records):
    frame = records.entense.collect()
    assert frame["subject"].to_list() == ["01", "02"]
    return frame


@pytest.fixture(scope="module")
def archive(records, tmp_path_factory):
    out = tmp_path_factory.mktemp("real-out") / "archive"
    records.entense.write(out)
    return et.open(out)


def confounds(path, model):
    """Read a model's columns with pandas; the first row's gap takes the second's value."""
    import pandas as pd

    names = list(MODELS[model]) if isinstance(model, str) else model
    return pd.read_csv(path, sep="\t", na_values="n/a")[names].bfill(limit=1).to_numpy()


def voxels(row):
    """Read the masked voxels as the documentation says, (time, voxel) float64."""
    image = nib.as_closest_canonical(nib.load(row["bold"]))
    inside = nib.as_closest_canonical(nib.load(row["mask"])).get_fdata() > 0
    return image.get_fdata()[inside].T, inside


def oracle(row, name):
    model, options = CASES[name]
    raw, _ = voxels(row)
    return clean(
        raw,
        confounds=confounds(row["confounds"], model),
        t_r=TR,
        standardize="zscore_sample",
        standardize_confounds=True,
        **{"detrend": True, **options},
    )


def agree(ours, theirs):
    moving = theirs.std(axis=0) > 0
    assert ours.shape == theirs.shape
    assert moving.mean() > 0.99
    ours, theirs = ours[:, moving], theirs[:, moving]
    assert np.linalg.norm(ours - theirs) <= 1e-4 * np.linalg.norm(theirs)
    assert np.abs(ours - theirs).max() <= 1e-3


def close(ours, theirs):
    """Compare what has no axis of time: a fraction of the norm, and the largest difference."""
    assert np.linalg.norm(ours - theirs) <= 1e-4 * np.linalg.norm(theirs)
    assert np.abs(ours - theirs).max() <= 1e-3


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_cleaned_voxels_are_nilearns(collected, archive, name, row):
    theirs = oracle(collected.row(row, named=True), name)
    agree(et.to_numpy(collected[name])[row], theirs)
    agree(archive[row][name], theirs)


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_parcels_are_those_of_nilearns_masker(collected, archive, study, name, row):
    model, options = CASES[name]
    paths = collected.row(row, named=True)
    masker = NiftiLabelsMasker(
        str(study / "atlas.nii.gz"),
        mask_img=paths["mask"],
        t_r=TR,
        standardize="zscore_sample",
        standardize_confounds=True,
        **{"detrend": True, **options},
    )
    theirs = masker.fit_transform(paths["bold"], confounds=confounds(paths["confounds"], model))
    agree(et.to_numpy(collected[f"{name}_parcels"])[row], theirs)
    agree(archive[row][f"{name}_parcels"], theirs)


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_correlations_are_numpys(collected, archive, study, name, row):
    paths = collected.row(row, named=True)
    atlas = nib.as_closest_canonical(nib.load(study / "atlas.nii.gz")).get_fdata()
    codes = atlas[voxels(paths)[1]]
    cleaned = oracle(paths, name)
    labels = np.unique(atlas)[1:]
    assert archive.schema[f"{name}_fc"].coords["parcel"] == tuple(labels.astype(int))
    series = [cleaned[:, codes == label].mean(axis=1) for label in labels]
    theirs = np.corrcoef(series)
    close(et.to_numpy(collected[f"{name}_fc"])[row], theirs)
    close(archive[row][f"{name}_fc"], theirs)


def test_the_archive_holds_what_collect_gave(collected, archive):
    for name in archive.schema:
        for row, ours in enumerate(et.to_numpy(collected[name])):
            assert np.array_equal(archive[row][name], ours)


def test_the_tr_is_the_sidecars_else_the_headers(collected, archive):
    assert collected["bold_tr"].to_list() == [TR, None]
    assert archive.records["p6"].struct.field("tr").to_list() == pytest.approx([TR, TR])


def test_voxels_go_back_where_they_were(collected, archive):
    for row in range(2):
        paths = collected.row(row, named=True)
        ours = archive.unmask(archive[row]["p6"], "p6", record=row)
        image = nib.as_closest_canonical(nib.load(paths["bold"]))
        inside = voxels(paths)[1]
        assert np.allclose(ours.affine, image.affine, atol=1e-5)
        assert np.array_equal(ours.get_fdata()[inside].T, archive[row]["p6"])
        assert not ours.get_fdata()[~inside].any()


def test_models_take_the_columns_of_real_tables(collected):
    for row in collected.iter_rows(named=True):
        for model, names in MODELS.items():
            assert len(names) == int(model.removesuffix("P"))
            assert sorted(design(Regressors(row["confounds"]), formula_of(model))) == sorted(names)
