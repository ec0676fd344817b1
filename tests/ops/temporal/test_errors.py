"""Tables and runs that frames and denoising cannot be made of: who is wrong, and what to do."""

import numpy as np
import pandas as pd
import pytest

import entense as et

BOLD = et.volume("bold", mask="mask")


def still(table):
    return table.assign(framewise_displacement=9.0)


TOO_LITTLE = {
    "all are censored": (
        lambda v: v.censor("confounds", fd=0.001),
        lambda t: t.assign(framewise_displacement=0.2),
        "all 40 frames are censored .fd=0.001.; censor less, or leave such runs out",
    ),
    "all of what is left": (
        lambda v: v.drop_dummies(count=39).censor("confounds", fd=1.0),
        still,
        "all 1 frames are censored",
    ),
    "all, in denoise": (
        lambda v: v.denoise("confounds", "6P", fd=1.0),
        still,
        "all 40 frames are censored .fd=1.0.",
    ),
    "all, in interpolate": (
        lambda v: v.interpolate("confounds", fd=1.0),
        still,
        "all 40 frames are censored",
    ),
    "all, in regress": (
        lambda v: v.regress("confounds", "6P", fd=1.0),
        still,
        "all 40 frames are censored",
    ),
    "one is left": (
        lambda v: v.interpolate("confounds", fd=1.0),
        lambda t: t.assign(framewise_displacement=np.where(t.index == 5, 0.1, 9.0)),
        "1 frame is left, and two are needed",
    ),
    "no such column": (
        lambda v: v.censor("confounds", dvars=1.5),
        lambda t: t,
        "no column 'std_dvars'",
    ),
    "a gap": (
        lambda v: v.censor("confounds", fd=0.5),
        lambda t: t.assign(framewise_displacement=t["framewise_displacement"].where(t.index != 4)),
        "'framewise_displacement' has no finite number in row 5",
    ),
    "another length": (
        lambda v: v.censor("confounds", fd=0.5),
        lambda t: t.iloc[:-1],
        "39 rows, the run has 40 frames",
    ),
    "all are dummies": (
        lambda v: v.drop_dummies("confounds"),
        lambda t: t.assign(non_steady_state_outlier00=1),
        "all 40 frames are censored .dummies=True.",
    ),
}


@pytest.mark.parametrize(("chain", "change", "says"), TOO_LITTLE.values(), ids=TOO_LITTLE)
def test_a_run_of_which_too_little_is_left_is_named(study, chain, change, says):
    path = study.run("01")["confounds"]
    table = pd.read_csv(path, sep="\t", na_values="n/a")
    change(table).to_csv(path, sep="\t", index=False, na_rep="n/a")
    with pytest.raises(et.RecordError, match=says) as error:
        study.compute(chain(BOLD))
    assert path in str(error.value) or "frame is left" in says


def test_more_dummies_than_frames(study):
    row = study.run("01")
    with pytest.raises(et.RecordError, match="40 frames, and count=40 would leave none") as error:
        study.compute(BOLD.drop_dummies(count=40))
    assert row["bold"] in str(error.value)


@pytest.mark.parametrize("how", [{}, {"confounds": "confounds", "count": 3}])
def test_dummies_are_counted_or_said_by_a_table(study, how):
    study.run("01")
    with pytest.raises(et.RecipeError, match="or count=; give one"):
        study.compute(BOLD.drop_dummies(**how))


WRITTEN = {
    "nothing said": (lambda v: v.censor("confounds"), "nothing says which frames: give fd="),
    "no limit": (lambda v: v.censor("confounds", fd=0.0), "fd=0.0 censors every frame"),
    "a negative count": (lambda v: v.censor("confounds", fd=0.5, before=-1), "before=-1 is no num"),
    "no such method": (
        lambda v: v.interpolate("confounds", fd=0.5, method="nearest"),
        "no interpolation 'nearest'; there are linear, spline, lomb-scargle",
    ),
    "negative dummies": (lambda v: v.drop_dummies(count=-1), "count=-1 is no number of frames"),
}


