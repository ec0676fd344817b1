"""One image stored in any of 48 ways, its mask and atlas in others: one tensor."""

import itertools

import brains
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import entense as et

SHAPE, FRAMES = (5, 6, 4), 6
AXCODES = [
    "".join(code)
    for axes in itertools.permutations(["RL", "AP", "SI"])
    for code in itertools.product(*axes)
]
OBLIQUE = np.array([[2, 0.3, 0, -6], [-0.3, 2, 0.1, -8], [0, -0.1, 3, -4], [0, 0, 0, 1.0]])


def inside():
    out = np.ones(SHAPE, bool)
    out[0, 0], out[-1, :, 0], out[1, 1, 1] = False, False, False
    return out


def bold():
    """Every voxel and frame has a number of its own."""
    return np.arange(np.prod(SHAPE) * FRAMES, dtype="i2").reshape(*SHAPE, FRAMES)


def labels():
    return np.repeat(np.arange(5), 24).reshape(SHAPE).astype("u1")


def weights():
    return np.random.default_rng(0).uniform(0, 1, (*SHAPE, 3)).astype("f4")


DATA = {"bold": bold, "mask": lambda: inside().astype("u1"), "labels": labels, "weights": weights}


def tensors():
    """Return every way of reading a volume."""
    start = et.volume("bold", mask="mask")
    return {
        "raw": start,
        "clean": start.detrend().zscore(),
        "parcels": start.parcellate("labels"),
        "pooled": start.zscore().parcellate("labels"),
        "maps": start.parcellate("weights"),
    }


def made(folder, axcodes, affine):
    roles = {
        name: [brains.save_volume(folder / f"{name}.nii.gz", DATA[name](), code, affine)]
        for name, code in axcodes.items()
    }
    frame = et.collect(et.transform(brains.table(**roles), **tensors()))
    return {name: et.to_numpy(frame[name])[0] for name in tensors()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("orientations")


@pytest.fixture(scope="module", params=[brains.MM3, OBLIQUE], ids=["straight", "oblique"])
def ras(request, folder):
    """The affine, and the tensors of files that all are stored RAS."""
    found = made(folder, dict.fromkeys(DATA, "RAS"), request.param)
    np.testing.assert_array_equal(found["raw"], bold()[inside()].T)
    return request.param, found


def same(folder, ras, axcodes):
    affine, expected = ras
    for name, array in made(folder, axcodes, affine).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_las_and_ras(folder, ras):
    same(folder, ras, {"bold": "LAS", "mask": "RAS", "labels": "PIR", "weights": "SAL"})


@settings(max_examples=48)
@given(codes=st.tuples(*[st.sampled_from(AXCODES)] * len(DATA)))
def test_any_orientation_of_any_file(folder, ras, codes):
    same(folder, ras, dict(zip(DATA, codes, strict=True)))


def test_runs_stored_differently_share_one_mask(folder):
    """HCP's images are LAS, fMRIPrep's RAS: the same column is the same place."""
    codes = ("RAS", "LAS", "SPL")
    paths = [brains.save_volume(folder / f"{code}.nii.gz", bold(), code) for code in codes]
    mask = brains.save_volume(folder / "one.nii.gz", inside().astype("u1"), "LPI")
    arrays = brains.compute(brains.table(bold=paths), et.volume("bold", mask=mask))
    for array in arrays:
        np.testing.assert_array_equal(array, bold()[inside()].T)


def test_a_group_mask_of_masks_stored_differently(folder):
    masks = [
        brains.save_volume(folder / f"m{code}.nii.gz", inside().astype("u1"), code)
        for code in ("RAS", "LAS", "SPL")
    ]
    path = et.group_mask(brains.table(mask=masks), "mask", threshold=1.0, to=folder / "g.nii.gz")
    np.testing.assert_array_equal(brains.nib.load(path).get_fdata() > 0, inside())
