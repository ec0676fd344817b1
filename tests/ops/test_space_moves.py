"""Steps that move columns: what an archive says of them, masks of surfaces, and what is refused."""

from dataclasses import replace

import brains
import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

import entense as et
from entense.execute.serial import run
from entense.geometry import Mask, resampling
from entense.plan.fuse import How
from entense.plan.optimize import RULES
from entense.plan.survey import survey

BOLD = et.volume("bold", mask="mask")
FRAMES = 24


def some(study, share=0.6):
    return np.random.default_rng(2).random(study.shape) < share


@pytest.fixture
def odd(study):
    """A run with a constant voxel, and one with a NaN; a mask that holds one of them."""
    data = brains.noise(0, *study.shape, FRAMES)
    data[2, 2, 2] = 7.0
    data[3, 3, 3, 5] = np.nan
    study.run("01", data=data)
    grey = some(study)
    grey[2, 2, 2], grey[3, 3, 3] = True, False
    study.grey = grey & study.inside
    study.image("grey.nii.gz", grey.astype("u1"), axcodes="PIR")
    study.path = str(study.root.parent / "grey.nii.gz")
    study.data = data
    return study


# What an archive says


@pytest.mark.parametrize("filtered", [False, True], ids=["as it is decoded", "after a z-score"])
def test_coverage_is_that_of_the_new_columns(odd, filtered, tmp_path):
    start = BOLD.zscore() if filtered else BOLD
    tensors = {
        "all": start,
        "grey": start.mask(odd.path),
        "coarse": start.downsample(2),
        "parcels": start.mask(odd.path).parcellate(odd.atlas()),
        "median": start.mask(odd.path).parcel_median(odd.atlas()),
    }
    archive = et.transform(odd.records, **tensors).entense.write(tmp_path / "out")
    (row,) = archive.records.to_dicts()
    inside, grey = odd.inside.sum(), odd.grey.sum()
    assert row["all"]["coverage"] == [pytest.approx(1 - 2 / inside, abs=6e-5)]
    assert row["grey"]["coverage"] == [pytest.approx(1 - 1 / grey, abs=6e-5)]
    blocks = archive.schema["coarse"].shape[1]  # of which one has a NaN, none is constant
    assert row["coarse"]["coverage"] == [pytest.approx(1 - 1 / blocks, abs=6e-5)]
    codes = nib.load(odd.atlas()).get_fdata()
    there = odd.grey.copy()
    there[2, 2, 2] = False
    labels = (2, 3, 5, 8)
    due = [(there & (codes == label)).sum() / (codes == label).sum() for label in labels]
    for name in ("parcels", "median"):
        np.testing.assert_allclose(row[name]["coverage"], due, atol=6e-5)
        assert row[name]["absent"] == 1


@pytest.mark.parametrize("filtered", [False, True], ids=["as it is decoded", "after a z-score"])
def test_values_go_back_where_they_were(odd, filtered, tmp_path):
    start = BOLD.zscore() if filtered else BOLD
    tensors = {
        "grey": start.mask(odd.path),
        "crop": start.mask(odd.path).crop([3, 4, 2]),
        "box": start.mask(odd.path).crop(),
        "pad": start.pad([9, 9, 9]),
    }
    archive = et.transform(odd.records, whole=start, **tensors).entense.write(tmp_path / "out")
    whole = archive.unmask(archive[0]["whole"], "whole")
    for name in tensors:
        image = archive.unmask(archive[0][name], name)
        mask = survey(et.transform(odd.records, x=tensors[name])).specs[0]["x"].mask
        at = np.argwhere(mask.inside)
        old = np.rint(apply_affine(np.linalg.inv(whole.affine) @ image.affine, at)).astype(int)
        np.testing.assert_array_equal(
            image.get_fdata()[tuple(at.T)], whole.get_fdata()[tuple(old.T)], err_msg=name
        )
        assert image.shape[:3] == mask.shape
    assert (archive.unmask(archive[0]["grey"], "grey").get_fdata()[~odd.grey] == 0).all()


def test_a_nan_of_a_neighbour_is_a_nan(odd):
    fine = odd.image("fine.nii.gz", odd.inside.astype("u1"))
    same = odd.compute(BOLD.resample(fine))[0]
    raw = odd.data[odd.inside].T
    np.testing.assert_array_equal(same, raw)
    coarse, mask = odd.compute(BOLD.downsample(2))[0], odd.inside
    block = np.isnan(coarse)
    assert block.sum() == 1
    assert block[5].sum() == 1
    assert mask.any()


