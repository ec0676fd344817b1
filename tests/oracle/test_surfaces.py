"""Series on surfaces beside nibabel: every encoding, real files, masks."""

from pathlib import Path

import brains
import nibabel as nib
import nilearn
import numpy as np
import pytest

import entense as et
from entense.geometry import Sides
from entense.images.atlases import read_atlas

SURFACE = et.surface("bold")
FSAVERAGE5 = Path(nilearn.__file__).parent / "datasets" / "data" / "fsaverage5"
KINDS = ("sulc", "curv", "area", "thick")
ENCODINGS = ("ASCII", "Base64Binary", "GZipBase64Binary")
ORDERS = ("RowMajorOrder", "ColumnMajorOrder")
SERIES = {"L": brains.noise(0, 7, 30), "R": brains.noise(1, 7, 20)}


def by_nibabel(path):
    """Read (time, vertex): an array a frame, or one (vertex, time) array for all."""
    arrays = [one.data for one in nib.load(path).darrays]
    data = arrays[0].T if len(arrays) == 1 and arrays[0].ndim == 2 else np.stack(arrays)
    return data.reshape(len(data), -1)


@pytest.mark.parametrize("one_array", [False, True], ids=["an array a frame", "one for all"])
@pytest.mark.parametrize("endian", ["LittleEndian", "BigEndian"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("order", ORDERS)
def test_every_encoding(tmp_path, encoding, order, endian, one_array):
    arrays = [np.ascontiguousarray(SERIES["L"].T)] if one_array else list(SERIES["L"])
    options = {"encoding": encoding, "order": order, "endian": endian}
    path = brains.save_gifti(tmp_path / "hemi-L.func.gii", arrays, **options)
    np.testing.assert_array_equal(by_nibabel(path), SERIES["L"])
    np.testing.assert_array_equal(brains.one(SURFACE, bold=path), SERIES["L"])


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8"])
def test_every_dtype(tmp_path, dtype):
    values = brains.noise(2, 9, 25, dtype="f8")
    values = (values % 200 if dtype == "u1" else values).astype(dtype)
    path = brains.save_series(tmp_path / "x.func.gii", values)
    made = brains.one(SURFACE, bold=path)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, by_nibabel(path).astype("f4"))


def test_arrays_of_one_column(tmp_path):
    path = brains.save_gifti(tmp_path / "x.func.gii", [one[:, None] for one in SERIES["L"]])
    np.testing.assert_array_equal(brains.one(SURFACE, bold=path), SERIES["L"])


def test_one_frame(tmp_path):
    path = brains.save_series(tmp_path / "x.func.gii", SERIES["L"][:1])
    np.testing.assert_array_equal(brains.one(SURFACE, bold=path), SERIES["L"][:1])


def test_nibabels_own_series():
    path = brains.GIFTI / "task.func.gii"
    made = brains.one(SURFACE, bold=path)
    assert made.shape == (10, 642)
    np.testing.assert_array_equal(made, by_nibabel(path))


def test_nibabels_own_curvature():
    for name, vertices in (("gzipbase64.gii", 143_479), ("rh.shape.curv.gii", 133_764)):
        made = brains.one(SURFACE, bold=brains.GIFTI / name)
        assert made.shape == (1, vertices)
        np.testing.assert_array_equal(made, by_nibabel(brains.GIFTI / name))


def test_nilearns_fsaverage5_as_both_hemispheres_of_a_series(tmp_path):
    """Four maps of each hemisphere stand for frames: real numbers, float32, gzip."""
    series = {
        side: np.concatenate(
            [
                by_nibabel(FSAVERAGE5 / f"{n}_{name}.gii.gz")
                for n in ("sulc", "curv", "area", "thick")
            ]
        )
        for side, name in (("L", "left"), ("R", "right"))
    }
    assert series["L"].shape == series["R"].shape == (4, 10_242)
    made = brains.one(SURFACE, bold=brains.surfaces(tmp_path, series))
    np.testing.assert_array_equal(made, np.hstack([series["L"], series["R"]]))
    alone = brains.one(SURFACE, bold=FSAVERAGE5 / "sulc_left.gii.gz")
    np.testing.assert_array_equal(alone, series["L"][:1])


def test_left_comes_first_and_one_alone_is_itself(tmp_path):
    paths = brains.surfaces(tmp_path, SERIES)
    both = brains.one(SURFACE, bold={"R": paths["R"], "L": paths["L"]})
    np.testing.assert_array_equal(both, np.hstack([SERIES["L"], SERIES["R"]]))
    for side, path in paths.items():
        np.testing.assert_array_equal(brains.one(SURFACE, bold=path), SERIES[side])


def test_a_chain_of_filters_is_what_numpy_makes_of_the_whole(tmp_path):
    raw = np.hstack([SERIES["L"], SERIES["R"]]).astype("f8")
    made = brains.one(SURFACE.detrend().zscore(), bold=brains.surfaces(tmp_path, SERIES))
    time = np.linspace(-1, 1, len(raw))[:, None] ** [0, 1]
    left = raw - time @ np.linalg.lstsq(time, raw, rcond=None)[0]
    np.testing.assert_allclose(made, left / left.std(axis=0, ddof=1), atol=2e-5)


# masks


INSIDE = {"L": np.arange(30) % 3 > 0, "R": np.arange(20) > 4}


def label_pair(folder):
    return {
        side: str(brains.save_keys(folder / f"{side}.label.gii", 7 * one, {7: "cortex"}, side=side))
        for side, one in INSIDE.items()
    }


def shape_pair(folder):
    return {
        side: str(
            brains.save_gifti(
                folder / f"{side}.shape.gii", [one.astype("f4")[:, None]], intent="SHAPE", side=side
            )
        )
        for side, one in INSIDE.items()
    }


def scalars(folder):
    """A dscalar of the whole surfaces, as Workbench writes it: 1 inside, 0 outside."""
    axis = brains.BrainModelAxis.from_surface(np.arange(30), 30, "CortexLeft")
    axis += brains.BrainModelAxis.from_surface(np.arange(20), 20, "CortexRight")
    return brains.save_scalars(folder / "m.dscalar.nii", np.concatenate([*INSIDE.values()]), axis)


def labels(folder):
    """A dlabel without the medial wall."""
    axis = brains.BrainModelAxis.from_mask(INSIDE["L"], "CortexLeft")
    axis += brains.BrainModelAxis.from_mask(INSIDE["R"], "CortexRight")
    return brains.save_labels(folder / "m.dlabel.nii", np.ones(len(axis)), axis, {1: "cortex"})


def group(folder):
    records = brains.table(mask=[label_pair(folder)])
    return et.group_mask(records, "mask", to=folder / "group.dscalar.nii")


@pytest.mark.parametrize("mask", [label_pair, shape_pair, scalars, labels, group])
@pytest.mark.parametrize("as_role", [False, True])
def test_masks_keep_what_is_inside(tmp_path, mask, as_role):
    bold, path = brains.surfaces(tmp_path, SERIES), mask(tmp_path)
    if as_role:
        made = brains.one(et.surface("bold", mask="mask"), bold=bold, mask=path)
    else:
        made = brains.one(et.surface("bold", mask=path), bold=bold)
    kept = [SERIES[side][:, INSIDE[side]] for side in "LR"]
    np.testing.assert_array_equal(made, np.hstack(kept))


def test_a_mask_of_one_hemisphere(tmp_path):
    bold = brains.save_series(tmp_path / "sub-01_hemi-R_bold.func.gii", SERIES["R"])
    mask = brains.save_keys(tmp_path / "rh.label.gii", INSIDE["R"], {1: "cortex"})
    made = brains.one(et.surface("bold", mask=mask), bold=bold)
    np.testing.assert_array_equal(made, SERIES["R"][:, INSIDE["R"]])


def test_a_pair_of_paths_is_left_and_right(tmp_path):
    bold, pair = brains.surfaces(tmp_path, SERIES), label_pair(tmp_path)
    made = brains.one(et.surface("bold", mask=(pair["L"], Path(pair["R"]))), bold=bold)
    assert made.shape == (7, sum(one.sum() for one in INSIDE.values()))


def test_the_tr_is_the_tables(tmp_path):
    from entense.plan.survey import survey

    bold = brains.surfaces(tmp_path, SERIES)
    records = brains.table(bold=[bold, bold]).with_columns(bold_tr=brains.pl.Series([0.8, None]))
    specs = survey(et.transform(records, x=SURFACE)).specs
    assert [one["x"].tr for one in specs] == [0.8, None]
    with pytest.raises(et.RecordError, match="repetition time is unknown"):
        brains.compute(records, SURFACE.bandpass(low_pass=0.1))


def test_an_unused_name_of_one_hemisphere_is_none_of_the_other(tmp_path):
    left = brains.save_keys(tmp_path / "lh.label.gii", [1, 3, 3], {1: "a", 3: "c", 6: "X"})
    right = brains.save_keys(tmp_path / "rh.label.gii", [2, 2, 0], {1: "b"})
    atlas = read_atlas(Sides(str(left), str(right)))
    assert "X" not in atlas.values
    assert len(atlas.values) == 3


def test_a_series_is_written_as_gifti_again(tmp_path):
    records = brains.table(bold=[brains.surfaces(tmp_path, SERIES)])
    archive = et.write(et.transform(records, x=SURFACE), tmp_path / "out", format="gifti")
    for side, series in SERIES.items():
        image = nib.load(tmp_path / "out" / "all" / "x" / f"ds_sub-01_hemi-{side}.func.gii")
        np.testing.assert_array_equal([one.data for one in image.darrays], series)
    np.testing.assert_array_equal(archive[0]["x"], np.hstack([SERIES["L"], SERIES["R"]]))
