"""Files of one geometry where another's are due."""

import brains
import numpy as np
import pytest

import entense as et


@pytest.fixture
def files(tmp_path):
    """A file of each kind."""
    axis = brains.small_axis()
    keys = np.arange(len(axis)) % 3
    return {
        "dtseries": brains.save_dense(tmp_path / "b.dtseries.nii", brains.noise(0, 8, 24), axis),
        "dscalar": brains.save_scalars(tmp_path / "m.dscalar.nii", keys, axis),
        "dlabel": brains.save_labels(tmp_path / "a.dlabel.nii", keys, axis, {1: "a", 2: "b"}),
        "func.gii": brains.save_series(tmp_path / "hemi-L.func.gii", brains.noise(0, 8, 12)),
        "label.gii": brains.save_keys(tmp_path / "hemi-L.label.gii", np.arange(12), {}),
        "volume": brains.save_volume(tmp_path / "b.nii.gz", brains.noise(0, 3, 4, 5, 8)),
        "mask": brains.save_volume(tmp_path / "m.nii.gz", np.ones((3, 4, 5), "u1")),
    }


VOLUME, CIFTI = et.volume("bold", mask="mask"), et.cifti("bold")
WRONG = {
    # tensor, series, mask, atlas: which is named, and what is said of it
    ("volume", "dtseries", "mask", None): ("dtseries", "Cifti2Image", "et.cifti"),
    ("volume", "func.gii", "mask", None): ("func.gii", "GiftiImage", "et.surface"),
    ("volume", "volume", "dscalar", None): ("dscalar", "no mask or atlas of a volume", ".nii.gz"),
    ("volume", "volume", "label.gii", None): ("label.gii", "no mask or atlas", ".nii.gz"),
    ("volume", "volume", "mask", "dlabel"): ("dlabel", "labels of surfaces", ".nii.gz"),
    ("volume", "volume", "mask", "label.gii"): ("label.gii", "labels of surfaces", ".nii.gz"),
    ("volume", "volume", "mask", "dscalar"): ("dscalar", "no mask or atlas of a volume", ".nii.gz"),
    ("surface", "dtseries", None, None): ("dtseries", "no GIFTI file", ".func.gii"),
    ("surface", "volume", None, None): ("volume", "no GIFTI file", ".func.gii"),
    ("surface", "func.gii", "mask", None): ("mask", "no GIFTI file", ".label.gii"),
    ("surface", "func.gii", None, "mask"): ("mask", "lies in a volume", ".label.gii"),
    ("surface", "func.gii", None, "dscalar"): ("dscalar", "no mask or atlas", ".dlabel.nii"),
    ("cifti", "volume", None, None): ("volume", "no CIFTI file", ".dtseries.nii"),
    ("cifti", "func.gii", None, None): ("func.gii", "no CIFTI file", ".dtseries.nii"),
    ("cifti", "dtseries", "mask", None): ("mask", "no CIFTI file", ".dscalar.nii"),
    ("cifti", "dtseries", None, "mask"): ("mask", "lies in a volume", ".dlabel.nii"),
    ("cifti", "dtseries", None, "label.gii"): ("label.gii", "one hemisphere", "(left, right)"),
    ("cifti", "dscalar", None, None): ("dscalar", "a dtseries or ptseries is due", "query"),
}


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_the_wrong_file_is_named_and_the_right_kind_too(files, wrong):
    start, series, mask, atlas = wrong
    roles = {"bold": files[series]}
    tensor = getattr(et, start)("bold", mask=files[mask] if mask else None)
    tensor = tensor.parcellate(files[atlas]) if atlas else tensor
    with pytest.raises(et.RecordError) as raised:
        brains.one(tensor, **roles)
    named, *words = WRONG[wrong]
    for word in (f"{files[named]}: ", *words):
        assert word in str(raised.value)


def test_a_map_of_a_pair_where_one_file_is_due(files):
    pair = {"L": str(files["func.gii"]), "R": str(files["func.gii"])}
    with pytest.raises(et.TableError, match=r"cifti does not read.*et\.surface"):
        brains.one(CIFTI, bold=pair)
    with pytest.raises(et.TableError, match="two hemispheres, which volume does not read"):
        brains.one(VOLUME, bold=pair, mask=files["mask"])


def test_parcels_have_no_columns_to_parcellate(tmp_path, files):
    path = brains.save_parcels(tmp_path / "b.ptseries.nii", brains.noise(1, 9, 3), ["a", "b", "c"])
    with pytest.raises(et.RecipeError, match="parcellate needs"):
        brains.one(CIFTI.parcellate(files["dlabel"]), bold=path)