@pytest.mark.parametrize(("chain", "says"), WRITTEN.values(), ids=WRITTEN)
def test_what_no_run_could_do_is_an_error_where_it_is_written(chain, says):
    with pytest.raises(et.RecipeError, match=says):
        chain(BOLD)


def shorten(table):
    return table.iloc[:-1]


def with_text(table):
    return table.assign(csf="high")


def with_gap(table):
    return table.assign(csf=table["csf"].where(table.index != 4))


def with_infinity(table):
    return table.assign(csf=table["csf"].where(table.index != 4, np.inf))


def moving(table):
    return table.assign(framewise_displacement=np.where(table.index % 8 == 0, 0.1, 9.0))


WRONG_TABLE = {
    "another length": (shorten, "6P", {}, "39 rows, the run has 40 frames"),
    "no such column": (
        lambda t: t.drop(columns="rot_z"),
        "6P",
        {},
        "no column 'rot_z'; did you mean",
    ),
    "misspelt column": (lambda t: t, ["trans_X"], {}, "no column 'trans_X'; did you mean 'trans_"),
    "text": (with_text, ["csf"], {}, "'csf' holds text, numbers are due"),
    "a gap": (with_gap, ["csf"], {}, "'csf' has no finite number in row 5"),
    "infinity": (with_infinity, ["csf"], {}, "'csf' has no finite number in row 5"),
    "no frames left": (
        lambda t: t.iloc[:30],
        "36P",
        {},
        "36 regressors leave nothing of 30 frames",
    ),
    "fewer are left than regressors": (
        moving,
        "6P",
        {"fd": 1.0},
        "6 regressors leave nothing of 5 frames; take a smaller model",
    ),
    "too many cosines": (
        lambda t: t.iloc[:30],
        "9P",
        {"high_pass": 0.2, "filter": "cosine"},
        "33 regressors, cosines among them, leave nothing of 30 frames; lower high_pass=",
    ),
    "too short a run is left": (
        lambda t: t.assign(framewise_displacement=np.where(t.index < 10, 0.1, 9.0)),
        "6P",
        {"fd": 1.0, "high_pass": 0.02},
        "the run has 10 frames, the band-pass filter needs more than",
    ),
}


@pytest.mark.parametrize(("change", "model", "how", "says"), WRONG_TABLE.values(), ids=WRONG_TABLE)
def test_a_table_that_does_not_fit_is_named(study, change, model, how, says):
    frames = 30 if "of 30 frames" in says else 40
    row = study.run("01", frames=frames)
    table = pd.read_csv(row["confounds"], sep="\t", na_values="n/a")
    change(table).to_csv(row["confounds"], sep="\t", index=False, na_rep="n/a")
    with pytest.raises(et.RecordError, match=says) as error:
        study.compute(BOLD.denoise("confounds", model, **how))
    assert row["bold" if "filter needs" in says else "confounds"] in str(error.value)


WRONG = {
    "no such model": ({"model": "37P"}, "no confound"),
    "no such filter": ({"high_pass": 0.1, "filter": "none"}, "no filter 'none'; there are"),
    "no such fill": ({"fill": "cubic"}, "no interpolation 'cubic'; there are linear, spline"),
    "cosines without a cut-off": ({"filter": "cosine"}, "cosine filter has no cut-off; give high_"),
    "a cosine low-pass": ({"filter": "cosine", "low_pass": 0.1}, "give high_pass alone"),
    "no limit": ({"fd": -1.0}, "fd=-1.0 censors every frame"),
    "a negative count": ({"fd": 0.5, "after": -2}, "after=-2 is no number of frames"),
}


@pytest.mark.parametrize(("how", "says"), WRONG.values(), ids=WRONG)
def test_what_denoise_could_do_to_no_run(how, says):
    with pytest.raises(et.RecipeError, match=says):
        BOLD.denoise("confounds", **{"model": "6P"} | how)
