"""Group masks of surfaces and grayordinates: what lies in most records' masks or series."""

from pathlib import Path

import brains
import nibabel as nib
import numpy as np
import polars as pl
import pytest

import entense as et

COUNT = {"L": 12, "R": 9}


def keep(seed):
    rng = np.random.default_rng(seed)
    return {side: rng.random(count) > 0.3 for side, count in COUNT.items()}


def pairs(folder, kind):
    """Return five records' masks, as files and as arrays."""
    arrays, files = [keep(seed) for seed in range(5)], []
    for i, one in enumerate(arrays):
        options = {"intent": kind.upper()} | ({"labels": {1: "in"}} if kind == "label" else {})
        dtype = "i4" if kind == "label" else "f4"
        files.append({
            side: str(brains.save_gifti(
                folder / f"{i}.{side}.{kind}.gii", [x.astype(dtype)], side=side, **options
            ))
            for side, x in one.items()
        })  # fmt: skip
    return files, [np.concatenate([one["L"], one["R"]]) for one in arrays]


def series(folder):
    """Return five records' series, constant or NaN outside."""
    files, arrays = [], []
    for seed in range(5):
        inside = keep(seed)
        values = {side: brains.noise(seed, 6, count) for side, count in COUNT.items()}
        for side, one in values.items():
            one[:, ~inside[side]] = 0
            if (~inside[side]).any():
                one[2:, np.flatnonzero(~inside[side])[0]] = np.nan
        files.append(brains.surfaces(folder, values, name=f"{seed}_hemi-{{}}.func.gii"))
        arrays.append(np.concatenate([inside["L"], inside["R"]]))
    return files, arrays


def dense(folder, kind):
    axis, files, arrays = brains.small_axis(), [], []
    for seed in range(5):
        inside = np.random.default_rng(seed).random(len(axis)) > 0.3
        path = folder / f"{seed}.{kind}.nii"
        if kind == "dtseries":
            brains.save_dense(path, brains.noise(seed, 6, len(axis)) * inside, axis)
        elif kind == "dlabel":
            brains.save_labels(path, inside * 3, axis, {3: "in"})
        else:
            brains.save_scalars(path, inside * 0.5, axis)
        files.append(path)
        arrays.append(inside)
    return files, arrays


KINDS = {
    "label.gii": lambda folder: pairs(folder, "label"),
    "shape.gii": lambda folder: pairs(folder, "shape"),
    "func.gii": series,
    "dscalar": lambda folder: dense(folder, "dscalar"),
    "dlabel": lambda folder: dense(folder, "dlabel"),
    "dtseries": lambda folder: dense(folder, "dtseries"),
}


