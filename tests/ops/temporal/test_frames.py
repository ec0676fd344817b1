"""Frames left out and made up for: against slices, and scipy's interpolation."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.signal import lombscargle

import entense as et
from entense.execute.serial import run as execute
from entense.ops.confounds import Regressors
from entense.ops.core import Spec, ops
from entense.ops.denoise import denoise
from entense.ops.frames import censor, drop_dummies, interpolate
from entense.ops.interpolation import weights
from entense.plan.fuse import How
from entense.plan.survey import survey

BOLD = et.volume("bold", mask="mask")


def linear(raw, good):
    at = np.arange(len(raw))
    made = np.column_stack([np.interp(at, at[good], y[good]) for y in raw.T])
    return np.where(good[:, None], raw, made)


def spline(raw, good):
    """Interpolate inside, and take the nearest good frame at the ends, as XCP-D does."""
    at = np.arange(len(raw))
    first, last = at[good][[0, -1]]
    made = CubicSpline(at[good], raw[good])(at)
    made[:first], made[last:] = raw[first], raw[last]
    return np.where(good[:, None], raw, made)


def waves(raw, good):
    """Add up scipy's waves, a frequency and a voxel at a time; scaled as is due for white noise."""
    at = np.arange(len(raw))
    seen, count = at[good], good.sum()
    span = seen[-1] - seen[0]
    frequency = 2 * np.pi * np.arange(1, 4 * count + 1) / (8 * span)

    def rebuilt(y):
        a = lombscargle(seen, y - y.mean(), frequency, normalize="amplitude")
        turn = np.outer(at, frequency)
        return np.cos(turn) @ a.real + np.sin(turn) @ a.imag

    # (made, known): what each known frame makes of all
    each = np.column_stack([rebuilt(one) for one in np.eye(count)])
    scale = np.trace(each[good]) / np.square(each[good]).sum()
    made = np.column_stack([y[good].mean() + scale * rebuilt(y[good]) for y in raw.T])
    return np.where(good[:, None], raw, made)


FRAMES = {
    "the first": (lambda v, r: v.drop_dummies(count=4), lambda r: r.raw[4:]),
    "none": (lambda v, r: v.drop_dummies(count=0), lambda r: r.raw),
    "non-steady": (
        lambda v, r: v.drop_dummies("confounds"),
        lambda r: r.raw[r.table.filter(like="non_steady_state").sum(axis=1).to_numpy() == 0],
    ),
    "moved": (lambda v, r: v.censor("confounds", fd=r.fd), lambda r: r.raw[r.good()]),
    "and around": (
        lambda v, r: v.censor("confounds", fd=1.5 * r.fd, before=1, after=2),
        lambda r: r.raw[r.good(1.5 * r.fd, 1, 2)],
    ),
    "linear": (
        lambda v, r: v.interpolate("confounds", fd=r.fd),
        lambda r: linear(r.raw, r.good()),
    ),
    "spline": (
        lambda v, r: v.interpolate("confounds", fd=r.fd, method="spline"),
        lambda r: spline(r.raw, r.good()),
    ),
    "waves": (
        lambda v, r: v.interpolate("confounds", fd=r.fd, method="lomb-scargle"),
        lambda r: waves(r.raw, r.good()),
    ),
}


@pytest.mark.parametrize(("chain", "oracle"), FRAMES.values(), ids=FRAMES)
def test_frames_are_their_oracles(run, chain, oracle):
    run.agrees(lambda v: chain(v, run), oracle(run))


def test_the_runs_have_frames_to_censor(run):
    assert 3 <= (~run.good()).sum() < run.frames / 2


@pytest.mark.parametrize("method", ["linear", "spline", "lomb-scargle"])
def test_what_is_censored_at_the_ends_is_made_up_for(run, method):
    oracle = {"linear": linear, "spline": spline, "lomb-scargle": waves}[method]
    limit, steps = 1.5 * run.fd, {"before": 1, "after": 2}
    good = run.good(limit, **steps)
    table = run.table.assign(framewise_displacement=np.where(good, 0.1, 9.0))
    for end in (0, 1, -2, -1):
        table.loc[table.index[end], "framewise_displacement"] = 9.0
    path = str(run.study.root / "ends.tsv")
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    good = (table["framewise_displacement"] < 1).to_numpy()
    run.agrees(lambda v: v.interpolate(path, fd=1.0, method=method), oracle(run.raw, good))


KNOWN = st.lists(st.integers(0, 40), min_size=2, max_size=25, unique=True).map(sorted)


@given(KNOWN, st.sampled_from(["linear", "spline", "lomb-scargle"]))
def test_a_constant_and_nothing_else_is_kept(known, method):
    made = weights(np.array(known), np.arange(41), method)
    assert np.isfinite(made).all()
    assert (np.abs(made.sum(axis=1) - 1) <= 1e-9 * np.abs(made).sum(axis=1)).all()
    if method != "lomb-scargle":
        np.testing.assert_allclose(made[known], np.eye(len(known)), atol=1e-9)


