"""Decoding against nibabel, bit for bit, and what becomes of damaged files."""

import gzip
import itertools
import os
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import signal

import entense as et
from entense.execute import blocks, compute, decode, serial
from entense.images import nifti
from entense.plan import jit

BOLD = et.volume("bold", mask="mask")
AXCODES = [
    "".join(code)
    for axes in itertools.permutations(["RL", "AP", "SI"])
    for code in itertools.product(*axes)
]


def by_nibabel(row):
    """Read a run as nibabel does: closest canonical, masked, (time, voxel), float64."""
    mask = nib.as_closest_canonical(nib.load(row["mask"])).get_fdata() > 0
    return nib.as_closest_canonical(nib.load(row["bold"])).get_fdata()[mask].T


def test_every_orientation_is_the_same_tensor(study):
    for axcodes in AXCODES:
        study.run(axcodes, axcodes=axcodes, frames=3, seed=0)
    arrays = study.compute(BOLD)
    assert len(arrays) == len(set(AXCODES)) == 48
    for array, row in zip(arrays, study.rows, strict=True):
        assert nib.aff2axcodes(nib.load(row["bold"]).affine) == tuple(row["subject"])
        np.testing.assert_array_equal(array, by_nibabel(row))
        np.testing.assert_array_equal(array, arrays[0])


def test_an_oblique_image_is_in_canonical_order(study):
    tilt = np.eye(4)
    tilt[:3, :3] = [[0.1, -0.9, 0.3], [0.95, 0.2, 0.2], [-0.2, 0.3, 0.9]]
    data = np.random.default_rng(0).integers(0, 99, (*study.shape, 3)).astype("i2")
    bold = study.image("bold.nii.gz", data, affine=tilt)
    mask = study.image("mask.nii.gz", study.inside.astype("u1"), affine=tilt)
    row = study.run("01", frames=3) | {"bold": str(bold), "mask": str(mask)}
    study.rows = [row]
    np.testing.assert_array_equal(study.compute(BOLD)[0], by_nibabel(row))


DTYPES = ["i1", "u1", "<i2", ">i2", "<u2", "<i4", ">i4", "<u4", "<i8", ">u8", "<f4", ">f4", "<f8"]


@pytest.mark.parametrize("scaled", [None, (0.37, -12.5), (2.0, 0.0), (-1.0, 3.0)], ids=str)
@pytest.mark.parametrize("dtype", [*DTYPES, ">f8"])
def test_every_dtype(study, dtype, scaled):
    row = study.run("01", dtype=dtype, scaled=scaled)
    proxy = nib.load(row["bold"]).dataobj
    assert nib.load(row["bold"]).get_data_dtype() == np.dtype(dtype)
    assert (proxy.slope, proxy.inter) == pytest.approx(scaled or (1, 0))
    ours = study.compute(BOLD)[0]
    assert ours.dtype == np.float32
    theirs = by_nibabel(row)
    if scaled is None:
        np.testing.assert_array_equal(ours, theirs.astype("f4"))
    np.testing.assert_allclose(ours, theirs, rtol=2e-7)
    # the way with the first frame taken off
    theirs = signal.detrend(theirs, axis=0)
    detrended = study.compute(BOLD.detrend())[0]
    assert np.linalg.norm(detrended - theirs) / np.linalg.norm(theirs) <= 1e-6


@pytest.mark.parametrize("dtype", ["<i4", "<i8", "<f8"])
def test_small_changes_on_a_huge_baseline_are_kept(study, dtype):
    steps = np.random.default_rng(0).integers(-50, 50, (*study.shape, 40))
    row = study.run("01", data=(steps + 1_000_000_000).astype(dtype))
    theirs = signal.detrend(by_nibabel(row), axis=0)
    ours = study.compute(BOLD.detrend())[0]
    assert np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) <= 1e-5


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
def test_every_container(study, kind, extension):
    row = study.run("01", kind=kind, extension=extension)
    assert type(nib.load(row["bold"])) is kind
    np.testing.assert_array_equal(study.compute(BOLD)[0], by_nibabel(row))


def test_a_gzip_of_several_members(study):
    row = study.run("01")
    raw = gzip.decompress(Path(row["bold"]).read_bytes())
    cuts = [0, 100, 352, 353, 5000, len(raw)]
    members = [gzip.compress(raw[a:b]) for a, b in itertools.pairwise(cuts)]
    Path(row["bold"]).write_bytes(b"".join(members))
    np.testing.assert_array_equal(study.compute(BOLD)[0], by_nibabel(row))