@pytest.mark.parametrize("threshold", [0.2, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_where_enough_masks_are(tmp_path, kind, threshold):
    files, arrays = KINDS[kind](tmp_path)
    path = et.group_mask(
        brains.table(mask=files), "mask", threshold=threshold, to=tmp_path / "new" / "g.dscalar.nii"
    )
    expected = np.sum(arrays, axis=0) >= np.ceil(round(threshold * 5, 6))
    axis = nib.load(path).header.get_axis(1)
    whole = brains.small_axis() if kind[0] == "d" else both_surfaces()
    assert axis == whole[expected]
    assert Path(path).is_absolute()


def both_surfaces():
    axis = brains.BrainModelAxis.from_surface(np.arange(12), 12, "CortexLeft")
    return axis + brains.BrainModelAxis.from_surface(np.arange(9), 9, "CortexRight")


def test_every_record_has_its_width_and_the_archive_holds_it_once(tmp_path):
    files, arrays = series(tmp_path)
    records = brains.table(bold=files)
    path = et.group_mask(records, "bold", threshold=0.6, to=tmp_path / "g.dscalar.nii")
    width = int((np.sum(arrays, axis=0) >= 3).sum())
    start = et.surface("bold", mask=path)
    table = et.transform(records, x=start, z=start.zscore())
    archive = table.entense.write(tmp_path / "out")
    assert {archive[row][name].shape for row in range(5) for name in "xz"} == {(6, width)}
    (stored,) = (tmp_path / "out" / "masks").iterdir()
    assert nib.load(stored).header.get_axis(1) == nib.load(path).header.get_axis(1)
    lacking = [1 - one[np.sum(arrays, axis=0) >= 3].mean() for one in arrays]
    coverage = archive.records["x"].struct.field("coverage").to_list()
    np.testing.assert_allclose(coverage, 1 - np.array(lacking)[:, None], atol=5.1e-5)
    assert min(lacking) < max(lacking)


def test_a_rerun_leaves_the_file_alone_and_another_mask_replaces_it(tmp_path):
    files, _ = dense(tmp_path, "dscalar")
    records, target = brains.table(mask=files), tmp_path / "g.dscalar.nii"
    stat = [Path(et.group_mask(records, "mask", to=target)).stat() for _ in range(2)]
    assert (stat[0].st_ino, stat[0].st_mtime_ns) == (stat[1].st_ino, stat[1].st_mtime_ns)
    before = target.read_bytes()
    et.group_mask(records, "mask", threshold=0.2, to=target)
    assert target.read_bytes() != before
    target.write_bytes(b"what is this")
    et.group_mask(records, "mask", to=target)
    assert target.read_bytes() == before


def test_a_file_counts_once(tmp_path):
    files, arrays = dense(tmp_path, "dscalar")
    records = brains.table(mask=files[:2] + [files[1]] * 8)
    path = et.group_mask(records, "mask", threshold=0.5, to=tmp_path / "g.dscalar.nii")
    assert nib.load(path).shape == (1, (arrays[0] | arrays[1]).sum())


def wrong(tmp_path, name="g.dscalar.nii", threshold=0.9, **roles):
    with pytest.raises(et.TableError) as raised:
        et.group_mask(brains.table(**roles), "mask", threshold=threshold, to=tmp_path / name)
    return str(raised.value)


def test_masks_of_other_surfaces(tmp_path):
    files, _ = pairs(tmp_path, "label")
    other = {
        side: str(brains.save_keys(tmp_path / f"x.{side}.label.gii", np.ones(7), {1: "in"}))
        for side in "LR"
    }
    said = wrong(tmp_path, mask=[*files, other])
    for word in (other["L"], "cortex_left (7 of 7 vertices)", "of 12 vertices", "stage one space"):
        assert word in said


def test_masks_of_other_grayordinates(tmp_path):
    files, _ = dense(tmp_path, "dscalar")
    axis = brains.small_axis(voxels=5)
    other = brains.save_scalars(tmp_path / "x.dscalar.nii", np.ones(len(axis)), axis)
    said = wrong(tmp_path, mask=[*files, other])
    for word in (str(other), "thalamus_left (5 voxels)", "thalamus_left (6 voxels)"):
        assert word in said


def test_nothing_in_common(tmp_path):
    axis = brains.small_axis()
    files = [
        brains.save_scalars(tmp_path / f"{i}.dscalar.nii", np.arange(len(axis)) % 2 == i, axis)
        for i in range(2)
    ]
    said = wrong(tmp_path, mask=files)
    assert "no vertex lies in 90% of the 2 masks" in said
    assert "lower the threshold" in said


@pytest.mark.parametrize("name", ["g.nii.gz", "g.nii", "g.dtseries.nii", "g.gii"])
def test_the_file_must_be_called_what_it_is(tmp_path, name):
    files, _ = dense(tmp_path, "dscalar")
    said = wrong(tmp_path, name, mask=files)
    assert f"{tmp_path / name}: this mask is written as .dscalar.nii" in said


def test_a_volume_is_not_written_as_cifti(tmp_path):
    file = brains.save_volume(tmp_path / "m.nii.gz", np.ones((3, 4, 5), "u1"))
    assert "written as .nii or .nii.gz" in wrong(tmp_path, mask=[file])


def test_records_without_one(tmp_path):
    files, _ = pairs(tmp_path, "label")
    gaps = [files[0], files[1] | {"R": None}, {"L": None, "R": None}]
    table = brains.table(mask=gaps)
    with pytest.raises(et.TableError, match=r"2 of 3 records have no .mask.; .*drop_incomplete"):
        et.group_mask(table, "mask", to=tmp_path / "g.dscalar.nii")
    table = table.with_columns(mask=pl.lit(None, brains.HEMISPHERES))
    with pytest.raises(et.TableError, match="3 of 3 records"):
        et.group_mask(table, "mask", to=tmp_path / "g.dscalar.nii")


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_a_threshold_that_is_none(tmp_path, threshold):
    assert "above 0 and at most 1" in wrong(tmp_path, threshold=threshold, mask=["x"])


def test_parcels_are_no_mask(tmp_path):
    path = brains.save_parcels(tmp_path / "b.ptseries.nii", brains.noise(1, 9, 3), ["a", "b", "c"])
    with pytest.raises(et.RecordError, match="no mask or atlas") as raised:
        et.group_mask(brains.table(mask=[path]), "mask", to=tmp_path / "g.dscalar.nii")
    assert str(path) in str(raised.value)


def test_lists_of_masks_count_file_by_file(tmp_path):
    files, arrays = dense(tmp_path, "dscalar")
    names = [str(file) for file in files]
    records = pl.DataFrame({"subject": ["01", "02"], "mask": [names[:2], names[1:]]})
    path = et.group_mask(records, "mask", threshold=0.6, to=tmp_path / "g.dscalar.nii")
    assert nib.load(path).shape == (1, (np.sum(arrays, axis=0) >= 3).sum())


def test_a_column_of_something_else(tmp_path):
    table = pl.DataFrame({"mask": [1, 2]})
    with pytest.raises(et.TableError, match="'mask' holds Int64, paths are due"):
        et.group_mask(table, "mask", to=tmp_path / "g.dscalar.nii")
