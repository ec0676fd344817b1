"""How many degrees of freedom filters leave: against ranks that are known."""

import polars as pl
import pytest

import entense as et
from entense.execute.serial import run
from entense.plan.survey import survey


def left(study, tensor):
    (outcome,) = run(survey(study.records.entense.transform(a=tensor)), [0])
    assert outcome.error is None, outcome.error
    return outcome.counts["a"]["freedom"]


def test_projections_leave_their_rank(study):
    study.run("01", frames=60)
    bold = et.volume("bold", mask="mask")
    assert left(study, bold.detrend()) == 58
    assert left(study, bold.denoise("confounds", "6P")) == 52
    assert left(study, bold.denoise("confounds", ["csf"], detrend=False)) == 59


def test_a_band_leaves_about_its_width(study):
    study.run("01", frames=200, tr=2.0)
    band = et.volume("bold", mask="mask").bandpass(high_pass=0.01, low_pass=0.08)
    assert left(study, band) == pytest.approx(2 * 200 * 2.0 * 0.07, abs=4)


@pytest.mark.parametrize("frames", [60, 120, 240])
@pytest.mark.parametrize("high_pass", [0.005, 0.01])
def test_a_high_pass_leaves_no_more_than_was_there(study, frames, high_pass):
    study.run("01", frames=frames, tr=2.0)
    bold = et.volume("bold", mask="mask").denoise("confounds", "6P", high_pass=high_pass)
    assert frames / 2 < left(study, bold) <= frames - 8


def test_an_archive_of_noise_is_said(study, tmp_path, caplog):
    study.run("01", frames=60)
    clean = et.volume("bold", mask="mask").denoise(
        "confounds", "36P", high_pass=0.01, low_pass=0.03
    )
    table = study.records.entense.transform(
        fine=et.volume("bold", mask="mask"), noise=clean.zscore()
    )
    table.entense.write(tmp_path / "out")
    assert [one for one in caplog.messages if "rounding noise" in one] == caplog.messages
    assert "noise: filters leave at most 2 degrees of freedom of 1 of 1 records" in caplog.text


def test_explain_says_it(study):
    study.run("01", frames=60)
    text = et.explain(study.records.entense.transform(a=et.volume("bold", mask="mask").detrend()))
    assert "leaves about 58 of 60 degrees of freedom" in text


def censored(study, limit):
    path = study.rows[0]["confounds"]
    moved = pl.read_csv(path, separator="\t", null_values="n/a")["framewise_displacement"]
    return int((moved <= limit).sum()) + 1  # the first frame, which has none, stays


def test_frames_left_out_are_no_freedom(study):
    study.run("01", frames=120)
    bold, kept = et.volume("bold", mask="mask"), censored(study, 0.25)
    assert 80 < kept < 110
    assert left(study, bold.censor("confounds", fd=0.25)) == kept
    assert left(study, bold.interpolate("confounds", fd=0.25)) == kept
    assert left(study, bold.denoise("confounds", "6P", fd=0.25)) == kept - 8
    assert left(study, bold.censor("confounds", fd=0.25).detrend()) == kept - 2
    assert left(study, bold.drop_dummies(count=4).detrend()) == 114
    assert left(study, bold.detrend().window(20.0, seconds=40)) == 20


@pytest.mark.parametrize("fill", ["spline", "linear", "lomb-scargle"])
@pytest.mark.parametrize("high_pass", [0.005, 0.01])
def test_a_filter_over_gaps_leaves_no_more_than_was_there(study, fill, high_pass):
    study.run("01", frames=240, tr=0.8)
    how = {"high_pass": high_pass, "fill": fill, "fd": 0.25}
    bold = et.volume("bold", mask="mask").denoise("confounds", "6P", **how)
    assert censored(study, 0.25) / 2 < left(study, bold) <= censored(study, 0.25) - 7


@pytest.mark.parametrize("tr", [0.5, 0.9, 2.0, 3.7])
def test_another_tr_adds_no_freedom(study, tr):
    study.run("01", frames=100, tr=2.0)
    bold = et.volume("bold", mask="mask").detrend().resample_tr(tr=tr)
    assert 30 < left(study, bold) <= min(100, 198 / tr + 1)


def test_an_impossible_repetition_time_is_kept_nowhere(study, tmp_path):
    study.run("01", tr=2000.0)
    table = study.records.entense.transform(a=et.volume("bold", mask="mask"))
    assert "TR 2000 s (impossible: not used)" in et.explain(table)
    assert table.entense.write(tmp_path / "out").schema["a"].tr is None
