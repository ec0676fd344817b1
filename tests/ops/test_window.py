"""Windows of runs: the nearest frames, as NumPy cuts them."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import detrend

import entense as et
from entense.images.nifti import read_header
from entense.ops.core import Spec, ops
from entense.ops.window import window
from entense.plan.survey import survey

BOLD = et.volume("bold", mask="mask")
MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]


def nearest(seconds, tr):
    """Round in exact decimal arithmetic, half up."""
    exact = Fraction(str(seconds)) / Fraction(str(tr))
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


DECIMAL = st.decimals(0, 60, places=2).map(float)


@given(DECIMAL, DECIMAL.filter(bool), st.sampled_from([0.5, 0.72, 0.8, 1.0, 1.5, 2.0, 2.2, 3.0]))
def test_the_nearest_frames_are_cut(start, seconds, tr):
    x = Spec(("time", "voxel"), (400, 3), "float32", tr=tr)
    matrix = window(x, start, seconds=seconds)
    series = np.random.default_rng(0).normal(size=(400, 3))
    begin, count = nearest(start, tr), max(1, nearest(seconds, tr))
    np.testing.assert_array_equal(matrix @ series, series[begin : begin + count])


def test_halves_go_to_the_later_frame():
    """Python rounds 0.5 to 0, 1.5 to 2 and 2.5 to 2: onsets 2 s apart would be one frame."""
    x = Spec(("time", "voxel"), (10, 1), "float32", tr=2.0)
    begins = [window(x, onset, seconds=2)[0].argmax() for onset in (1.0, 3.0, 5.0, 7.0)]
    assert begins == [1, 2, 3, 4]
    assert [len(window(x, 0.0, seconds=s)) for s in (0.1, 1.0, 3.0, 5.0)] == [1, 1, 2, 3]


CHAINS = {
    "as it is": lambda v: v,
    "standardised": lambda v: v.zscore(),
    "cleaned": lambda v: v.denoise("confounds", "9P", high_pass=0.01),
    "cleaned and standardised": lambda v: v.denoise("confounds", "9P").zscore(),
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_windows_are_cut_from_what_the_whole_run_gives(study, chain):
    study.run("01", frames=60)
    (whole,) = study.compute(chain(BOLD))
    for start, begin in ((0.0, 0), (7.2, 4), (100.0, 50)):
        (ours,) = study.compute(chain(BOLD).window(start, seconds=20))
        np.testing.assert_allclose(ours, whole[begin : begin + 10], rtol=1e-4, atol=2e-3)


def test_the_window_is_known_before_anything_runs(study):
    study.run("01", frames=60)
    table = study.records.entense.transform(x=BOLD.window(7.2, seconds=20).detrend())
    spec = survey(table).specs[0]["x"]
    assert spec.shape == (10, int(study.inside.sum()))
    assert spec.tr == 2.0


@pytest.mark.parametrize(
    ("start", "seconds", "says"),
    [
        (-1.1, 10, "from -1.1 s, 10 s long, is not whole in the run of 80 s; filter"),
        (70.0, 11, "from 70 s, 11 s long, is not whole in the run of 80 s"),
        (1e9, 1, "not whole"),
        (None, 1, "no number for its start"),
        (float("nan"), 1, "starts at nan s"),
    ],
)
def test_a_window_that_is_not_whole_is_that_records_error(study, start, seconds, says):
    study.run("01")
    with pytest.raises(et.RecordError, match=says):
        study.compute(BOLD.window(start, seconds=seconds))
    study.compute(BOLD.window(70.0, seconds=10))
    study.compute(BOLD.window(-0.9, seconds=10))


def test_a_run_without_a_repetition_time_has_no_windows(study):
    study.run("01", tr=None)
    with pytest.raises(et.RecordError, match="repetition time is unknown"):
        study.compute(BOLD.window(0.0, seconds=10))


def test_a_window_of_no_length_is_an_error_where_it_is_written():
    for seconds in (0, -2.0):
        with pytest.raises(et.RecipeError, match="is no length of a window; give one above 0"):
            BOLD.window(0.0, seconds=seconds)
    with pytest.raises(et.RecipeError, match="float, not '12'"):
        BOLD.window(0.0, seconds="12")
    with pytest.raises(et.RecipeError, match="window needs 'start'"):
        BOLD.window(seconds=3)


@pytest.mark.parametrize("tr", [0.645, 0.7, 0.72, 1.3, 2.2])
def test_a_header_holds_the_decimal_that_was_meant(study, tr):
    """In float32 it is a little more or less, and a run a frame shorter at another TR."""
    assert read_header(study.run("01", tr=tr)["bold"]).tr == tr


LEFT_OUT = {
    "dummies": lambda v: v.drop_dummies(count=4),
    "a window": lambda v: v.window(8.0, seconds=60),
    "dummies, then a window": lambda v: v.drop_dummies(count=2).window(6.0, seconds=60),
    "dummies, at another repetition time": lambda v: v.drop_dummies(count=4).resample_tr(tr=2.0),
    "another repetition time, then dummies": lambda v: v.resample_tr(tr=2.0).drop_dummies(count=4),
    "a list of one": lambda v: v.drop_dummies(count=4).concat(),
    "that, and a window": lambda v: (
        v.drop_dummies(count=4).resample_tr(tr=2.0).window(10.0, seconds=50)
    ),
}


@pytest.mark.parametrize("chain", LEFT_OUT.values(), ids=LEFT_OUT)
def test_the_start_counts_from_the_runs_first_frame_whatever_was_left_out(study, chain):
    """Onsets are those of the run as it was measured."""
    study.run("01")
    (whole,) = study.compute(BOLD)
    tensor = chain(BOLD).window(20.0, seconds=10)
    table = study.records.entense.pivot("subject") if "concat" in str(tensor) else study.records
    (ours,) = et.to_numpy(et.collect(et.transform(table, x=tensor))["x"])
    np.testing.assert_allclose(ours, whole[10:15], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("window", {"start": 10.0, "seconds": 6.0}),
        ("resample_tr", {"tr": 4.0}),
        ("detrend", {"order": 1}),
    ],
)
def test_frames_that_were_joined_with_gaps_have_no_times(name, given):
    """They would be taken for one TR apart."""
    whole = Spec(("time", "voxel"), (60, 1), "float32", tr=2.0)
    ops[name].function(whole, **given)
    with pytest.raises(et.RecordError, match=f"call {name} before concat, or interpolate frames"):
        ops[name].function(replace(whole, even=False), **given)


@given(st.integers(0, 39), st.integers(1, 12), st.sets(st.integers(0, 39)), st.integers(0, 6))
def test_frames_that_were_left_out_are_never_made_up_for_by_others(start, count, lost, dummies):
    kept = np.ones(40, bool)
    kept[[*range(dummies), *lost]] = False
    x = Spec(("time", "voxel"), (int(kept.sum()), 1), "float32", tr=2.0, kept=kept)
    due = np.arange(start, start + count)
    if start + count <= 40 and kept[due].all():
        run = np.arange(40.0)[:, None]
        assert (window(x, 2.0 * start, seconds=2 * count) @ run[kept])[:, 0].tolist() == [*due]
    else:
        with pytest.raises(et.RecordError, match=r"is not whole|no longer, which were left out"):
            window(x, 2.0 * start, seconds=2 * count)


def test_a_window_with_censored_frames_is_that_records_error(study):
    study.run("01")
    table = pl.read_csv(study.rows[0]["confounds"], separator="\t", null_values="n/a")
    fd = table["framewise_displacement"].fill_null(0.0).to_numpy()
    moved, count = int(fd.argmax()), 5
    before = moved - count if moved >= count else moved + 1
    censored = BOLD.censor("confounds", fd=float(np.sort(fd)[-2]))
    (whole,) = study.compute(BOLD)
    (ours,) = study.compute(censored.window(2.0 * before, seconds=2.0 * count))
    np.testing.assert_array_equal(ours, whole[before : before + count])
    with pytest.raises(et.RecordError, match=r"has 1 of its 3 frames no longer.*filter"):
        study.compute(censored.window(2.0 * moved - 2, seconds=6))


def test_confounds_are_those_of_the_whole_run(study):
    study.run("01")
    (late,) = study.compute(BOLD.window(20.0, seconds=40).denoise("confounds", "6P"))
    table = pl.read_csv(study.rows[0]["confounds"], separator="\t", null_values="n/a")
    motion = table.select(MOTION).to_numpy()[10:30]
    motion = motion - motion.mean(axis=0)
    part = study.compute(BOLD)[0][10:30].astype("f8")
    assert np.abs(motion.T @ detrend(part, axis=0)).max() > 1
    assert np.abs(detrend(motion, axis=0).T @ late).max() < 1e-3


def test_windows_of_a_list_have_each_their_own_start(study):
    for run, frames in (("1", 40), ("2", 50)):
        study.run("01", run=run, frames=frames)
    table = study.records.with_columns(at=pl.Series([4.0, 60.0]))
    whole = study.compute(BOLD)
    (ours,) = et.to_numpy(
        table.entense.pivot("subject")
        .entense.transform(x=BOLD.window("at", seconds=20).stack())
        .entense.collect()["x"]
    )
    np.testing.assert_array_equal(ours, np.stack([whole[0][2:12], whole[1][30:40]]))