@pytest.mark.parametrize("chunk", [1, 1000, 5000])
def test_how_much_is_inflated_at_once_changes_nothing(study, monkeypatch, chunk):
    study.run("01")
    chains = (BOLD, BOLD.detrend(), BOLD.parcellate(study.atlas()))
    before = [study.compute(chain)[0] for chain in chains]
    monkeypatch.setattr(nifti, "CHUNK", chunk)
    for array, chain in zip(before, chains, strict=True):
        np.testing.assert_array_equal(study.compute(chain)[0], array)


@pytest.mark.parametrize("block", [1, 7, 54, 109, 110])
def test_how_many_voxels_are_computed_at_once_changes_next_to_nothing(study, monkeypatch, block):
    study.run("01")
    clean = BOLD.denoise("confounds", "9P", high_pass=0.01).zscore()
    chains = (BOLD, clean, clean.parcellate(study.atlas()))
    before = [study.compute(chain)[0] for chain in chains]
    monkeypatch.setattr(blocks, "BLOCK", block)
    monkeypatch.setattr(decode, "BLOCK", block)
    monkeypatch.setattr(compute, "BLOCK", block)
    monkeypatch.setattr(jit, "BLOCK", block)
    for array, chain in zip(before, chains, strict=True):
        np.testing.assert_allclose(study.compute(chain)[0], array, rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(study.compute(BOLD)[0], before[0])


# Damage


@pytest.fixture(params=[1, 4], autouse=True)
def cores(request, monkeypatch):
    """One file alone is inflated by all cores there are, which takes another library."""
    monkeypatch.setattr(serial, "_cores", lambda: request.param)


def error_of(study):
    with pytest.raises(et.RecordError) as error:
        study.compute(BOLD)
    assert study.rows[0]["bold"] in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
@pytest.mark.parametrize("part", [0.001, 0.02, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(study, extension, part):
    path = study.run("01", extension=extension)["bold"]
    os.truncate(path, int(Path(path).stat().st_size * part))
    assert "copy it again" in error_of(study)


@pytest.mark.parametrize("missing", range(1, 10))
def test_a_gzip_without_its_last_bytes_is_named(study, missing):
    path = study.run("01")["bold"]
    os.truncate(path, Path(path).stat().st_size - missing)
    assert "copy it again" in error_of(study)


def test_a_file_cut_between_frames_says_how_many_there_are(study):
    path = study.run("01", extension=".nii")["bold"]
    os.truncate(path, 352 + 10 * 5 * 6 * 4 * 2)
    assert "it holds 10 of 40 frames" in error_of(study)


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9, -1, -5, -8])
def test_a_flipped_bit_in_a_gzip_is_found(study, at):
    path = Path(study.run("01")["bold"])
    data = bytearray(path.read_bytes())
    data[at if at < 0 else int(len(data) * at)] ^= 1
    path.write_bytes(data)
    assert "copy it again" in error_of(study)


def test_a_flipped_bit_in_the_last_member_is_found(study):
    path = Path(study.run("01")["bold"])
    data = bytearray(path.read_bytes() + gzip.compress(b"more"))
    data[-6] ^= 1
    path.write_bytes(data)
    assert "copy it again" in error_of(study)


@pytest.mark.parametrize("padding", [1, 512, 10_240])
def test_zeros_after_a_gzip_are_nothing(study, padding):
    """Tapes and tar leave some; what inflates on many cores takes them for another member."""
    row = study.run("01")
    path = Path(row["bold"])
    path.write_bytes(path.read_bytes() + bytes(padding))
    np.testing.assert_array_equal(study.compute(BOLD)[0], by_nibabel(row))


def test_no_gzip_under_a_name_that_says_so(study):
    path = Path(study.run("01")["bold"])
    path.write_bytes(gzip.decompress(path.read_bytes()))
    assert "copy it again" in error_of(study)


def test_what_is_wrong_is_said_alike_on_any_number_of_cores(study, monkeypatch):
    """Archives keep the words, and their bytes must depend on no number of cores."""
    path = Path(study.run("01")["bold"])
    whole = path.read_bytes()
    said = []
    for data in (whole[:100], whole[:-3], whole[:-20], whole[:-6] + bytes(6)):
        path.write_bytes(data)
        for cores in (1, 4):
            monkeypatch.setattr(serial, "_cores", partial(int, cores))
            said.append(error_of(study))
    assert said[::2] == said[1::2]
    assert len(set(said)) == 3  # two are cut short
