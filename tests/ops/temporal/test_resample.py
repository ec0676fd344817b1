"""Another repetition time: against NumPy's and SciPy's interpolation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

import entense as et
from entense.ops.core import Spec
from entense.ops.resample_tr import resample_tr
from entense.plan.survey import survey

BOLD = et.volume("bold", mask="mask")
METHODS = {
    "linear": lambda old, new, y: np.column_stack([np.interp(new, old, one) for one in y.T]),
    "spline": lambda old, new, y: CubicSpline(old, y)(new),
}


@pytest.mark.parametrize("tr", [0.5, 2.2])
@pytest.mark.parametrize("method", METHODS)
def test_it_is_interpolation(run, method, tr):
    old = np.arange(run.frames) * run.tr
    new = np.arange(0, old[-1], tr)
    run.agrees(lambda v: v.resample_tr(tr=tr, method=method), METHODS[method](old, new, run.raw))


@pytest.mark.parametrize("method", METHODS)
def test_frames_that_were_left_out_are_gone_over(run, method):
    good = run.good()
    at = np.flatnonzero(good)
    old = (at - at[0]) * run.tr
    new = np.arange(0, old[-1], 0.9)
    run.agrees(
        lambda v: v.censor("confounds", fd=run.fd).resample_tr(tr=0.9, method=method),
        METHODS[method](old, new, run.raw[good]),
    )


@given(st.integers(2, 60), st.sampled_from([0.72, 0.8, 1.35, 2.0]), st.integers(1, 10))
def test_a_multiple_takes_every_so_many_frames(frames, tr, times):
    """However 0.72 divides: 0.72 * 3 is the third frame."""
    x = Spec(("time", "voxel"), (frames, 1), "float32", tr=tr)
    series = np.random.default_rng(0).normal(size=(frames, 1))
    ours = resample_tr(x, tr=tr * times) @ series
    np.testing.assert_allclose(ours, series[::times], atol=1e-9)


def test_the_shape_is_known_before_anything_runs(synthetic):
    table = synthetic.study.records.entense.transform(x=BOLD.resample_tr(tr=1.0))
    spec = survey(table).specs[0]["x"]
    assert spec.shape == (int(89 * 1.7) + 1, synthetic.raw.shape[1])
    assert spec.tr == 1.0


def test_filters_know_the_new_repetition_time(synthetic):
    short = synthetic.compute(lambda v: v.resample_tr(tr=0.85).bandpass(low_pass=0.4))
    assert short.shape[0] == 179
    with pytest.raises(et.RecordError, match=r"Nyquist frequency, 0\.147059 Hz"):
        synthetic.compute(lambda v: v.resample_tr(tr=3.4).bandpass(low_pass=0.2))


def test_a_table_comes_before(synthetic):
    with pytest.raises(et.RecipeError, match=r"no longer those of one run.* before .*resample_tr"):
        synthetic.compute(lambda v: v.resample_tr(tr=1.0).denoise("confounds", "6P"))


@pytest.mark.parametrize(
    ("run", "tr", "says"),
    [
        ({"tr": None}, 1.0, "repetition time is unknown"),
        ({"tr": 2000.0}, 1.0, "2000 s; give it in seconds"),
        (
            {"frames": 1},
            1.0,
            "run of 1 frames, 2 s each, is too short for a repetition time of 1 s",
        ),
        (
            {"frames": 3},
            5.0,
            "run of 3 frames, 2 s each, is too short for a repetition time of 5 s",
        ),
    ],
)
def test_a_run_that_cannot_be_resampled_is_named(study, run, tr, says):
    row = study.run("01", **run)
    with pytest.raises(et.RecordError, match=says) as error:
        study.compute(BOLD.resample_tr(tr=tr))
    assert row["bold"] in str(error.value)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"tr": 0.0}, "tr=0.0 is no repetition time; give it in seconds"),
        ({"tr": 720.0}, "tr=720.0 is no repetition time; give it in seconds"),
        ({"tr": 1.0, "method": "cubic"}, "no interpolation 'cubic'; there are linear, spline"),
        ({"tr": 1.0, "method": "lomb-scargle"}, "no interpolation 'lomb-scargle'"),
    ],
)
def test_what_no_run_could_do_is_an_error_where_it_is_written(how, says):
    with pytest.raises(et.RecipeError, match=says):
        BOLD.resample_tr(**how)
