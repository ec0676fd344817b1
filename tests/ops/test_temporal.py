"""Filters in time against scipy and nilearn."""

import nibabel as nib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from nilearn import signal as nilearn_signal
from scipy import signal as scipy_signal

import entense as et

BOLD = et.volume("bold", mask="mask")
MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
ALL = [*MOTION, "csf", "white_matter", "global_signal"]
EXPANDED = ("", "_derivative1", "_power2", "_derivative1_power2")
MODELS = {
    "6P": MOTION,
    "9P": ALL,
    "24P": [name + order for name in MOTION for order in EXPANDED],
    "36P": [name + order for name in ALL for order in EXPANDED],
    "list": ["a_comp_cor_01", "framewise_displacement", "csf", "a_comp_cor_01"],
}
CUTOFFS = {
    "both": {"high_pass": 0.01, "low_pass": 0.2},
    "high": {"high_pass": 0.01},
    "low": {"low_pass": 0.2},
    "none": {},
}
FRAMES, TR = 90, 1.7
EVERY = np.ones(FRAMES, bool)
CONSTANT, NAN = 7, 11  # two voxels, by their place on the voxel axis


@pytest.fixture(scope="module")
def made(tmp_path_factory, new_study):
    """One run with a constant and a NaN voxel, and its voxels as nibabel reads them."""
    study = new_study(tmp_path_factory.mktemp("temporal"))
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(*study.shape, FRAMES)) + np.linspace(-2, 2, FRAMES)
    data = (10_000 + 100 * noise).astype("f4")
    where = np.argwhere(study.inside)
    data[tuple(where[CONSTANT])] = 12_345.678
    data[(*where[NAN], 3)] = np.nan
    row = study.run("01", data=data, tr=TR)
    return study, nib.load(row["bold"]).get_fdata()[study.inside].T


def regressors(study, names):
    """Read the columns as nilearn does: a gap in the first row takes the second's value."""
    table = pd.read_csv(study.rows[0]["confounds"], sep="\t", na_values="n/a")
    return table[list(dict.fromkeys(names))].bfill(limit=1).to_numpy()


def standard(x):
    return (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)


def agrees(ours, theirs, *, still=0.0):
    """Assert closeness, voxels that are special apart: one is `still`, one is NaN."""
    assert ours.dtype == np.float32
    assert np.isnan(ours[:, NAN]).all()
    if still is not None:
        np.testing.assert_array_equal(ours[:, CONSTANT], np.float32(still))
    good = np.delete(np.arange(ours.shape[1]), [CONSTANT, NAN])
    a, b = ours[:, good].astype("f8"), theirs[:, good]
    assert np.linalg.norm(a - b) / np.linalg.norm(b) <= 1e-4
    assert np.abs(standard(a) - standard(b)).max() <= 1e-3


def test_detrend(made):
    study, raw = made
    finite = np.nan_to_num(raw)
    agrees(study.compute(BOLD.detrend())[0], scipy_signal.detrend(finite, axis=0))


@pytest.mark.parametrize("cutoffs", [c for c in CUTOFFS.values() if c])
def test_bandpass(made, cutoffs):
    study, raw = made
    finite = np.nan_to_num(raw)
    theirs = nilearn_signal.butterworth(finite, 1 / TR, **cutoffs)
    still = 0 if "high_pass" in cutoffs else 12_345.678
    ours = study.compute(BOLD.bandpass(**cutoffs))[0]
    agrees(ours, theirs, still=None)
    np.testing.assert_allclose(ours[:, CONSTANT], still, rtol=1e-6, atol=0)


@pytest.mark.parametrize("detrend", [True, False], ids=["detrend", "as it is"])
@pytest.mark.parametrize("cutoffs", CUTOFFS.values(), ids=CUTOFFS)
@pytest.mark.parametrize("model", MODELS)
def test_denoise(made, model, cutoffs, detrend):
    study, raw = made
    theirs = nilearn_signal.clean(
        np.nan_to_num(raw),
        confounds=regressors(study, MODELS[model]),
        t_r=TR,
        detrend=detrend,
        standardize=None,
        **cutoffs,
    )
    named = MODELS["list"] if model == "list" else model
    ours = study.compute(BOLD.denoise("confounds", named, detrend=detrend, **cutoffs))[0]
    drifts = not detrend and "high_pass" not in cutoffs  # then a constant is no zero
    agrees(ours, theirs, still=None if drifts else 0)


def test_clean_and_standardised(made):
    study, raw = made
    theirs = nilearn_signal.clean(
        np.nan_to_num(raw),
        confounds=regressors(study, MODELS["36P"]),
        t_r=TR,
        high_pass=0.01,
        low_pass=0.1,
        standardize="zscore_sample",
    )
    chain = BOLD.denoise("confounds", "36P", high_pass=0.01, low_pass=0.1).zscore()
    agrees(study.compute(chain)[0], theirs)


def test_zscore(made):
    study, raw = made
    with np.errstate(invalid="ignore"):
        agrees(study.compute(BOLD.zscore())[0], standard(raw))


