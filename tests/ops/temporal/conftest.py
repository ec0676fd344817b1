"""Runs that every op in time is held to: one that is made, two that were measured."""

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import nilearn
import nitime
import numpy as np
import pandas as pd
import pytest

import entense as et

TABLES = Path(nilearn.__file__).parent / "interfaces" / "fmriprep" / "data"
BOLD = et.volume("bold", mask="mask")


@dataclass
class Run:
    """A study of one run, its voxels as nibabel reads them, and its table as pandas does.

    Parameters
    ----------
    raw
        (time, voxel) float64; 0 where a voxel is NaN.
    fd
        A limit that censors some frames.
    constant, nan
        Two voxels, by their place on the voxel axis; None where there are none.
    """

    study: object
    raw: np.ndarray
    table: pd.DataFrame
    tr: float
    fd: float
    constant: int | None = None
    nan: int | None = None

    @property
    def frames(self):
        return len(self.raw)

    def columns(self, *names):
        """Return columns of the table as nilearn reads them: a first gap takes the next value."""
        return self.table[list(names)].bfill(limit=1).to_numpy("f8")

    def good(self, fd=None, before=0, after=0):
        """Say, a frame at a time, which frames are not censored."""
        fd = self.fd if fd is None else fd
        moved = self.table["framewise_displacement"].to_numpy()
        bad = {
            t + i for t in range(self.frames) if moved[t] > fd for i in range(-before, after + 1)
        }
        return np.array([t not in bad for t in range(self.frames)])

    def compute(self, chain):
        (made,) = self.study.compute(chain(BOLD))
        return made

    def agrees(self, chain, theirs, *, steady=True):
        """Assert that a chain gives what an oracle does, and of a constant voxel a constant."""
        ours = self.compute(chain)
        assert ours.dtype == np.float32
        assert ours.shape == theirs.shape
        good = np.ones(ours.shape[1], bool)
        if self.nan is not None:
            assert np.isnan(ours[:, self.nan]).all()
            good[self.nan] = False
        if self.constant is not None and steady:
            # what is next to 12345.678 is another constant; next to 0 there is nothing
            assert np.ptp(ours[:, self.constant]) <= np.spacing(np.abs(ours[0, self.constant]))
            due = np.median(theirs[:, self.constant])  # float64 leaves noise of a constant
            np.testing.assert_allclose(ours[0, self.constant], due, rtol=1e-6, atol=1e-3)
            good[self.constant] = False
        good &= theirs.std(axis=0) > 1e-6  # the measured ones have some that never change
        assert good.mean() > 0.9
        ours, theirs = ours[:, good].astype("f8"), theirs[:, good]
        assert np.linalg.norm(ours - theirs) <= 1e-4 * np.linalg.norm(theirs)
        assert np.abs(standard(ours) - standard(theirs)).max() <= 1e-3


def standard(x):
    return (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)


def made(study):
    """Make 90 frames about 10,000, a constant voxel and one with a NaN, and a table with it all."""
    frames, tr, constant, nan = 90, 1.7, 7, 11
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(*study.shape, frames)) + np.linspace(-2, 2, frames)
    data = (10_000 + 100 * noise).astype("f4")
    where = np.argwhere(study.inside)
    data[tuple(where[constant])] = 12_345.678
    data[(*where[nan], 3)] = np.nan
    row = study.run("01", data=data, tr=tr)
    raw = np.nan_to_num(nib.load(row["bold"]).get_fdata()[study.inside].T)
    table = pd.read_csv(row["confounds"], sep="\t", na_values="n/a")
    table["std_dvars"] = [None, *rng.gamma(4, 0.25, frames - 1)]
    table["weight"] = rng.random(frames).round(1)
    for i in range(3):
        table[f"non_steady_state_outlier{i:02}"] = (np.arange(frames) == i).astype(int)
    table.to_csv(row["confounds"], sep="\t", index=False, na_rep="n/a")
    return Run(study, raw, table, tr, fd=0.3, constant=constant, nan=nan)


def measured(study, number, source, fd):
    """Take 30 frames of nitime's BOLD, and a table that nilearn has of fMRIPrep."""
    whole = nib.load(Path(nitime.__file__).parent / "data" / f"fmri{number}.nii.gz")
    image = nib.as_closest_canonical(whole.slicer[..., :30])
    data = np.asarray(image.dataobj)
    study.shape = data.shape[:3]
    row = study.run("01", data=data, tr=1.35)
    table = pd.read_csv(TABLES / f"{source}.tsv", sep="\t", na_values="n/a")
    weight = pd.Series(np.random.default_rng(number).random(30).round(1), name="weight")
    table = pd.concat([table, weight], axis=1)
    table.to_csv(row["confounds"], sep="\t", index=False, na_rep="n/a")
    about = json.loads((TABLES / f"{source}.json").read_text())
    Path(row["confounds"]).with_suffix(".json").write_text(json.dumps(about))
    return Run(study, data[study.inside].T.astype("f8"), table, 1.35, fd)


MEASURED = {
    "fmri1": (1, "test_desc-confounds_regressors", 0.14),
    "fmri2": (2, "test-v21_desc-confounds_timeseries", 3.0),
}


@pytest.fixture(scope="session", params=["made", *MEASURED])
def run(request, tmp_path_factory, new_study):
    study = new_study(tmp_path_factory.mktemp(request.param))
    if request.param == "made":
        return made(study)
    return measured(study, *MEASURED[request.param])


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory, new_study):
    return made(new_study(tmp_path_factory.mktemp("synthetic")))