def test_masks_of_vertices_and_grayordinates(tmp_path):
    series = {"L": brains.noise(1, FRAMES, 30), "R": brains.noise(2, FRAMES, 20)}
    kept = {"L": np.arange(30) % 3 > 0, "R": np.arange(20) > 4}
    roles = {
        "bold": [brains.surfaces(tmp_path, series)],
        "keep": [
            {
                side: str(
                    brains.save_keys(tmp_path / f"{side}.label.gii", one, {1: "x"}, side=side)
                )
                for side, one in kept.items()
            }
        ],
    }
    tensor = et.surface("bold").mask("keep")
    table = et.transform(brains.table(**roles), x=tensor)
    (ours,) = et.to_numpy(et.collect(table)["x"])
    np.testing.assert_array_equal(ours, np.hstack([series[s][:, kept[s]] for s in "LR"]))
    assert survey(table).specs[0]["x"].mask.size == 20 + 15

    axis = brains.small_axis()
    values = brains.noise(3, FRAMES, len(axis))
    inside = np.arange(len(axis)) % 4 > 0
    roles = {
        "bold": [brains.save_dense(tmp_path / "b.dtseries.nii", values, axis)],
        "keep": [brains.save_scalars(tmp_path / "m.dscalar.nii", inside, axis)],
    }
    (ours,) = brains.compute(brains.table(**roles), et.cifti("bold").zscore().mask("keep"))
    (whole,) = brains.compute(brains.table(**roles), et.cifti("bold").zscore())
    np.testing.assert_array_equal(ours, whole[:, inside])


def test_records_that_share_a_mask_share_what_is_made_of_it(study):
    for subject in ("01", "02", "03"):
        study.run(subject)
    mask = study.image("one.nii.gz", study.inside.astype("u1"))
    tensor = et.volume("bold", mask=mask).downsample(3)
    study.compute(tensor)  # threads that read headers may each make it, the first time
    made = resampling.downsampled.cache_info().misses
    study.compute(tensor)
    assert resampling.downsampled.cache_info().misses == made


def test_boxes_of_any_parity_have_monais_middle():
    """CenterSpatialCrop begins at n // 2 - m // 2, SpatialPad puts (m - n) // 2 before."""
    for n in range(3, 9):
        for m in range(2, n + 1):
            mask = Mask.of(np.ones((n, 1, 1), bool), np.eye(4))
            start = n // 2 - m // 2
            cut = resampling.cropped(mask, (start, 0, 0), (m, 1, 1))
            assert cut.index.ravel().tolist() == list(range(start, start + m))
            assert cut.mask.affine[0, 3] == start


# What is refused


def other_mask(study):
    return BOLD.mask(study.image("other.nii.gz", np.ones((5, 6, 5), "u1")))


def mask_elsewhere(study):
    corner = np.zeros(study.shape, "u1")
    corner[0, 0] = 1
    return BOLD.mask(study.image("corner.nii.gz", corner))


def no_mask(study):
    return BOLD.mask(study.image("values.nii.gz", np.random.default_rng(0).random(study.shape)))


def crop_to_more(study):
    return BOLD.crop([5, 6, 5])


def crop_to_nothing(study):
    hole = study.inside.astype("u1")
    hole[1:4, 1:5, 1:3] = 0
    return BOLD.mask(study.image("rim.nii.gz", hole)).crop([1, 2, 2])


def pad_to_less(study):
    return BOLD.pad([9, 5, 9])


def resample_far_away(study):
    far = np.diag([2.0, 2, 3, 1])
    far[:3, 3] = 500
    return BOLD.resample(study.image("far.nii.gz", np.ones(study.shape, "u1"), affine=far))


def resample_to_a_surface(study):
    keys = brains.save_keys(study.root.parent / "a.label.gii", np.ones(30), {1: "a"}, side="L")
    return BOLD.resample(keys)