@pytest.mark.parametrize(("model", "count"), [("6P", 6), ("9P", 9), ("24P", 24), ("36P", 36)])
def test_a_model_has_its_number_of_columns(made, model, count):
    from entense.ops.confounds import design, formula_of
    from entense.ops.confounds import regressors as ours
    from entense.ops.load import regressors as table

    study, _ = made
    confounds = table(study.rows[0]["confounds"])
    named = design(confounds, formula_of(model))
    assert sorted(named) == sorted(MODELS[model])
    assert ours(confounds, model, EVERY).shape == (FRAMES, count)
    theirs = regressors(study, MODELS[model])
    np.testing.assert_array_equal(np.column_stack([named[n] for n in MODELS[model]]), theirs)


def test_a_gap_in_the_first_row_takes_the_next_value(made):
    from entense.ops.confounds import regressors as ours
    from entense.ops.load import regressors as table

    study, _ = made
    (fd,) = ours(table(study.rows[0]["confounds"]), ["framewise_displacement"], EVERY).T
    assert fd[0] == fd[1] > 0


def test_regressors_that_repeat_each_other_are_one(made, tmp_path):
    study, _ = made
    twice = pd.read_csv(study.rows[0]["confounds"], sep="\t", na_values="n/a").bfill(limit=1)
    twice["again"], twice["flat"] = 2 * twice["csf"], 7.3
    twice.to_csv(tmp_path / "twice.tsv", sep="\t", index=False)
    path = str(tmp_path / "twice.tsv")
    one = study.compute(BOLD.denoise("confounds", ["csf"]))[0]
    two = study.compute(BOLD.denoise(path, ["csf", "again", "flat"]))[0]
    np.testing.assert_allclose(two, one, atol=1e-3)


WRONG_TIME = {
    "unknown TR": ({"tr": None}, "repetition time is unknown.*bold_tr"),
    "TR in milliseconds": ({"tr": 2000.0}, "2000 s; give it in seconds"),
    "TR of zero": ({"tr": 0.0}, "repetition time"),
    "TR that cannot be read": ({"tr": float("nan")}, "cannot be read from the sidecar.*seconds"),
    "above Nyquist": ({"tr": 10.0}, "0.1 Hz is not below the Nyquist.*lower it"),
    "a short run": ({"frames": 20}, "20 frames.*leave short runs out"),
}


@pytest.mark.parametrize(("run", "says"), WRONG_TIME.values(), ids=WRONG_TIME)
def test_a_run_that_cannot_be_filtered_is_named(study, run, says):
    row = study.run("01", **run)
    with pytest.raises(et.RecordError, match=says) as error:
        study.compute(BOLD.bandpass(high_pass=0.01, low_pass=0.1))
    assert row["bold"] in str(error.value)


def shorten(table):
    return table.iloc[:-1]


def with_text(table):
    return table.assign(csf="high")


def with_gap(table):
    return table.assign(csf=table["csf"].where(table.index != 4))


def with_infinity(table):
    return table.assign(csf=table["csf"].where(table.index != 4, np.inf))


WRONG_TABLE = {
    "another length": (shorten, "6P", "39 rows, the run has 40 frames"),
    "no such column": (lambda t: t.drop(columns="rot_z"), "6P", "no column 'rot_z'; did you mean"),
    "misspelt column": (lambda t: t, ["trans_X"], "no column 'trans_X'; did you mean 'trans_"),
    "text": (with_text, ["csf"], "'csf' holds text, numbers are due"),
    "a gap": (with_gap, ["csf"], "'csf' has no finite number in row 5"),
    "infinity": (with_infinity, ["csf"], "'csf' has no finite number in row 5"),
    "no frames left": (lambda t: t.iloc[:30], "36P", "36 regressors leave nothing of 30 frames"),
}


@pytest.mark.parametrize(("change", "model", "says"), WRONG_TABLE.values(), ids=WRONG_TABLE)
def test_a_table_that_does_not_fit_is_named(study, change, model, says):
    frames = 30 if "leave nothing" in says else 40
    path = study.run("01", frames=frames)["confounds"]
    table = pd.read_csv(path, sep="\t", na_values="n/a")
    change(table).to_csv(path, sep="\t", index=False, na_rep="n/a")
    with pytest.raises(et.RecordError, match=says) as error:
        study.compute(BOLD.denoise("confounds", model))
    assert path in str(error.value)


def test_derivatives_and_squares_are_made_where_a_table_lacks_them(made, tmp_path):
    from entense.ops.confounds import regressors as ours
    from entense.ops.load import regressors as table

    study, _ = made
    whole = pl.read_csv(study.rows[0]["confounds"], separator="\t", null_values="n/a")
    bare = whole.select(c for c in whole.columns if "_derivative1" not in c and "_power2" not in c)
    bare.write_csv(tmp_path / "bare.tsv", separator="\t", null_value="n/a")
    due = ours(table(study.rows[0]["confounds"]), "36P", EVERY)
    np.testing.assert_allclose(
        ours(table(str(tmp_path / "bare.tsv")), "36P", EVERY), due, rtol=1e-9, atol=1e-9
    )
    with pytest.raises(et.RecordError, match="no column 'nothing_power2'"):
        ours(table(str(tmp_path / "bare.tsv")), ["nothing_power2"], EVERY)
