"""From files of events to an archive of trials: fMRIPrep's with BIDS events, and HCP's with EVs."""

import nibabel as nib
import numpy as np
import polars as pl
import pytest

import entense as et
from entense.demo import make_dataset
from entense.records import presets

ONSETS = {"01": [3.0, 10.5, 21.0, 30.0, 70.0], "02": [0.0, 5.2, 41.9]}
TR, FRAMES, SECONDS, COUNT = 2.0, 40, 12, 6


def standardised(row):
    """Return (time, voxel) z-scores in float64."""
    image = nib.as_closest_canonical(nib.load(row["bold"])).get_fdata()
    inside = nib.as_closest_canonical(nib.load(row["mask"])).get_fdata() > 0
    series = image[inside].T
    return (series - series.mean(axis=0)) / series.std(axis=0, ddof=1)


def hold(archive, trials, tr, count):
    """Assert that every record of an archive is the window that NumPy cuts."""
    for row in trials.iter_rows(named=True):
        begin = int((row["onset"] + 4) / tr + 0.5)
        due = standardised(row)[begin : begin + count]
        ours = archive[f"{row['name']}_trial-{row['trial']:04}"]["x"]
        assert ours.shape == due.shape
        np.testing.assert_allclose(ours, due, rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("trials")
    shape = (10, 12, 10)
    make_dataset(root / "ds", subjects=2, sessions=1, runs=1, frames=FRAMES, shape=shape)
    for subject, onsets in ONSETS.items():
        lines = ["onset\tduration\ttrial_type", *(f"{t}\t1.5\tface" for t in reversed(onsets))]
        path = root / "raw" / f"sub-{subject}" / "ses-1" / "func"
        path.mkdir(parents=True)
        (path / f"sub-{subject}_ses-1_task-rest_run-1_events.tsv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def trials(root):
    roles = {**presets.fmriprep(), "events": {"suffix": "events"}}
    records = et.scan([root / "ds", root / "raw"], dataset="ds").entense.stage(**roles)
    trials = records.entense.events("events")
    window = et.volume("bold", mask="mask").zscore().window(pl.col("onset") + 4, seconds=SECONDS)
    return trials.entense.transform(x=window)


def test_bids(root, trials, tmp_path):
    archive = trials.entense.write(tmp_path / "out", columns=["trial_type"], on_error="skip")
    table = trials.collect().with_columns(
        name=pl.format("ds_sub-{}_ses-1_task-rest_run-1_space-MNI152NLin2009cAsym_res-2", "subject")
    )
    assert table.select("subject", "onset").rows() == [
        (subject, onset) for subject, onsets in ONSETS.items() for onset in onsets
    ]
    hold(et.open(tmp_path / "out"), table.filter(pl.col("onset") < 60), TR, COUNT)
    # the last trial of the first subject ends after its run
    last = archive.records.filter(pl.col("error").is_not_null())
    assert last.select("subject", "trial").rows() == [("01", 4)]
    assert "the window from 74 s, 12 s long, is not whole in the run of 80 s" in last["error"][0]
    assert "filter such trials out" in last["error"][0]
    assert len(archive.rows(None)) == 7
    archive.verify()


def test_one_bad_trial_is_said(trials, tmp_path):
    with pytest.raises(et.ArchiveError) as error:
        trials.entense.write(tmp_path / "out")
    (name,) = error.value.failures
    assert name.endswith("_trial-0004")
    filtered = trials.filter(pl.col("onset") < 60)
    assert len(filtered.entense.write(tmp_path / "out", overwrite=True).rows(None)) == 7


def test_trials_gathered_by_type(trials, tmp_path):
    """Trials into lists again: a record a run, its trials side by side."""
    runs = trials.drop("x").filter(pl.col("onset") < 60).entense.pivot(["subject", "trial_type"])
    window = et.volume("bold", mask="mask").zscore().window("onset", seconds=SECONDS)
    table = runs.entense.transform(x=window.stack(), average=window.mean()).collect()
    df = table.entense.collect()
    for row, x, average in zip(
        table.iter_rows(named=True), et.to_numpy(df["x"]), et.to_numpy(df["average"]), strict=True
    ):
        series = standardised({"bold": row["bold"][0], "mask": row["mask"][0]})
        begins = [int(onset / TR + 0.5) for onset in row["onset"]]
        due = np.stack([series[begin : begin + COUNT] for begin in begins])
        np.testing.assert_allclose(x, due, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(average, due.mean(axis=0), rtol=1e-3, atol=1e-3)


def image(path, data, tr=None):
    made = nib.Nifti1Image(data, np.diag([-2.0, 2, 2, 1]))  # LAS, as HCP stores it
    made.header.set_xyzt_units("mm", "sec")
    made.header["pixdim"][4] = tr or 0
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(made, path)


def test_hcp(tmp_path):
    rng, tr = np.random.default_rng(0), 0.72
    evs = {"0bk_body": [8.0, 20.33], "2bk_faces": [14.5], "Sync": None}
    for subject in ("100307", "100408"):
        folder = tmp_path / "hcp" / subject / "MNINonLinear" / "Results" / "tfMRI_WM_LR"
        image(folder / "tfMRI_WM_LR.nii.gz", rng.normal(9000, 90, (5, 6, 4, 60)).astype("f4"), tr)
        inside = np.ones((5, 6, 4), "u1")
        inside[:, 0] = 0
        image(folder / "brainmask_fs.2.nii.gz", inside)
        (folder / "Movement_Regressors.txt").write_text("\n".join(["0 " * 12] * 60))
        (folder / "EVs").mkdir()
        for name, onsets in evs.items():
            lines = ["8.26"] if onsets is None else [f"{t} 2.5 1" for t in onsets]
            (folder / "EVs" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    records = et.scan(tmp_path / "hcp", layout="hcp").entense.stage(**presets.hcp())
    trials = records.entense.drop_incomplete("events").entense.events("events")
    window = et.volume("bold", mask="mask").zscore().window(pl.col("onset") + 4, seconds=9)
    table = trials.entense.transform(x=window)
    archive = table.entense.write(tmp_path / "out", format="tfrecord", columns=["trial_type"])
    kinds = archive.records.select("subject", "trial", "trial_type").rows()
    assert kinds == [
        (subject, trial, kind)
        for subject in ("100307", "100408")
        for trial, kind in enumerate(("0bk_body", "2bk_faces", "0bk_body"))
    ]
    name = pl.format("hcp_sub-{}_task-wm_dir-LR_space-MNI152NLin6Asym_res-2", "subject")
    hold(archive, table.collect().with_columns(name=name), tr, int(9 / tr + 0.5))
    assert archive.records["error"].null_count() == 6
