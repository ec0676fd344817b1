"""CIFTI series beside nibabel: the 91,282 grayordinates of HCP and fMRIPrep, and small ones."""

import brains
import nibabel as nib
import numpy as np
import pytest

import entense as et
from entense.geometry import Grayordinates
from entense.plan.survey import survey

CIFTI = et.cifti("bold")
FRAMES = 70  # more than are turned round at once


@pytest.fixture(scope="module")
def axis():
    return brains.axis_91k()


@pytest.fixture(scope="module")
def values():
    return brains.noise(0, FRAMES, 91_282)


@pytest.fixture(scope="module")
def bold(tmp_path_factory, axis, values):
    return brains.save_dense(tmp_path_factory.mktemp("91k") / "b.dtseries.nii", values, axis)


def test_91k_is_what_nibabel_reads(bold, values):
    made = brains.one(CIFTI, bold=bold)
    assert made.shape == (FRAMES, 91_282)
    np.testing.assert_array_equal(made, nib.load(bold).get_fdata(dtype="f4"))
    np.testing.assert_array_equal(made, values)


STRUCTURES = {
    "cortex": ["cortex_left", "cortex_right"],
    "CORTEX_LEFT": ["cortex_left"],
    "CIFTI_STRUCTURE_CORTEX_RIGHT": ["cortex_right"],
    "thalamus_right": ["thalamus_right"],
    "brain_stem": ["brainStem"],
    ("hippocampus_left", "cortex"): ["cortex_left", "cortex_right", "hippocampus_left"],
}


@pytest.mark.parametrize("wanted", STRUCTURES, ids=str)
def test_structures_are_those_of_hcp_utils(bold, values, wanted):
    where = brains.structures_91k()
    places = np.concatenate([where[name] for name in STRUCTURES[wanted]])
    made = brains.one(et.cifti("bold", structures=wanted), bold=bold)
    np.testing.assert_array_equal(made, values[:, places])


def test_subcortex_is_all_voxels(bold, values):
    made = brains.one(et.cifti("bold", structures="subcortex"), bold=bold)
    np.testing.assert_array_equal(made, values[:, 59_412:])


def test_a_structure_that_is_not_there(bold):
    with pytest.raises(et.RecordError) as raised:
        brains.one(et.cifti("bold", structures=["cortex", "thalamus"]), bold=bold)
    for word in (str(bold), "no structure 'thalamus'", "there are: cortex_left, cortex_right"):
        assert word in str(raised.value)
    assert "thalamus_left, thalamus_right" in str(raised.value)


@pytest.mark.parametrize("structures", [None, "cortex_right", "subcortex"])
def test_a_mask_of_other_columns_and_order(tmp_path, bold, axis, values, structures):
    some = np.sort(np.random.default_rng(0).permutation(91_282)[:20_000])
    order = [some[some >= 59_412], some[some < 59_412]]  # voxels first
    inside = np.arange(20_000) % 4 > 0
    mask = brains.save_scalars(tmp_path / "m.dscalar.nii", inside, axis[order[0]] + axis[order[1]])
    places = np.concatenate(order)[inside]
    parts = {None: places >= 0, "subcortex": places >= 59_412}
    kept = parts.get(structures, (places >= 29_696) & (places < 59_412))
    made = brains.one(et.cifti("bold", mask=mask, structures=structures), bold=bold)
    np.testing.assert_array_equal(made, values[:, places[kept]])


def test_hcps_real_map_of_sulci_is_a_mask_of_the_cortex(bold, values):
    path = brains.HCP / "S1200.sulc_MSMAll.32k_fs_LR.dscalar.nii"
    inside = nib.load(path).get_fdata()[0] > 0
    assert inside.size == 59_412
    made = brains.one(et.cifti("bold", mask=path), bold=bold)
    np.testing.assert_array_equal(made, values[:, :59_412][:, inside])


@pytest.mark.parametrize("frames", [1, 63, 64, 65])
def test_how_many_frames_are_turned_at_once_is_no_matter(tmp_path, frames):
    axis = brains.small_axis()
    values = brains.noise(1, frames, len(axis))
    path = brains.save_dense(tmp_path / "b.dtseries.nii", values, axis)
    np.testing.assert_array_equal(brains.one(CIFTI, bold=path), values)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8"])