WRONG = [
    (other_mask, r"other.nii.gz.*another grid.*same space and resolution"),
    (mask_elsewhere, r"corner.nii.gz: none of the tensor's 109 columns.*overlaps"),
    (no_mask, r"values.nii.gz: this is not a binary mask.*threshold it first"),
    (crop_to_more, r"5×6×5 voxels are more than the grid has, 5×6×4.*use pad"),
    (crop_to_nothing, r"no voxel of the mask lies in the middle 1×2×2.*crop to more"),
    (pad_to_less, r"9×5×9 voxels are fewer than the grid has, 5×6×4.*use crop"),
    (resample_far_away, r"far.nii.gz: nothing of it overlaps.*same space"),
    (resample_to_a_surface, r"a.label.gii: this mask lies on surfaces.*\.nii\.gz"),
]


@pytest.mark.parametrize(("make", "says"), WRONG, ids=lambda case: getattr(case, "__name__", ""))
def test_what_does_not_fit_is_said(study, make, says):
    study.run("01")
    with pytest.raises(et.RecordError, match=says):
        study.compute(make(study))


NEEDS_VOXELS = {
    "crop": lambda x: x.crop(),
    "pad": lambda x: x.pad([9, 9, 9]),
    "downsample": lambda x: x.downsample(2),
    "resample": lambda x: x.resample(voxel_size=4.0),
    "smooth": lambda x: x.smooth(4.0),
    "grid": lambda x: x.grid(),
}


@pytest.mark.parametrize("name", NEEDS_VOXELS)
def test_steps_on_a_grid_need_voxels(study, name, tmp_path):
    study.run("01")
    with pytest.raises(et.RecipeError, match=rf"{name} needs \(time, voxel\).*\(time, parcel\)"):
        study.compute(NEEDS_VOXELS[name](BOLD.parcellate(study.atlas())))
    series = brains.surfaces(tmp_path, {"L": brains.noise(1, FRAMES, 30)})["L"]
    with pytest.raises(et.RecipeError, match=rf"{name} needs \(time, voxel\).*\(time, vertex\)"):
        brains.compute(brains.table(bold=[series]), NEEDS_VOXELS[name](et.surface("bold")))


@pytest.mark.parametrize("tensor", [BOLD.resample(), BOLD.resample("mask", voxel_size=3.0)])
def test_resampling_goes_to_a_mask_or_to_a_size(study, tensor):
    study.run("01")
    with pytest.raises(et.RecipeError, match="voxel_size= in mm: give one of the two"):
        study.compute(tensor)


# What is done before what


def chains(study):
    grey, fine = study.path, study.image("fine.nii.gz", np.ones((7, 8, 6), "u1"), affine=FINE)
    atlas = study.atlas()
    return {
        "filtered, then fewer": BOLD.detrend().mask(grey).crop(),
        "twice": BOLD.mask(grey).bandpass(low_pass=0.2).downsample(2),
        "elsewhere": BOLD.zscore().resample(fine).detrend(),
        "parcels": BOLD.detrend().mask(grey).parcellate(atlas, grey),
        "medians": BOLD.mask(grey).detrend().parcel_median(atlas),
        "images": BOLD.detrend().pad([7, 7, 7]).crop([4, 4, 4]).grid(),
        "smooth": BOLD.mask(grey).detrend().smooth(3.0).zscore(),
        "the file": BOLD,
    }


FINE = np.array([[1.4, 0, 0, -5.5], [0, 1.4, 0, -7], [0, 0, 1.9, -4], [0, 0, 0, 1]])


@pytest.mark.parametrize("off", [None, *RULES], ids=lambda rule: getattr(rule, "name", "all"))
def test_rules_change_nothing(odd, off):
    known = survey(et.transform(odd.records, **chains(odd)))
    rules = tuple(rule for rule in RULES if rule is not off) if off else ()
    ((ours, counts), (due, due_counts)) = (computed(known, How(r)) for r in (rules, RULES))
    for name, array in ours.items():
        scale = np.nanstd(due[name])
        np.testing.assert_allclose(array, due[name], atol=2e-4 * scale, rtol=2e-6, err_msg=name)
        assert without_freedom(counts[name]) == without_freedom(due_counts[name]), name


def without_freedom(counts):
    return {name: count for name, count in counts.items() if name != "freedom"}


def computed(known, how):
    (outcome,) = run(replace(known, how=how), [0])
    assert outcome.error is None
    return {name: array.copy() for name, array in outcome.arrays.items()}, outcome.counts
