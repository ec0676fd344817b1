"""Medians over parcels, weighted means, and both ways of adding parcels up."""

import brains
import jax.numpy as jnp
import nibabel as nib
import numpy as np
import pytest

import entense as et
from entense.ops.parcels import Codes, by_product, by_segments

BOLD = et.volume("bold", mask="mask")
NAMES = {1: "a", 2: "b", 3: "c"}
LABELS = (2, 3, 5, 8)  # of which 8 lies outside the mask


def codes_in(study, atlas):
    return nib.load(atlas).get_fdata()[study.inside]


def medians(values, codes):
    with np.errstate(all="ignore"):
        return np.stack(
            [
                np.nanmedian(values[:, codes == label], axis=1)
                if (codes == label).any()
                else np.full(len(values), np.nan)
                for label in LABELS
            ],
            axis=1,
        )


@pytest.mark.parametrize("filtered", [False, True], ids=["raw", "after a z-score"])
def test_a_median_is_numpys(study, filtered):
    study.run("01", data=brains.noise(0, *study.shape, 40))
    tensor = BOLD.zscore() if filtered else BOLD
    values = study.compute(tensor)[0].astype("f8")
    atlas = study.atlas(labels=LABELS)
    ours = study.compute(tensor.parcel_median(atlas))[0]
    theirs = medians(values, codes_in(study, atlas))
    assert ours.shape == (40, 4)
    assert np.isnan(ours[:, 3]).all()
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:All-NaN:RuntimeWarning")
def test_a_nan_is_left_out_of_its_frame_of_a_median(study):
    data = brains.noise(0, *study.shape, 10)
    data[1, 2, 2, 3] = np.nan
    data[1, 2, 3, 4] = np.inf
    data[2, :, :, 5] = np.nan  # a parcel whole
    study.run("01", data=data)
    atlas = study.atlas(labels=LABELS)
    ours = study.compute(BOLD.parcel_median(atlas))[0]
    theirs = medians(data[study.inside].T.astype("f8"), codes_in(study, atlas))
    assert np.isnan(ours[5]).sum() == np.isnan(theirs[5]).sum() == 2
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_median_on_surfaces(tmp_path):
    series = {"L": brains.noise(1, 8, 30)}
    keys = np.arange(30) % 4
    roles = {
        "bold": [brains.surfaces(tmp_path, series)["L"]],
        "atlas": [brains.save_keys(tmp_path / "a.label.gii", keys, NAMES, side="L")],
    }
    ours = brains.compute(brains.table(**roles), et.surface("bold").parcel_median("atlas"))[0]
    theirs = [np.median(series["L"][:, keys == key], axis=1) for key in (1, 2, 3)]
    np.testing.assert_allclose(ours, np.stack(theirs, axis=1), rtol=1e-6)


def test_a_median_of_maps_is_refused(study):
    study.run("01")
    maps = study.image("maps.nii.gz", np.ones((*study.shape, 3), "f4"))
    with pytest.raises(et.RecordError, match=r"maps.nii.gz.*probabilistic.*give a label image"):
        study.compute(BOLD.parcel_median(maps))


# Weights


def weights_of(study):
    weights = np.random.default_rng(1).random(study.shape).astype("f4")
    weights[1, :3] = 0
    weights[2] = 0  # a parcel that weighs nothing
    return weights, study.image("grey.nii.gz", weights)


@pytest.mark.parametrize("filtered", [False, True], ids=["at the decoder", "after a z-score"])
def test_weights_count_voxels(study, filtered):
    study.run("01", data=brains.noise(0, *study.shape, 40))
    weights, path = weights_of(study)
    atlas = study.atlas(labels=LABELS)
    tensor = BOLD.zscore() if filtered else BOLD
    values = study.compute(tensor)[0].astype("f8")
    codes, weight = codes_in(study, atlas), weights[study.inside]
    ours = study.compute(tensor.parcellate(atlas, path))[0]
    for i, label in enumerate(LABELS):
        inside = codes == label
        if not weight[inside].sum():
            assert np.isnan(ours[:, i]).all()
            continue
        theirs = np.average(values[:, inside], axis=1, weights=weight[inside])
        np.testing.assert_allclose(ours[:, i], theirs, rtol=1e-5, atol=1e-6)
    assert np.isnan(ours).all(axis=0).sum() == 2


def test_weights_of_one_are_no_weights(study):
    study.run("01")
    ones = study.image("ones.nii.gz", np.ones(study.shape, "f4"))
    atlas = study.atlas(labels=LABELS)
    np.testing.assert_allclose(
        study.compute(BOLD.parcellate(atlas, ones))[0],
        study.compute(BOLD.parcellate(atlas, weights=None))[0],
        rtol=1e-6,
    )


def test_weights_may_be_a_role(study):
    import polars as pl

    study.run("01")
    _, path = weights_of(study)
    table = study.records.with_columns(grey=pl.lit(str(path)))
    atlas = study.atlas()
    by_role = et.transform(table, made=BOLD.parcellate(atlas, "grey"))
    (ours,) = et.to_numpy(et.collect(by_role)["made"])
    np.testing.assert_array_equal(ours, study.compute(BOLD.parcellate(atlas, path))[0])


