"""Every row of the table of operations, on made and on real voxels, beside its oracle."""

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import nitime
import numpy as np
import polars as pl
import pytest

import entense as et
from entense.ops import Kind, ops

from .table import ELSEWHERE, TABLE, TR

CONSTANT, NAN, FEW = 3, 5, 12  # two columns by their place; how many a matrix is made of
DATA = Path(nib.__file__).parent / "tests" / "data"
FILES = {
    "nitime": Path(nitime.__file__).parent / "data" / "fmri1.nii.gz",
    "nibabel": DATA / "functional.nii",
}
FRAMES = {"made": 60, "nitime": 40, "nibabel": 20}


class Voxels(NamedTuple):
    """Records of one run: their table, the columns as nibabel reads them, and which are usual."""

    table: pl.DataFrame
    values: np.ndarray
    usual: np.ndarray


def make(root):
    """Write a run of baseline 10,000 with a constant and a NaN voxel."""
    rng = np.random.default_rng(0)
    drift = np.linspace(-2, 2, FRAMES["made"]) * rng.normal(size=(5, 6, 4, 1))
    waves = rng.normal(size=(5, 6, 4, 6)) @ rng.normal(size=(6, FRAMES["made"]))
    data = 10_000 + 50 * (waves + drift + rng.normal(size=drift.shape))
    data = data.astype("f4").reshape(-1, FRAMES["made"])
    data[CONSTANT], data[NAN, 7] = 12_345.678, np.nan
    path = root / "made.nii"
    nib.save(nib.Nifti1Image(data.reshape(5, 6, 4, -1), np.eye(4)), path)
    return path


@pytest.fixture(scope="module", params=FRAMES)
def load(request, tmp_path_factory):
    """Return how to read the voxels of a file: all that move, or a few of them."""
    root = tmp_path_factory.mktemp(request.param)
    path = FILES.get(request.param) or make(root)
    image = nib.as_closest_canonical(nib.load(path))
    data = image.get_fdata()
    moving = np.ptp(data, axis=-1) != 0  # of NaN too
    moving.flat[CONSTANT] |= request.param == "made"
    places = np.flatnonzero(moving)
    few = np.union1d(places[:: len(places) // FEW][:FEW], places[[CONSTANT, NAN]])
    assert data.shape[-1] == FRAMES[request.param]

    def read(row):
        if row.frames > data.shape[-1]:
            pytest.fail(f"{row.op} needs {row.frames} frames")
        whole = row.data in ("voxels", "gaps")
        mask = np.zeros(moving.size, "u1")
        mask[places if whole else few] = 1
        mask = mask.reshape(moving.shape)
        name = str(root / f"{whole}.nii.gz")
        nib.save(nib.Nifti1Image(mask, image.affine), name)
        table = pl.DataFrame({"bold": [str(path)], "mask": [name], "bold_tr": [TR]})
        values = data[mask > 0].T
        return Voxels(table, values, np.isfinite(values).all(axis=0) & (np.ptp(values, axis=0) > 0))

    return read


def computed(voxels, row):
    tensor = et.volume("bold", mask="mask")
    tensor = tensor.correlation() if row.data == "edges" else tensor
    table = et.transform(voxels.table, made=tensor.apply(row.op, **row.params))
    return et.to_numpy(et.collect(table)["made"])[0]


def usual(ours, row, voxels):
    """Return what became of the columns that are finite and change."""
    keep = voxels.usual if row.data != "gaps" else slice(None)
    if row.data in ("voxels", "gaps"):
        return ours[..., keep]
    if ours.ndim == 2:
        return ours[keep][:, keep]
    diagonal = row.params.get("diagonal", False)
    lower, left = np.tril_indices(len(keep), 0 if diagonal else -1)
    return ours[keep[lower] & keep[left]]


def agree(ours, due):
    assert ours.shape == due.shape
    ours, due = ours.astype("f8"), due.astype("f8")
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(due))
    ours, due = np.nan_to_num(ours), np.nan_to_num(due)
    assert np.linalg.norm(ours - due) <= 1e-4 * np.linalg.norm(due)


def standard(x):
    x = x.astype("f8")
    return (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)


CASES = [
    pytest.param(data, row, id=f"{data}-{row.op}-{'-'.join(map(str, row.params.values()))}")
    for data, frames in FRAMES.items()
    for row in TABLE
    if row.frames <= frames
]


@pytest.mark.parametrize(("load", "row"), CASES, indirect=["load"])
def test_an_op_agrees_with_its_oracle(load, row):
    voxels = load(row)
    seen = voxels.values if row.data == "gaps" else voxels.values[:, voxels.usual]
    ours, due = usual(computed(voxels, row), row, voxels), row.oracle(seen)
    agree(ours, due)
    if row.data in ("voxels", "gaps") and ours.ndim == 2:
        moving = (np.isfinite(due).all(axis=0)) & (due.astype("f8").std(axis=0) > 0)
        assert moving.any() or row.op == "missing"
        differ = np.abs(standard(ours[:, moving]) - standard(due[:, moving]))
        assert differ.max(initial=0) <= 1e-3


@pytest.mark.parametrize(
    ("load", "row"),
    [param for param in CASES if param.values[0] == "made" and param.values[1].data != "gaps"],
    indirect=["load"],
)
def test_a_column_without_change_and_one_with_a_gap_stay_by_themselves(load, row):
    voxels = load(row)
    ours = computed(voxels, row)
    still, gap = (
        (voxels.values == voxels.values[0]).all(axis=0),
        np.isnan(voxels.values).any(axis=0),
    )
    assert still.sum() == gap.sum() == 1
    if row.data == "voxels":
        assert np.isnan(ours[..., gap]).all()
        assert row.still is None or (ours[..., still] == row.still).all()
    else:
        there = int(voxels.usual.sum())
        assert np.isfinite(ours).sum() == usual(ours, row, voxels).size >= there * (there - 1) // 2


def test_every_op_is_in_the_table_or_held_to_its_oracle_elsewhere():
    own = {n for n in ops if ops[n].function.__module__.startswith("entense.")}
    opened = {name for name in own if ops[name].kind in (Kind.SOURCE, Kind.TABLE)}
    tabled = {row.op for row in TABLE}
    assert not tabled & set(ELSEWHERE)
    assert own - opened == tabled | set(ELSEWHERE)
