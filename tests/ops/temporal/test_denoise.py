"""Denoising: against nilearn, and with censoring against nilearn's parts."""

from functools import partial

import numpy as np
import pytest
import scipy.fft
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


def named(model):
    return MODELS["list"] if model == "list" else model


def standard(x):
    return (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)


def columns(run, model):
    return run.columns(*dict.fromkeys(MODELS[model]))


@pytest.mark.parametrize("detrend", [True, False], ids=["detrend", "as it is"])
@pytest.mark.parametrize("cutoffs", CUTOFFS.values(), ids=CUTOFFS)
@pytest.mark.parametrize("model", MODELS)
def test_without_censoring_it_is_nilearns_clean(synthetic, model, cutoffs, detrend):
    theirs = nilearn_signal.clean(
        synthetic.raw,
        confounds=columns(synthetic, model),
        t_r=synthetic.tr,
        detrend=detrend,
        standardize=None,
        **cutoffs,
    )

    def chain(v):
        return v.denoise("confounds", named(model), detrend=detrend, **cutoffs)

    synthetic.agrees(chain, theirs)


def test_clean_and_standardised(synthetic):
    theirs = nilearn_signal.clean(
        synthetic.raw,
        confounds=columns(synthetic, "36P"),
        t_r=synthetic.tr,
        high_pass=0.01,
        low_pass=0.1,
        standardize="zscore_sample",
    )
    synthetic.agrees(
        lambda v: v.denoise("confounds", "36P", high_pass=0.01, low_pass=0.1).zscore(), theirs
    )


STEPS = ["trans_x_derivative1", "rot_z_derivative1", "a_comp_cor_01"]  # that follow no cosine


@pytest.mark.parametrize("censored", [False, True], ids=["all frames", "censored"])
@pytest.mark.parametrize("detrend", [True, False], ids=["detrend", "as it is"])
@pytest.mark.parametrize("how", [{"filter": "cosine", "high_pass": 0.03}, {}], ids=["cosine", "no"])
def test_what_censors_first_is_nilearns_clean(run, how, detrend, censored):
    good = run.good() if censored else np.ones(run.frames, bool)
    theirs = nilearn_signal.clean(
        run.raw,
        confounds=run.columns(*STEPS),
        t_r=run.tr,
        detrend=detrend,
        standardize=None,
        sample_mask=np.flatnonzero(good),
        filter=how.get("filter", False),
        high_pass=how.get("high_pass"),
    )
    fd = run.fd if censored else None
    run.agrees(lambda v: v.denoise("confounds", STEPS, detrend=detrend, fd=fd, **how), theirs)


def fourier(x, tr, high_pass=None, low_pass=None):
    frequency = scipy.fft.rfftfreq(len(x), tr)
    gone = (frequency < (high_pass or 0)) | (frequency > (low_pass or np.inf))
    spectrum = scipy.fft.rfft(x, axis=0)
    spectrum[gone] = 0
    return scipy.fft.irfft(spectrum, len(x), axis=0)


def butterworth(x, tr, **cutoffs):
    return nilearn_signal.butterworth(x, 1 / tr, copy=True, **cutoffs)


def filled(x, good, tr, fill):
    """Interpolate censored frames between the first good frame and the last."""
    if fill == "spline":
        made = nilearn_signal._interpolate_volumes(x.copy(), good, tr, extrapolate=False)
    else:
        at = np.arange(len(x))
        made = np.column_stack([np.interp(at, at[good], y[good]) for y in x.T])
    first, last = np.flatnonzero(good)[[0, -1]]
    return made[first : last + 1]


FILTERS = {"butterworth": butterworth, "fft": fourier}


def cleaned(run, good, *, model="6P", filter="butterworth", fill="spline", detrend=True, **cutoffs):
    """Put nilearn's steps together: fill, detrend, filter, censor, standardise, regress."""
    first, last = np.flatnonzero(good)[[0, -1]]

    def until_censored(x):
        x = filled(x, good, run.tr, fill)
        x = scipy_signal.detrend(x, axis=0) if detrend else x
        return FILTERS[filter](x, run.tr, **cutoffs)[good[first : last + 1]]

    signals, confounds = map(until_censored, (run.raw, columns(run, model)))
    confounds = standard(confounds)
    return signals - confounds @ np.linalg.lstsq(confounds, signals, rcond=1e-12)[0]


CENSORED = {
    "high-pass": {"high_pass": 0.03},
    "low-pass": {"low_pass": 0.2},
    "as it is": {"high_pass": 0.03, "detrend": False},
    "linear": {"high_pass": 0.03, "fill": "linear"},
    "Fourier": {"high_pass": 0.02, "low_pass": 0.2, "filter": "fft"},
    "9P": {"high_pass": 0.03, "model": "9P"},
}


@pytest.mark.parametrize("how", CENSORED.values(), ids=CENSORED)
def test_with_censoring_it_is_nilearns_steps(run, how):
    theirs = cleaned(run, run.good(), **how)
    run.agrees(lambda v: v.denoise("confounds", fd=run.fd, **{"model": "6P"} | how), theirs)


def test_many_confounds_a_band_and_censoring(synthetic):
    how = {"model": "24P", "high_pass": 0.01, "low_pass": 0.2}
    theirs = cleaned(synthetic, synthetic.good(after=1), **how)
    synthetic.agrees(lambda v: v.denoise("confounds", fd=synthetic.fd, after=1, **how), theirs)


