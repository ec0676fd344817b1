"""Polynomials and bands: against scipy, NumPy and nilearn."""

import numpy as np
import pytest
import scipy.fft
from nilearn import signal as nilearn_signal
from numpy.polynomial import Polynomial
from scipy import signal as scipy_signal

import entense as et
from entense.ops.core import Spec
from entense.ops.filters import bandpass, detrend

BOLD = et.volume("bold", mask="mask")


def fitted(raw, order, at=None):
    """Take polynomials off, a voxel at a time."""
    at = np.arange(len(raw)) if at is None else at
    return np.column_stack([y - Polynomial.fit(at, y, order)(at) for y in raw.T])


def butterworth(run, high_pass=None, low_pass=None, order=5):
    given = [cutoff for cutoff in (high_pass, low_pass) if cutoff]
    kind = "band" if len(given) == 2 else "high" if high_pass else "low"
    sos = scipy_signal.butter(
        order, given if len(given) == 2 else given[0], kind, output="sos", fs=1 / run.tr
    )
    return scipy_signal.sosfiltfilt(sos, run.raw, axis=0)


def fourier(run, high_pass=0.0, low_pass=np.inf):
    spectrum = scipy.fft.rfft(run.raw, axis=0)
    frequency = scipy.fft.rfftfreq(run.frames, run.tr)
    spectrum[(frequency < high_pass) | (frequency > low_pass)] = 0
    return scipy.fft.irfft(spectrum, run.frames, axis=0)


def cosine(run, high_pass):
    return nilearn_signal.clean(
        run.raw,
        filter="cosine",
        high_pass=high_pass,
        t_r=run.tr,
        detrend=False,
        standardize=None,
    )


LINEAR = {
    "a line": (lambda v: v.detrend(), lambda r: scipy_signal.detrend(r.raw, axis=0)),
    "the mean": (lambda v: v.detrend(order=0), lambda r: r.raw - r.raw.mean(axis=0)),
    "a cubic": (lambda v: v.detrend(order=3), lambda r: fitted(r.raw, 3)),
    "a high order": (lambda v: v.detrend(order=12), lambda r: fitted(r.raw, 12)),
    "auto": (
        lambda v: v.detrend(order="auto"),
        lambda r: fitted(r.raw, 1 + int(r.frames * r.tr / 150)),
    ),
    "high-pass": (
        lambda v: v.bandpass(high_pass=0.03),
        lambda r: nilearn_signal.butterworth(r.raw, 1 / r.tr, high_pass=0.03, copy=True),
    ),
    "low-pass": (
        lambda v: v.bandpass(low_pass=0.2),
        lambda r: nilearn_signal.butterworth(r.raw, 1 / r.tr, low_pass=0.2, copy=True),
    ),
    "of order 2": (
        lambda v: v.bandpass(high_pass=0.03, low_pass=0.2, order=2),
        lambda r: butterworth(r, 0.03, 0.2, 2),
    ),
    "Fourier, high": (
        lambda v: v.bandpass(high_pass=0.03, method="fft"),
        lambda r: fourier(r, 0.03),
    ),
    "Fourier, low": (
        lambda v: v.bandpass(low_pass=0.1, method="fft"),
        lambda r: fourier(r, low_pass=0.1),
    ),
    "Fourier, both": (
        lambda v: v.bandpass(high_pass=0.03, low_pass=0.1, method="fft"),
        lambda r: fourier(r, 0.03, 0.1),
    ),
    "cosine": (lambda v: v.bandpass(high_pass=0.05, method="cosine"), lambda r: cosine(r, 0.05)),
}


@pytest.mark.parametrize(("chain", "oracle"), LINEAR.values(), ids=LINEAR)
def test_filters_are_their_oracles(run, chain, oracle):
    run.agrees(chain, oracle(run))


def test_a_band_of_order_5(synthetic):
    theirs = nilearn_signal.butterworth(
        synthetic.raw, 1 / synthetic.tr, high_pass=0.01, low_pass=0.2, copy=True
    )
    synthetic.agrees(lambda v: v.bandpass(high_pass=0.01, low_pass=0.2), theirs)


def of(frames, tr=2.0, kept=None):
    return Spec(("time", "voxel"), (frames, 3), "float32", tr=tr, kept=kept)


@pytest.mark.parametrize(("frames", "order"), [(74, 1), (75, 2), (149, 2), (150, 3), (600, 9)])
def test_the_order_is_afnis(frames, order):
    np.testing.assert_array_equal(
        detrend(of(frames), order="auto"), detrend(of(frames), order=order)
    )


def test_a_polynomial_is_of_time_though_frames_are_missing():
    kept = np.ones(60, bool)
    kept[:3] = kept[20:40] = kept[-2:] = False
    at = np.flatnonzero(kept)
    series = np.column_stack([at, at**2.0, np.sin(at)])
    ours = detrend(of(35, kept=kept), order=2) @ series
    np.testing.assert_allclose(ours, fitted(series, 2, at), atol=1e-9)
    assert np.abs(ours[:, :2]).max() < 1e-9


@pytest.mark.parametrize("frames", [99, 100, 250])
@pytest.mark.parametrize("tr", [0.72, 0.8, 2.0])
@pytest.mark.parametrize("high_pass", [0.008, 0.01, 0.05])
def test_there_are_as_many_cosines_as_nilearn_has(frames, tr, high_pass):
    from nilearn.glm.first_level.design_matrix import create_cosine_drift

    theirs = create_cosine_drift(high_pass, np.arange(frames) * tr)[:, :-1]
    ours = bandpass(of(frames, tr), high_pass=high_pass, method="cosine")
    np.testing.assert_allclose(ours, np.eye(frames) - theirs @ theirs.T, atol=1e-12)


