"""Our NIfTI and CIFTI against nibabel."""

import gzip
import json
import struct
import zlib
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import any_bits, check_reads_back, spec_of

from entense.archive.formats import foreign
from entense.archive.formats.base import Sample, blank
from entense.archive.formats.cifti import Cifti
from entense.archive.formats.images import HELD
from entense.archive.formats.nifti import Nifti
from entense.errors import ArchiveError
from entense.geometry import Grayordinates, Mask
from entense.geometry.grayordinates import CORTEX, Structure

NIFTI, CIFTI = Nifti(), Cifti()
RNG = np.random.default_rng(0)
AFFINE = np.array([[2.0, 0.1, 0, -6], [0, 2, 0, -8.3], [0, 0, 3, -4], [0, 0, 0, 1]])
MASK = Mask.of(RNG.random((5, 6, 7)) > 0.6, AFFINE)
SIDES = Grayordinates.of_surface({name: RNG.random(50) > 0.4 for name in CORTEX.values()})
VOXELS = np.argwhere(MASK.inside)[:9].astype("i4")
GRAY = Grayordinates(
    (*SIDES.structures, Structure("CIFTI_STRUCTURE_BRAIN_STEM", 0, VOXELS)), (5, 6, 7), AFFINE
)
KINDS = [(NIFTI, MASK, "voxel"), (CIFTI, SIDES, "vertex"), (CIFTI, GRAY, "grayordinate")]
SCALARS = {"age": 34, "sex": "f", "left": None, "site": float("nan")}


def test_a_mask_has_the_same_bytes_by_any_python(monkeypatch):
    """From 3.13 on gzip names no system; and each zlib packs what NIfTI holds in its own way."""
    content = MASK.to_bytes()
    assert content[9] == 255
    np.testing.assert_array_equal(
        nib.Nifti1Image.from_bytes(gzip.decompress(content)).get_fdata(), MASK.inside
    )
    before = NIFTI.digest
    monkeypatch.setattr(zlib, "ZLIB_RUNTIME_VERSION", "1.3.1.zlib-ng")
    assert NIFTI.digest != before


def dims(array, mask):
    what = next(what for _, one, what in KINDS if one is mask)
    return ("time", what)[2 - array.ndim :]


def save(fmt, path, array, mask, **known):
    """Write one tensor, and check first what the archive checks first."""
    spec = spec_of(array, mask=mask, dims=dims(array, mask), **known)
    fmt.check("x", spec)
    sample = Sample("s1", {"x": array}, SCALARS, {"x": spec})
    fmt.size(sample)
    sink = fmt.begin(path, foreign.Shared())
    sink.append(sample)
    sink.close()
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.nii"


def numbers(mask, frames, dtype, seed):
    """Any numbers, NaNs and zeros in the mask among them; `frames` None: without time."""
    shape = (mask.size,) if frames is None else (frames, mask.size)
    array = any_bits(dtype, shape, seed).copy()
    array[..., 3] = 0
    return array


@given(
    st.sampled_from(KINDS), st.none() | st.integers(1, 5), st.sampled_from(HELD), st.integers(0, 99)
)
def test_the_very_bytes_come_back(tmp_path_factory, kind, frames, dtype, seed):
    fmt, mask, _ = kind
    array = numbers(mask, frames, dtype, seed)
    path = save(fmt, tmp_path_factory.mktemp("images") / "x.nii", array, mask, tr=0.8)
    check_reads_back(fmt, path, {"s1": ({"x": array}, SCALARS)})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", HELD)
@pytest.mark.parametrize("frames", [None, 1, 4])
def test_nibabel_reads_a_nifti(path, dtype, frames):
    shape = (MASK.size,) if frames is None else (frames, MASK.size)
    array = RNG.uniform(0, 200, shape).astype(dtype)
    image = nib.load(save(NIFTI, path, array, MASK, tr=0.8))
    assert image.get_data_dtype() == dtype
    data = np.asanyarray(image.dataobj)
    np.testing.assert_array_equal(data[MASK.inside], array.T)
    assert not data[~MASK.inside].any()
    np.testing.assert_array_equal(image.affine, MASK.affine)
    assert image.shape == (5, 6, 7) if frames is None else (5, 6, 7, frames)
    assert image.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_allclose(image.header.get_zooms()[3:], [0.8] * (frames is not None))
    note = json.loads(image.header.extensions[0].get_content())
    assert note["record"] == "s1"
    assert note["columns"] == {"age": 34, "sex": "f", "left": None, "site": None}


@pytest.mark.parametrize("mask", [SIDES, GRAY], ids=["surface", "grayordinates"])
@pytest.mark.parametrize("dtype", HELD)
def test_nibabel_reads_a_cifti(path, mask, dtype):
    for frames in (None, 1, 4):
        shape = (mask.size,) if frames is None else (frames, mask.size)
        array = RNG.uniform(0, 200, shape).astype(dtype)
        image = nib.load(save(CIFTI, path, array, mask, tr=0.8))
        assert isinstance(image, nib.Cifti2Image)
        assert image.get_data_dtype() == dtype
        np.testing.assert_array_equal(np.asarray(image.dataobj), np.atleast_2d(array))
        rows, columns = (image.header.get_axis(i) for i in (0, 1))
        assert Grayordinates.of_axis(columns) == mask
        assert dict(image.header.matrix.metadata) == {"record": "s1", "age": "34", "sex": "f"}
        if frames is None:
            assert isinstance(rows, nib.cifti2.ScalarAxis)
        else:
            assert (rows.start, rows.step, rows.unit, rows.size) == (0, 0.8, "SECOND", frames)