def test_coverage_of_weighted_parcels_is_that_of_their_weights(study, tmp_path):
    data = brains.noise(0, *study.shape, 12)
    data[1, 3, 3] = 7.0  # constant
    study.run("01", data=data)
    weights, path = weights_of(study)
    atlas = study.atlas(labels=LABELS)
    there = study.inside.copy()
    there[1, 3, 3] = False
    codes = nib.load(atlas).get_fdata()
    whole, some = (
        np.array([weights[(codes == label) & part].sum() for label in LABELS])
        for part in (np.ones_like(there), there)
    )
    due = np.divide(some, whole, out=np.zeros(4), where=whole > 0)
    start = BOLD.parcellate(atlas, path), BOLD.zscore().parcellate(atlas, path)
    table = et.transform(study.records, **dict(zip("xz", start, strict=True)))
    archive = table.entense.write(tmp_path / "out")
    for name in "xz":
        (facts,) = archive.records[name].to_list()
        np.testing.assert_allclose(facts["coverage"], due, atol=6e-5)
        assert facts["absent"] == 2


WRONG = {
    "another grid": (lambda s: s.image("w.nii.gz", np.ones((5, 6, 5), "f4")), "another grid than"),
    "below 0": (lambda s: s.image("w.nii.gz", -np.ones(s.shape, "f4")), "weights of 0 and more"),
    "4-D": (lambda s: s.image("w.nii.gz", np.ones((*s.shape, 2), "f4")), "3-D image is due"),
}


@pytest.mark.parametrize(("make", "says"), WRONG.values(), ids=WRONG)
def test_weights_that_do_not_fit_are_named(study, make, says):
    study.run("01")
    with pytest.raises(et.RecordError, match=f"w.nii.gz.*{says}"):
        study.compute(BOLD.parcellate(study.atlas(), make(study)))


def test_weights_do_not_go_with_maps(study):
    study.run("01")
    maps = study.image("maps.nii.gz", np.ones((*study.shape, 3), "f4"))
    with pytest.raises(et.RecordError, match=r"maps.nii.gz.*goes with a label image"):
        study.compute(BOLD.parcellate(maps, weights_of(study)[1]))


# Both ways of adding up


def test_sums_over_segments_and_by_a_product_are_the_same():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 6, 500).astype("i4")
    codes[codes == 3] = 0  # a parcel without columns
    x = rng.normal(size=(40, 500)).astype("f4")
    there = (rng.random(500) > 0.1).astype("f4")
    atlas = Codes(codes, np.arange(5, dtype="i4"))
    rows = np.concatenate([x * there, there[None]])
    segments = by_segments(rows, atlas)
    product = by_product(rows, jnp.asarray(np.eye(6, dtype="f4")[codes][:, 1:]))
    np.testing.assert_array_equal(segments[-1], product[-1])
    np.testing.assert_allclose(segments, product, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("chain", ["at the decoder", "of what was filled"])
def test_large_parcels_on_a_high_baseline_keep_their_digits(tmp_path, new_study, chain):
    study = new_study(tmp_path, shape=(40, 40, 20))
    rng = np.random.default_rng(4)
    data = 10_000 + 100 * rng.normal(size=(*study.shape, 60)) + 5 * rng.normal(size=60)
    study.run("01", data=data.astype("f4"))
    atlas = str(study.atlas(labels=(2, 3, 8)))
    start = BOLD if chain == "at the decoder" else BOLD.fill_nan()
    (ours,) = study.compute(start.parcellate(atlas))
    codes = nib.load(atlas).get_fdata()
    image = nib.load(study.rows[0]["bold"]).get_fdata()
    due = np.stack([image[(codes == label) & study.inside].mean(axis=0) for label in (2, 3)], 1)

    def standard(y):
        return (y - y.mean(axis=0)) / y.std(axis=0, ddof=1)

    assert np.abs(standard(ours[:, :2].astype("f8")) - standard(due)).max() <= 1e-3


def test_elsewhere_than_on_a_cpu_parcels_are_a_product(monkeypatch):
    """A sum over segments on a GPU adds in no fixed order."""
    import jax

    from entense.ops import parcels

    codes = Codes(np.array([0, 1, 2, 2, 5], "i4"), np.arange(5, dtype="i4"))
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("f4")
    here = parcels.parcellate(x, codes)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(parcels, "by_segments", None)
    there = parcels.parcellate(x, codes)
    np.testing.assert_array_equal(here.count, there.count)
    np.testing.assert_allclose(here.total, there.total, rtol=1e-6)


def test_the_gradient_of_a_median_is_that_of_its_middle():
    import jax

    from entense.ops.medians import Members, parcel_median

    members = Members(np.array([[0, 2, 4], [1, 3, -1], [-1, -1, -1]], "i4"))
    x = np.array([[3.0, -1.0, -5.0, 7.0, 4.0], [0.0, -0.0, 0.0, np.nan, -2.0]], "f4")
    np.testing.assert_array_equal(parcel_median(x, members), [[3, 3, np.nan], [0, 0, np.nan]])
    slope = jax.grad(lambda x: parcel_median(x, members)[:, :2].sum())(x)
    np.testing.assert_allclose(slope, [[1, 0.5, 0, 0.5, 0], [0.5, 1, 0.5, 0, 0]])
