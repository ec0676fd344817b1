"""Masks and atlases as they are stored, beside nibabel."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from entense.errors import RecordError
from entense.images import masks
from entense.images.nifti import read_stored

RNG = np.random.default_rng(0)
INSIDE = RNG.random((5, 6, 4)) > 0.5


def due(path):
    """Return affine and voxels as nibabel has them."""
    image = nib.as_closest_canonical(nib.load(path))
    return image.affine, np.asanyarray(image.dataobj).reshape(image.shape[:3])


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "LAS", "PIR", "SAR", "IAL"])
@pytest.mark.parametrize("name", ["mask.nii", "mask.nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_volume_is_nibabels(study, axcodes, name, kind):
    path = str(study.image(name, INSIDE.astype("u1"), axcodes=axcodes, kind=kind))
    assert read_stored(path) is not None
    grid, data = masks.read_volume(path)
    affine, voxels = due(path)
    np.testing.assert_array_equal(data, voxels)
    np.testing.assert_array_equal(grid.affine, affine)
    assert grid.shape == INSIDE.shape
    np.testing.assert_array_equal(masks.read_mask(path).inside, INSIDE)


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", "<i4", "<f4", ">f4", "<f8", "<u2"])
@pytest.mark.parametrize("scaled", [None, (2.0, 0.0), (1.0, -1.0), (1.0, 0.0)])
def test_numbers_are_nibabels_scaled_or_not(study, dtype, scaled):
    labels = RNG.integers(0, 9, (5, 6, 4)).astype(dtype)
    path = str(study.image("a.nii.gz", labels, axcodes="LPS", scaled=scaled))
    np.testing.assert_array_equal(masks.read_volume(path)[1], due(path)[1])


def test_a_fourth_axis_of_one_is_no_axis(study):
    path = str(study.image("a.nii.gz", INSIDE[..., None].astype("u1"), axcodes="PIR"))
    np.testing.assert_array_equal(masks.read_volume(path)[1], due(path)[1])


def test_several_members_are_read_as_one(study, tmp_path):
    """As pigz and bgzip pack: gzip files may follow each other."""
    content = study.image("a.nii", INSIDE.astype("u1")).read_bytes()
    path = tmp_path / "b.nii.gz"
    path.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    np.testing.assert_array_equal(masks.read_mask(path).inside, INSIDE)


@pytest.mark.parametrize("cut", [30, -100, -20])
def test_a_mask_that_is_cut_short_says_so(study, cut):
    path = study.image("a.nii.gz", RNG.integers(0, 2, (20, 20, 20)).astype("u1"))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(RecordError, match=r"a\.nii\.gz: (the file is cut|cannot be read)"):
        masks.read_mask(path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, 1, 2], "3 different values from 0 to 2"),
        ([1, 2], "2 different values from 1 to 2"),
        ([-1, 0], "2 different values from -1 to 0"),
        ([0, np.nan], "2 different values"),
        ([np.nan], "1 different values"),
        ([0], "the mask is empty"),
    ],
)
def test_what_is_no_mask_says_why(study, values, said):
    data = np.resize(np.array(values, "f4"), (4, 4, 4))
    with pytest.raises(RecordError, match=said):
        masks.read_mask(study.image("a.nii.gz", data))