def test_waves_go_to_the_mean_in_a_long_gap_where_splines_overshoot():
    known, gap = np.delete(np.arange(100), np.arange(40, 60)), np.arange(42, 58)
    noise = {how: np.linalg.norm(weights(known, gap, how), axis=1) for how in ("spline", "linear")}
    noise["waves"] = np.linalg.norm(weights(known, gap, "lomb-scargle"), axis=1)
    assert noise["waves"].max() < 0.5 < noise["linear"].min() < 1 < 2 < noise["spline"].max()


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Write a table of 60 frames, and say what is left of it when some are cut off."""
    rng = np.random.default_rng(8)
    folder = tmp_path_factory.mktemp("tables")
    table = pl.DataFrame(
        {name: rng.normal(size=60).cumsum() for name in ("csf", "white_matter", "trans_x")}
        | {"framewise_displacement": rng.gamma(2, 0.1, 60)}
    )

    def write(rows):
        path = str(folder / "part.tsv")
        table.filter(pl.Series(rows)).write_csv(path, separator="\t")
        return Regressors(path)

    table.write_csv(folder / "whole.tsv", separator="\t")
    return Regressors(str(folder / "whole.tsv")), write


MODEL = ["csf", "white_matter", "trans_x"]


@given(st.integers(0, 12), st.sampled_from([{}, {"high_pass": 0.02}, {"low_pass": 0.1}]))
def test_after_dummies_the_table_gives_the_rows_that_are_left(tables, count, band):
    whole, write = tables
    x = Spec(("time", "voxel"), (60, 2), "float32", tr=2.0)
    rows = np.arange(60) >= count
    part = Spec(("time", "voxel"), (60 - count, 2), "float32", tr=2.0)
    ours = denoise(x.keeping(rows), whole, model=MODEL, **band) @ drop_dummies(x, count=count)
    theirs = denoise(part, write(rows), model=MODEL, **band)
    np.testing.assert_allclose(ours[:, count:], theirs, atol=1e-9)
    assert not ours[:, :count].any()


@given(st.floats(0.15, 0.5), st.floats(0.1, 0.5), st.integers(0, 5))
def test_censoring_once_more_is_censoring_by_both(tables, first, second, count):
    table, _ = tables
    x = Spec(("time", "voxel"), (60, 2), "float32", tr=2.0)
    moved = table.frame["framewise_displacement"].to_numpy()
    left = (moved <= first) & (np.arange(60) >= count)
    assume((left & (moved <= second)).any())
    dropped = drop_dummies(x, count=count)
    x = x.keeping(np.arange(60) >= count)
    once = censor(x, table, fd=first)
    twice = censor(x.keeping(left[count:]), table, fd=second)
    np.testing.assert_array_equal(twice @ once @ dropped, np.eye(60)[left & (moved <= second)])


@given(st.floats(0.15, 0.5))
def test_gaps_of_before_are_gaps(tables, limit):
    """Interpolation is in time, over frames that were left out too."""
    table, _ = tables
    x = Spec(("time", "voxel"), (60, 2), "float32", tr=2.0)
    moved = table.frame["framewise_displacement"].to_numpy()
    assume((moved <= limit).sum() > 1)
    part = np.arange(60) % 7 != 3
    assume((part & (moved <= limit)).sum() > 1)
    time = np.arange(60.0)
    ours = interpolate(x.keeping(part), table, fd=limit) @ time[part]
    good = part & (moved <= limit)
    np.testing.assert_allclose(ours, np.interp(time[part], time[good], time[good]), atol=1e-9)


def test_what_is_left_is_known_before_anything_runs(synthetic):
    made = survey(synthetic.study.records.entense.transform(x=BOLD.censor("confounds", fd=0.3)))
    spec = made.specs[0]["x"]
    assert spec.shape == (synthetic.good().sum(), synthetic.raw.shape[1])
    assert spec.tr == synthetic.tr
    np.testing.assert_array_equal(spec.kept, synthetic.good())


def test_a_chain_of_all_that_drops_frames(run):
    good = run.good()
    good[:2] = False

    def chain(v):
        return v.drop_dummies(count=2).censor("confounds", fd=run.fd).detrend(order=0)

    run.agrees(chain, run.raw[good] - run.raw[good].mean(axis=0))


CHAINS = {
    "filled, cleaned, censored": lambda v: (
        v.drop_dummies("confounds")
        .interpolate("confounds", fd=0.3, method="spline")
        .denoise("confounds", "6P", high_pass=0.02, fd=0.3)
        .zscore()
    ),
    "despiked first": lambda v: v.despike().denoise(
        "confounds", "6P", fd=0.3, filter="cosine", high_pass=0.02
    ),
    "at another TR": lambda v: (
        v.regress("confounds", "9P", fd=0.3).resample_tr(tr=1.0).detrend(order="auto")
    ),
    "a window of it": lambda v: (
        v.censor("confounds", fd=0.3).detrend(order=2).drop_dummies(count=5)
    ),
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_every_rule_of_the_optimiser_gives_the_same(synthetic, chain):
    made = survey(synthetic.study.records.entense.transform(x=chain(BOLD)))
    ours, plain = (
        next(execute(replace(made, how=how), [0])).arrays["x"].copy() for how in (How(), How(()))
    )
    moving = np.isfinite(plain).all(axis=0) & (np.ptp(plain, axis=0) > 0.01)
    ours, plain = ours[:, moving], plain[:, moving]
    assert moving.sum() > 100
    assert np.linalg.norm(ours - plain) <= 1e-5 * np.linalg.norm(plain)


def test_frames_of_no_one_run_have_no_table(tables):
    x = Spec(("time", "voxel"), (60, 2), "float32", tr=2.0, kept=np.empty(0, bool))
    with pytest.raises(et.RecipeError, match="no longer those of one run"):
        censor(x, tables[0], fd=0.5)
    assert drop_dummies(x, count=1).shape == (59, 60)
    assert ops["drop_dummies"].infer(x, None, count=1).kept.size == 0