def test_our_own_reader_takes_a_dtseries(tmp_path):
    from entense.images.cifti import read_dense

    array = RNG.normal(size=(4, GRAY.size)).astype("f4")
    series = read_dense(str(save(CIFTI, tmp_path / "x.dtseries.nii", array, GRAY, tr=0.8)))
    assert (series.tr, series.axis) == (0.8, GRAY)
    np.testing.assert_array_equal(list(series.read()), array)


@pytest.mark.parametrize(("fmt", "mask"), [kind[:2] for kind in KINDS])
def test_steps_are_values_to_a_reader_and_steps_to_us(path, fmt, mask):
    array = RNG.integers(-9, 9, (3, mask.size)).astype("i2")
    save(fmt, path, array, mask, scale=0.25)
    check_reads_back(fmt, path, {"s1": ({"x": array}, {})})
    image = nib.load(path)
    data = image.get_fdata()[MASK.inside].T if fmt is NIFTI else image.get_fdata()
    np.testing.assert_array_equal(data, array * 0.25)


def test_a_long_run_is_nifti_2(path):
    mask = Mask.of(np.ones((1, 1, 2), bool), AFFINE)
    array = np.arange(80_000, dtype="f4").reshape(40_000, 2)
    spec = spec_of(array, mask=mask, dims=("time", "voxel"))
    NIFTI.begin(path, foreign.Shared()).append(Sample("a", {"x": array}, {}, {"x": spec}))
    assert nib.load(path).shape == (1, 1, 2, 40_000)
    np.testing.assert_array_equal(NIFTI.read(path, "a", "x", 39_990, 40_000), array[39_990:])


@pytest.mark.parametrize(("fmt", "mask"), [kind[:2] for kind in KINDS])
def test_the_same_tensor_gives_the_same_bytes(tmp_path, fmt, mask):
    array = RNG.normal(size=(3, mask.size)).astype("f4")
    one, other = (save(fmt, tmp_path / name, array, mask, tr=2.0) for name in ("a.nii", "b.nii"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("fmt", [NIFTI, CIFTI])
def test_what_no_image_holds_is_refused_with_a_remedy(fmt):
    mask, what = {"nifti": (MASK, "voxel"), "cifti": (GRAY, "grayordinate")}[fmt.name]
    spec = spec_of(blank((4, mask.size), "float32"), mask=mask, dims=("time", what))
    fmt.check("x", spec)
    for dtype, instead in {"bool": "uint8", "float16": "float32", "int32": "float64"}.items():
        with pytest.raises(ArchiveError, match=f'use dtype={{"x": "{instead}"}}'):
            fmt.check("x", replace(spec, dtype=dtype))
    with pytest.raises(ArchiveError, match='format="tfrecord"'):
        fmt.check("x", replace(spec, dtype="complex64"))
    other = SIDES if fmt is NIFTI else MASK
    parcels = replace(spec, dims=("time", "parcel"), mask=None)
    stacked = replace(spec, dims=("item", "time", what), shape=(2, 4, mask.size))
    for wrong in (parcels, stacked, replace(spec, mask=other)):
        with pytest.raises(ArchiveError, match="leave it out, or write"):
            fmt.check("x", wrong)
    with pytest.raises(ArchiveError, match="is empty"):
        fmt.check("x", replace(spec, shape=(0, mask.size)))


def test_names_of_cifti_say_what_it_is():
    spec = spec_of(blank((4, 3), "float32"))
    assert CIFTI.suffixes(spec) == [".dtseries.nii"]
    assert CIFTI.suffixes(replace(spec, dims=("vertex",))) == [".dscalar.nii"]
    assert NIFTI.suffixes(spec) == [".nii"]


@pytest.mark.parametrize(("fmt", "mask"), [kind[:2] for kind in KINDS])
def test_a_file_cut_anywhere_is_an_error(path, tmp_path, fmt, mask):
    array = RNG.normal(size=(3, mask.size)).astype("f4")
    whole, cut = save(fmt, path, array, mask).read_bytes(), tmp_path / "cut.nii"
    for length in range(0, len(whole), 83):
        cut.write_bytes(whole[:length])
        with pytest.raises(ArchiveError, match=f"cut.nii cannot be read as {fmt.name}"):
            fmt.read(cut, "s1", "x", 0, 3)


@pytest.mark.parametrize(
    ("at", "content"),
    [
        (42, struct.pack("=3h", 32767, 32767, 32767)),
        (42, struct.pack("=3h", 5, 6, -7)),
        (42, struct.pack("=3h", 0, 6, 7)),
        (352, struct.pack("=i", 2**31 - 1)),
        (352, struct.pack("=i", -5)),
        (356, struct.pack("=i", 44)),
        (360, b"not JSON"),
        (108, struct.pack("=f", float("inf"))),
        (70, struct.pack("=h", 128)),
    ],
)
def test_a_hostile_nifti_is_an_error(path, at, content):
    save(NIFTI, path, RNG.normal(size=(3, MASK.size)).astype("f4"), MASK)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)
    with pytest.raises(ArchiveError, match=r"x.nii cannot be read as nifti"):
        NIFTI.read(path, "s1", "x", 0, 3)