def test_a_cut_off_that_is_a_frequency_of_the_run_is_kept():
    for frames, tr in ((200, 2.0), (333, 0.72), (70, 1.35)):
        cutoff = 7 / (frames * tr)
        wave = np.sin(2 * np.pi * 7 / frames * np.arange(frames))
        for band in ({"high_pass": cutoff}, {"low_pass": cutoff}):
            ours = bandpass(of(frames, tr), method="fft", **band) @ wave
            np.testing.assert_allclose(ours, wave, atol=1e-9)


def test_a_run_shorter_than_half_a_period_has_no_cosines():
    np.testing.assert_array_equal(
        bandpass(of(20, 2.0), high_pass=0.01, method="cosine"), np.eye(20)
    )


WRONG_TIME = {
    "unknown TR": ({"tr": None}, {}, "repetition time is unknown.*bold_tr"),
    "TR in milliseconds": ({"tr": 2000.0}, {}, "2000 s; give it in seconds"),
    "TR of zero": ({"tr": 0.0}, {}, "repetition time"),
    "TR that cannot be read": (
        {"tr": float("nan")},
        {},
        "cannot be read from the sidecar.*seconds",
    ),
    "above Nyquist": ({"tr": 10.0}, {}, "0.1 Hz is not below the Nyquist.*lower it"),
    "above Nyquist, Fourier": ({"tr": 10.0}, {"method": "fft"}, "not below the Nyquist.*lower it"),
    "a short run": ({"frames": 20}, {}, "20 frames.*leave short runs out"),
    "no frequency": (
        {"frames": 5, "tr": 1.0},
        {"method": "fft"},
        "5 s has no frequency between 0.01 and 0.1 Hz; widen the band",
    ),
}


@pytest.mark.parametrize(("run", "how", "says"), WRONG_TIME.values(), ids=WRONG_TIME)
def test_a_run_that_cannot_be_filtered_is_named(study, run, how, says):
    row = study.run("01", **run)
    with pytest.raises(et.RecordError, match=says) as error:
        study.compute(BOLD.bandpass(high_pass=0.01, low_pass=0.1, **how))
    assert row["bold"] in str(error.value)


def test_cosines_above_nyquist_are_an_error(study):
    study.run("01", tr=10.0)
    with pytest.raises(et.RecordError, match=r"cut-off 0\.05 Hz is not below the Nyquist"):
        study.compute(BOLD.bandpass(high_pass=0.05, method="cosine"))


@pytest.mark.parametrize(
    ("frames", "order", "says"),
    [
        (8, 8, "8 frames, of which a polynomial of order 8 leaves nothing; lower the order"),
        (1, 1, "1 frames, of which a polynomial of order 1 leaves nothing"),
    ],
)
def test_an_order_too_high_for_the_run_is_named(study, frames, order, says):
    row = study.run("01", frames=frames)
    with pytest.raises(et.RecordError, match=says) as error:
        study.compute(BOLD.detrend(order=order))
    assert row["bold"] in str(error.value)


def test_auto_needs_the_repetition_time(study):
    study.run("01", tr=None)
    with pytest.raises(et.RecordError, match="repetition time is unknown"):
        study.compute(BOLD.detrend(order="auto"))


WRONG = {
    "no cut-off": (lambda v: v.bandpass(), "needs a cut-off"),
    "no such filter": (
        lambda v: v.bandpass(high_pass=0.01, method="chebyshev"),
        "no filter 'chebyshev'; there are butterworth, fft, cosine",
    ),
    "a cosine low-pass": (
        lambda v: v.bandpass(high_pass=0.01, low_pass=0.1, method="cosine"),
        "give high_pass alone",
    ),
    "an order without Butterworth": (
        lambda v: v.bandpass(high_pass=0.01, method="fft", order=2),
        "order=2 is no order of a fft filter; leave it out",
    ),
    "no order": (lambda v: v.bandpass(high_pass=0.01, order=0), "order=0 is no order"),
    "in disorder": (lambda v: v.bandpass(high_pass=0.1, low_pass=0.01), "keep nothing"),
    "below zero": (lambda v: v.bandpass(high_pass=-0.1), "keep nothing: give Hz above 0"),
    "a negative degree": (lambda v: v.detrend(order=-1), "order=-1 is of no polynomial"),
    "another word": (lambda v: v.detrend(order="afni"), "order='afni' is of no polynomial"),
}


@pytest.mark.parametrize(("chain", "says"), WRONG.values(), ids=WRONG)
def test_what_no_run_could_do_is_an_error_where_it_is_written(chain, says):
    with pytest.raises(et.RecipeError, match=says):
        chain(BOLD)


@pytest.mark.parametrize("method", ["butterworth", "fft", "cosine"])
def test_a_filter_takes_no_frames_with_gaps(study, method):
    row = study.run("01")
    censored = BOLD.censor("confounds", fd=0.2)
    with pytest.raises(et.RecordError, match="were left out in between; interpolate") as error:
        study.compute(censored.bandpass(high_pass=0.05, method=method))
    assert row["bold"] in str(error.value)
    study.compute(BOLD.drop_dummies(count=3).bandpass(high_pass=0.05, method=method))