def test_every_dtype(tmp_path, dtype):
    axis = brains.small_axis()
    values = (brains.noise(1, 9, len(axis)) % 200).astype(dtype)
    path = brains.save_dense(tmp_path / "b.dtseries.nii", values, axis)
    assert nib.load(path).nifti_header.get_data_dtype() == np.dtype(dtype)
    np.testing.assert_array_equal(brains.one(CIFTI, bold=path), values.astype("f4"))


def test_scaled_and_big_endian(tmp_path):
    axis = brains.small_axis()
    values = (brains.noise(1, 9, len(axis)) % 200).astype("i2")
    path = brains.save_dense(tmp_path / "b.dtseries.nii", values, axis)
    raw = bytearray(path.read_bytes())
    header = nib.Nifti2Header(bytes(raw[:540]))
    header["scl_slope"], header["scl_inter"] = 0.25, -3
    raw[:540] = header.as_byteswapped(">").binaryblock
    start = int(header["vox_offset"])
    raw[544:552] = np.frombuffer(raw[544:552], "<i4").astype(">i4").tobytes()
    raw[start:] = np.frombuffer(raw[start:], "<i2").astype(">i2").tobytes()
    path.write_bytes(raw)
    expected = nib.load(path).get_fdata()
    np.testing.assert_array_equal(expected, values * 0.25 - 3)
    np.testing.assert_array_equal(brains.one(CIFTI, bold=path), expected.astype("f4"))


def test_parcel_series(tmp_path):
    values = brains.noise(1, 9, 3)
    path = brains.save_parcels(tmp_path / "b.ptseries.nii", values, ["V1", "MT", "thalamus"])
    records = brains.table(bold=[path])
    spec = survey(et.transform(records, x=CIFTI)).specs[0]["x"]
    assert (spec.dims, spec.tr) == (("time", "parcel"), pytest.approx(0.72))
    assert spec.coords == {"parcel": ("V1", "MT", "thalamus")}
    np.testing.assert_array_equal(brains.compute(records, CIFTI)[0], values)
    fc = brains.compute(records, CIFTI.correlation())[0]
    np.testing.assert_allclose(fc, np.corrcoef(values.astype("f8").T), atol=1e-5)


@pytest.mark.parametrize("what", [{"structures": "cortex"}, {"mask": "mask"}])
def test_parcels_are_not_selected(tmp_path, what):
    path = brains.save_parcels(tmp_path / "b.ptseries.nii", brains.noise(1, 9, 3), ["a", "b", "c"])
    mask = brains.save_scalars(tmp_path / "m.dscalar.nii", np.ones(24), brains.small_axis())
    with pytest.raises(et.RecordError, match="parcels, which no mask or structure selects"):
        brains.one(et.cifti("bold", **what), bold=path, mask=mask)


def test_the_tr_is_the_sidecars_else_the_files(tmp_path):
    axis = brains.small_axis()
    path = brains.save_dense(tmp_path / "b.dtseries.nii", brains.noise(1, 9, len(axis)), axis, 1.4)
    records = brains.table(bold=[path, path]).with_columns(bold_tr=brains.pl.Series([2.0, None]))
    specs = survey(et.transform(records, x=CIFTI)).specs
    assert [one["x"].tr for one in specs] == [2.0, pytest.approx(1.4)]


def test_milliseconds_as_an_exponent_and_units_that_are_no_seconds(tmp_path):
    axis = brains.small_axis()
    path = brains.save_dense(tmp_path / "b.dtseries.nii", brains.noise(1, 9, len(axis)), axis, 720)
    for unit, tr in (("SECOND", pytest.approx(0.72)), ("HERTZ", None)):
        brains.edit_xml(path, SeriesExponent="-3", SeriesUnit=unit)
        assert nib.load(path).header.get_axis(0).unit == unit
        spec = survey(et.transform(brains.table(bold=[path]), x=CIFTI)).specs[0]["x"]
        assert spec.tr == tr


def test_the_cortex_is_the_same_with_and_without_voxels_beside_it():
    whole, alone = (Grayordinates.of_axis(brains.small_axis(voxels=voxels)) for voxels in (6, 0))
    assert whole != alone
    assert whole.select(["cortex"]) == alone
    assert whole.where(np.arange(24) < 12) == alone
    assert hash(whole.select(["cortex"])) == hash(alone)