def test_frames_censored_at_the_ends_are_not_filtered(synthetic, tmp_path):
    good = synthetic.good()
    good[:4] = good[-3:] = False
    table = synthetic.table.assign(framewise_displacement=np.where(good, 0.1, 9.0))
    path = str(tmp_path / "ends.tsv")
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    theirs = cleaned(synthetic, good, high_pass=0.01)
    synthetic.agrees(lambda v: v.denoise(path, "6P", high_pass=0.01, fd=1.0), theirs)


@pytest.mark.parametrize("how", [{"high_pass": 0.03}, {"high_pass": 0.03, "filter": "cosine"}, {}])
def test_what_was_censored_before_is_censored_here(run, how):
    """`censor` and then `denoise` is `denoise` that censors: the gaps are known."""
    before = run.compute(
        lambda v: v.censor("confounds", fd=run.fd).denoise("confounds", "6P", **how)
    )
    run.agrees(
        lambda v: v.denoise("confounds", "6P", fd=run.fd, **how),
        np.nan_to_num(before).astype("f8"),
    )


def test_interpolated_cleaned_and_censored(run):
    """As XCP-D has it: fill the gaps, clean all frames, and leave the bad ones out at the end."""
    good, at = run.good(), np.arange(run.frames)
    both = [run.raw, columns(run, "6P")]
    both[0] = np.column_stack([np.interp(at, at[good], y[good]) for y in both[0].T])
    signals, confounds = (
        butterworth(scipy_signal.detrend(x, axis=0), run.tr, high_pass=0.03) for x in both
    )
    confounds = standard(confounds)
    left = signals - confounds @ np.linalg.lstsq(confounds, signals, rcond=1e-12)[0]

    def chain(v):
        filled = v.interpolate("confounds", fd=run.fd)
        cleaned = filled.denoise("confounds", "6P", high_pass=0.03)
        return cleaned.censor("confounds", fd=run.fd)

    run.agrees(chain, left[good])


def denoised(v, table, **how):
    return v.denoise(table, "6P", **how)


def test_censored_frames_weigh_nothing(synthetic, tmp_path):
    """Whatever happened in them, in the series and in the table."""
    good, rng = synthetic.good(), np.random.default_rng(1)
    spoilt = synthetic.table.copy()
    spoilt.loc[~good, MOTION] = rng.normal(size=((~good).sum(), 6)) * 100
    path = str(tmp_path / "spoilt.tsv")
    spoilt.to_csv(path, sep="\t", index=False, na_rep="n/a")
    for how in ({"high_pass": 0.01}, {}):
        ours = synthetic.compute(partial(denoised, table=path, fd=synthetic.fd, **how))
        theirs = synthetic.compute(partial(denoised, table="confounds", fd=synthetic.fd, **how))
        np.testing.assert_array_equal(ours, theirs)


STRATEGIES = {
    "as it says": ("scrubbing", {}, {"fd": 0.5, "dvars": 1.5, "dummies": 3}),
    "another limit": ("scrubbing", {"fd": 0.4}, {"fd": 0.4, "dvars": 1.5, "dummies": 3}),
    "stretches of any length": (
        "scrubbing",
        {"contiguous": 0},
        {"fd": 0.5, "dvars": 1.5, "dummies": 3, "shortest": 0},
    ),
    "dummies and all": (
        "scrubbing",
        {"dummies": False},
        {"fd": 0.5, "dvars": 1.5, "dummies": 0},
    ),
}


def scrubbed(run, fd, dvars, dummies, shortest=5):
    """Say which frames nilearn's scrubbing keeps, a stretch at a time."""
    table = run.table
    bad = [
        f > fd or d > dvars  # NaN is not
        for f, d in zip(table["framewise_displacement"], table["std_dvars"], strict=True)
    ]
    stretch, left = [], []
    for t, moved in enumerate([*bad, True]):
        if not moved:
            stretch.append(t)
        else:
            left += stretch if len(stretch) >= shortest else []
            stretch = []
    return [t for t in left if t >= dummies]


@pytest.mark.parametrize(("model", "given", "due"), STRATEGIES.values(), ids=STRATEGIES)
def test_what_is_said_comes_before_what_a_strategy_says(synthetic, model, given, due):
    kept = scrubbed(synthetic, **due)
    assert 30 < len(kept) < 87
    names = [*MODELS["24P"], *(w + o for w in ("csf", "white_matter") for o in EXPANDED)]
    theirs = nilearn_signal.clean(
        synthetic.raw,
        confounds=synthetic.columns(*names),
        sample_mask=np.array(kept),
        filter=False,
        standardize=None,
    )
    synthetic.agrees(lambda v: v.denoise("confounds", model, **given), theirs)


def test_regressors_that_repeat_each_other_are_one(synthetic, tmp_path):
    twice = synthetic.table.bfill(limit=1)
    twice = twice.assign(again=2 * twice["csf"], flat=7.3)
    path = str(tmp_path / "twice.tsv")
    twice.to_csv(path, sep="\t", index=False)
    one = synthetic.compute(lambda v: v.denoise("confounds", ["csf"]))
    two = synthetic.compute(lambda v: v.denoise(path, ["csf", "again", "flat"]))
    np.testing.assert_allclose(two, one, atol=1e-3)


def test_no_confounds_at_all(synthetic):
    theirs = butterworth(scipy_signal.detrend(synthetic.raw, axis=0), synthetic.tr, high_pass=0.01)
    synthetic.agrees(lambda v: v.denoise("confounds", "none", high_pass=0.01), theirs)
