"""Parcels, connectomes and number formats against nilearn and numpy."""

import nibabel as nib
import numpy as np
import pytest
from nilearn.maskers import NiftiLabelsMasker

import entense as et

BOLD = et.volume("bold", mask="mask")
LABELS = (2, 3, 5, 8)  # of which 8 lies outside the mask


def close(ours, theirs):
    assert np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) <= 1e-4


def nilearn_parcels(row, atlas):
    masker = NiftiLabelsMasker(
        str(atlas), mask_img=row["mask"], standardize=None, resampling_target=None
    )
    with pytest.warns(UserWarning):  # it says that the label outside the mask is dropped
        return masker.fit_transform(row["bold"])


@pytest.mark.parametrize("axcodes", ["RAS", "LAS", "PSL"])
def test_parcellate(study, axcodes):
    row = study.run("01", axcodes=axcodes)
    atlas = study.atlas(labels=LABELS)
    ours = study.compute(BOLD.parcellate(atlas))[0]
    assert ours.shape == (40, 4)
    assert np.isnan(ours[:, 3]).all()
    atlas = study.atlas("stored.nii.gz", labels=LABELS, axcodes=axcodes)
    close(ours[:, :3], nilearn_parcels(row, atlas))


def test_labels_are_the_coordinates_in_ascending_order(study):
    from entense.plan.survey import survey

    study.run("01")
    atlas = study.atlas(labels=(30, 7, 1000, 2))
    table = study.records.entense.transform(made=BOLD.parcellate(atlas))
    spec = survey(table).specs[0]["made"]
    assert spec.coords == {"parcel": (2, 7, 30, 1000)}
    raw, codes = study.compute(BOLD)[0], nib.load(atlas).get_fdata()[study.inside]
    for i, label in enumerate((2, 7, 30, 1000)):
        if (codes == label).any():
            theirs = raw[:, codes == label].mean(axis=1)
            np.testing.assert_allclose(study.compute(BOLD.parcellate(atlas))[0][:, i], theirs)


def with_nan(study, frame):
    """Add a run in which one voxel of the first parcel is NaN in one frame."""
    data = np.random.default_rng(0).normal(10_000, 100, (*study.shape, 40)).astype("f4")
    data[1, 2, 2, frame] = np.nan
    study.run("01", data=data)
    return data[study.inside].T


@pytest.mark.parametrize("frame", [0, 17, 39])
@pytest.mark.parametrize("filtered", [False, True], ids=["at the decoder", "after a z-score"])
def test_a_voxel_with_a_nan_is_left_out_of_its_parcel(study, frame, filtered):
    raw = with_nan(study, frame).astype("f8")
    atlas = study.atlas(labels=LABELS)
    if filtered:
        raw = (raw - raw.mean(axis=0)) / raw.std(axis=0, ddof=1)
    ours = study.compute((BOLD.zscore() if filtered else BOLD).parcellate(atlas))[0]
    codes = nib.load(atlas).get_fdata()[study.inside]
    whole = ~np.isnan(raw).any(axis=0)
    theirs = np.column_stack([raw[:, (codes == n) & whole].mean(axis=1) for n in LABELS[:3]])
    np.testing.assert_allclose(ours[:, :3], theirs, rtol=1e-5, atol=1e-5)


def test_correlation(study):
    study.run("01")
    atlas = study.atlas(labels=LABELS)
    series = study.compute(BOLD.parcellate(atlas))[0].astype("f8")[:, :3]
    ours = study.compute(BOLD.parcellate(atlas).correlation())[0]
    theirs = np.corrcoef(series.T)
    np.testing.assert_allclose(ours[:3, :3], theirs, atol=1e-4)
    np.testing.assert_array_equal(np.diag(ours)[:3], 1)
    np.testing.assert_array_equal(ours, ours.T)
    assert np.isnan(ours[3]).all()
    assert np.isnan(ours[:, 3]).all()
    fisher = study.compute(BOLD.parcellate(atlas).correlation(fisher_z=True))[0]
    np.fill_diagonal(theirs, 0)
    np.testing.assert_allclose(fisher[:3, :3], np.arctanh(theirs), atol=1e-4)


def test_correlation_of_voxels_and_of_a_constant_one(study):
    data = np.random.default_rng(0).normal(10_000, 10, (*study.shape, 40)).astype("f4")
    data[2, 2, 2] = 10_000
    study.run("01", data=data)
    raw = data[study.inside].T.astype("f8")
    still = raw.std(axis=0) == 0
    ours = study.compute(BOLD.correlation())[0]
    assert np.isnan(ours[still]).all()
    assert still.sum() == 1
    np.testing.assert_allclose(ours[~still][:, ~still], np.corrcoef(raw[:, ~still].T), atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_astype_rounds_to_nearest(study, dtype):
    import ml_dtypes

    study.run("01")
    ours = study.compute(BOLD.zscore().astype(dtype))[0]
    full = study.compute(BOLD.zscore())[0]
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    assert ours.dtype == (np.float32 if dtype == "bfloat16" else kind)  # Arrow has no bfloat16
    np.testing.assert_array_equal(ours, full.astype(kind).astype(ours.dtype))


def test_a_users_op_runs_and_its_shape_is_inferred(study):
    from entense.ops import ops

    def thirds(x, *, step: int = 3):
        return x[::step]

    study.run("01")
    et.op(thirds)
    try:
        raw = study.compute(BOLD)[0]
        np.testing.assert_array_equal(study.compute(BOLD.thirds(step=4))[0], raw[::4])
    finally:
        ops._things.pop("thirds")


WRONG = {
    "an atlas on another grid": ((5, 6, 5), np.int16, "another grid.*same space and resolution"),
    "a probabilistic atlas": ((5, 6, 4), np.float32, "not a label image.*dseg"),
    "a 5-D atlas": ((5, 6, 4, 2, 2), np.int16, "3-D image is due"),
    "weights below 0": ((5, 6, 4, 2), np.int16, "weights of 0 and more"),
}


@pytest.mark.parametrize(("shape", "dtype", "says"), WRONG.values(), ids=WRONG)
def test_an_atlas_that_does_not_fit_is_named(study, shape, dtype, says):
    study.run("01")
    low = -3 if says.startswith("weights") else 0
    values = np.random.default_rng(0).uniform(low, 3, shape).astype(dtype)
    path = study.image("odd.nii.gz", values)
    with pytest.raises(et.RecordError, match=says) as error:
        study.compute(BOLD.parcellate(path))
    assert str(path) in str(error.value)


def test_an_axis_that_is_gone_is_named(study):
    study.run("01")
    connectome = BOLD.parcellate(study.atlas()).correlation()
    with pytest.raises(et.RecipeError, match="time"):
        study.compute(connectome.detrend())
    with pytest.raises(et.RecipeError, match="voxel or vertex"):
        study.compute(connectome.parcellate(study.atlas()))
