"""Least squares: against NumPy's, and scikit-learn's ridge."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import entense as et

BOLD = et.volume("bold", mask="mask")
MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]


def least(run, good, weights=None, intercept=True):
    """Fit with LAPACK to the good frames, and take the fit off all."""
    x = run.columns(*MOTION)
    x = np.column_stack([x, np.ones(len(x))]) if intercept else x
    root = np.sqrt(np.ones(len(x)) if weights is None else weights)[good, None]
    beta = np.linalg.lstsq(root * x[good], root * run.raw[good], rcond=None)[0]
    return run.raw - x @ beta


def ridge(run, good, alpha, weights=None):
    x = run.columns(*MOTION)
    weights = np.ones(len(x)) if weights is None else weights
    scaler = StandardScaler().fit(x[good], sample_weight=weights[good])
    x = scaler.transform(x)
    fit = Ridge(alpha).fit(x[good], run.raw[good], sample_weight=weights[good])
    return run.raw - fit.predict(x)


def weight(run):
    return run.table["weight"].to_numpy()


def every(run):
    return np.ones(run.frames, bool)


CASES = {
    "all": (lambda r: {}, lambda r: least(r, every(r))),
    "censored": (lambda r: {"fd": r.fd}, lambda r: least(r, r.good())),
    "and around": (
        lambda r: {"fd": 1.5 * r.fd, "before": 1, "after": 1},
        lambda r: least(r, r.good(1.5 * r.fd, 1, 1)),
    ),
    "weighted": (lambda r: {"weights": "weight"}, lambda r: least(r, every(r), weight(r))),
    "weighted and censored": (
        lambda r: {"weights": "weight", "fd": r.fd},
        lambda r: least(r, r.good(), weight(r)),
    ),
    "ridge": (lambda r: {"ridge": 3.0}, lambda r: ridge(r, every(r), 3.0)),
    "ridge and all": (
        lambda r: {"ridge": 0.5, "weights": "weight", "fd": r.fd},
        lambda r: ridge(r, r.good(), 0.5, weight(r)),
    ),
}


@pytest.mark.parametrize(("how", "oracle"), CASES.values(), ids=CASES)
def test_it_is_least_squares(run, how, oracle):
    run.agrees(lambda v: v.regress("confounds", MOTION, **how(run)), oracle(run))


@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_without_an_intercept(run, alpha):
    x = run.columns(*MOTION)
    x = x / np.sqrt(np.square(x[run.good()]).mean(axis=0))
    model = Ridge(alpha, fit_intercept=False) if alpha else LinearRegression(fit_intercept=False)
    fit = make_pipeline(model).fit(x[run.good()], run.raw[run.good()])
    run.agrees(
        lambda v: v.regress("confounds", MOTION, ridge=alpha, intercept=False, fd=run.fd),
        run.raw - fit.predict(x),
        steady=False,
    )


def test_columns_that_say_nothing_take_nothing(synthetic, tmp_path):
    """Twice the same, a constant, and a spike in a frame that is not fitted."""
    bad = np.flatnonzero(~synthetic.good())[0]
    spike = (np.arange(synthetic.frames) == bad).astype(int)
    more = synthetic.table.bfill(limit=1)
    more = more.assign(again=2 * more["csf"], flat=7.3, spike=spike)
    path = str(tmp_path / "more.tsv")
    more.to_csv(path, sep="\t", index=False)
    one, two = (
        synthetic.compute(lambda v, c=columns: v.regress(path, c, fd=synthetic.fd))
        for columns in (["csf"], ["csf", "again", "flat", "spike"])
    )
    np.testing.assert_allclose(two, one, atol=1e-3)


def test_no_confounds_leave_the_series_less_its_mean(synthetic):
    theirs = synthetic.raw - synthetic.raw.mean(axis=0)
    synthetic.agrees(lambda v: v.regress("confounds", "none"), theirs)


def test_a_strategy_says_what_is_fitted(synthetic):
    ours = synthetic.compute(lambda v: v.regress("confounds", "scrubbing"))
    said = {"fd": 0.5, "dvars": 1.5, "contiguous": 5, "dummies": True}
    theirs = synthetic.compute(
        lambda v: v.regress("confounds", "(dd1(rps))^^2 + (dd1(wm + csf))^^2", **said)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert len(ours) == synthetic.frames


WRONG = {
    "negative weights": (
        lambda t: t.assign(weight=-1.0),
        {"weights": "weight"},
        "'weight' holds no weights, which are 0 or more and not all 0",
    ),
    "no weight": (
        lambda t: t.assign(weight=0.0),
        {"weights": "weight"},
        "'weight' holds no weights",
    ),
    "few weigh anything": (
        lambda t: t.assign(weight=(t.index < 5).astype(float)),
        {"weights": "weight"},
        "6 regressors leave nothing of 5 frames",
    ),
    "no such weights": (lambda t: t, {"weights": "wieght"}, "no column 'wieght'"),
    "fewer are left than regressors": (
        lambda t: t.assign(framewise_displacement=np.where(t.index < 6, 0.1, 9.0)),
        {"fd": 1.0},
        "6 regressors leave nothing of 6 frames",
    ),
    "a gap": (
        lambda t: t.assign(rot_z=t["rot_z"].where(t.index != 4)),
        {},
        "'rot_z' has no finite number in row 5",
    ),
    "another length": (lambda t: t.iloc[:-1], {}, "39 rows, the run has 40 frames"),
}


@pytest.mark.parametrize(("change", "how", "says"), WRONG.values(), ids=WRONG)
def test_a_table_that_does_not_fit_is_named(study, change, how, says):
    path = study.run("01")["confounds"]
    table = pd.read_csv(path, sep="\t", na_values="n/a")
    change(table).to_csv(path, sep="\t", index=False, na_rep="n/a")
    with pytest.raises(et.RecordError, match=says) as error:
        study.compute(BOLD.regress("confounds", "6P", **how))
    assert path in str(error.value)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"ridge": -1.0}, "ridge=-1.0 rewards large weights"),
        ({"model": []}, "the list of confounds is empty"),
        ({"fd": -1.0}, "fd=-1.0 censors every frame"),
    ],
)
def test_what_no_run_could_do_is_an_error_where_it_is_written(how, says):
    with pytest.raises(et.RecipeError, match=says):
        BOLD.regress("confounds", **{"model": "6P"} | how)
