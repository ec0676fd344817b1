"""Despiking: against AFNI's rule, written out a voxel and a frame at a time in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import entense as et
from entense.ops import despike as module
from entense.ops.despike import _median, _middle

BOLD = et.volume("bold", mask="mask")
despike = jax.jit(module.despike)  # as plans run it


def curve(frames):
    """Make AFNI's basis: a parabola, and a sine and a cosine for each 30 frames."""
    time = 2 / frames * (np.arange(frames) - 0.5 * (frames - 1))
    columns = [np.ones(frames), time, time**2]
    for k in range(1, round(frames / 30) + 1):
        angle = 2 * np.pi * k / frames * np.arange(frames)
        columns += [np.sin(angle), np.cos(angle)]
    return np.column_stack(columns)


def without_worst(y):
    """Put local medians in the place of what is far from them: DES_despike9."""
    frames = len(y)
    near = [y[min(max(t - 4, 0), frames - 9) :][:9] for t in range(frames)]
    centre = np.array([np.median(one) for one in near])
    deviation = np.median([np.median(np.abs(one - np.median(one))) for one in near])
    if deviation <= 0:
        return y
    return np.where(np.abs(y - centre) > 6.789 * deviation, centre, y)


def afni(raw, low=2.5, high=4.0):
    basis = curve(len(raw))
    made = raw.copy()
    for column in range(raw.shape[1]):
        y = raw[:, column] - raw[0, column]
        fit = basis @ np.linalg.lstsq(basis, without_worst(y), rcond=None)[0]
        sigma = np.sqrt(np.pi / 2) * np.median(np.abs(y - fit))
        if sigma <= 1e-9 * np.abs(raw[0, column]):  # rounding, of a constant
            continue
        for t in range(len(y)):
            s = (y[t] - fit[t]) / sigma
            if abs(s) > low:
                smaller = low + (high - low) * np.tanh((abs(s) - low) / (high - low))
                made[t, column] = raw[0, column] + fit[t] + np.sign(s) * smaller * sigma
    return made


def spiky(frames, columns, seed=0):
    """Make slow waves with noise, and spikes in a few frames."""
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(frames)[:, None] / 20 + rng.random(columns) * 6)
    raw = 10_000 + 50 * wave + 10 * rng.normal(size=(frames, columns))
    return raw + (rng.random((frames, columns)) < 0.03) * rng.normal(0, 300, (frames, columns))


@pytest.mark.parametrize("cuts", [{}, {"low": 2.0, "high": 3.5}], ids=["AFNI's cuts", "others"])
def test_it_is_afnis_rule(run, cuts):
    run.agrees(lambda v: v.despike(**cuts), afni(run.raw, **cuts))


@pytest.mark.parametrize("frames", [15, 16, 44, 45, 46, 200])
def test_spikes_are_found(frames):
    raw = spiky(frames, 30).astype("f4")
    ours = np.asarray(despike(jnp.asarray(raw)))
    theirs = afni(raw.astype("f8"))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.05)
    changed = np.abs(theirs - raw) > 0.01
    assert 0 < changed.mean() < 0.15
    np.testing.assert_array_equal(ours[~changed & (theirs == raw)], raw[~changed & (theirs == raw)])


def test_nothing_is_left_above_the_upper_cut():
    raw = spiky(200, 40)
    ours = np.asarray(despike(jnp.asarray(raw.astype("f4")))).astype("f8")
    basis = curve(200)
    for before, after in zip(raw.T, ours.T, strict=True):
        y = before - before[0]
        fit = before[0] + basis @ np.linalg.lstsq(basis, without_worst(y), rcond=None)[0]
        sigma = np.sqrt(np.pi / 2) * np.median(np.abs(before - fit))
        assert np.abs(after - fit).max() <= 4.001 * sigma


def test_special_columns():
    raw = spiky(60, 4).astype("f4")
    raw[:, 0], raw[5, 1] = 12_345.678, np.nan
    raw[:, 2] = 7.0
    raw[30, 2] = 9.0  # more than half are on the curve: there is no deviation to tell a spike by
    ours = np.asarray(despike(jnp.asarray(raw)))
    np.testing.assert_array_equal(ours[:, 0], raw[:, 0])
    assert np.isnan(ours[:, 1]).all()
    assert np.isfinite(ours[:, 2:]).all()
    np.testing.assert_array_equal(ours[:, 3], despike(jnp.asarray(raw[:, 3:]))[:, 0])


@pytest.mark.parametrize("frames", [1, 2, 9, 40])
def test_medians_are_numpys(frames):
    rng = np.random.default_rng(frames)
    few = rng.integers(-3, 4, (9, 500)).astype("f4")
    np.testing.assert_array_equal(jax.jit(_middle)(list(few)), np.median(few, axis=0))
    size = np.abs(rng.normal(size=(frames, 500)) * 10.0 ** rng.integers(-30, 30, 500)).astype("f4")
    size[:, :100] = np.rint(size[:, :100] % 3)
    np.testing.assert_allclose(jax.jit(_median)(size), np.median(size, axis=0), rtol=1e-6)


def test_gradients_are_those_of_finite_differences():
    """Of the oracle, in float64: in float32 they are rounding."""
    raw, (weight, step) = spiky(40, 6, seed=2), np.random.default_rng(4).normal(size=(2, 40, 6))
    there, back = (float((weight * afni(raw + e * step)).sum()) for e in (1e-4, -1e-4))
    gradient = jax.jit(jax.grad(lambda x: (weight * despike(x)).sum()))
    made = gradient(jnp.asarray(raw - 10_000, jnp.float32))
    np.testing.assert_allclose((made * step).sum(), (there - back) / 2e-4, rtol=1e-3)


def test_a_constant_column_does_not_spoil_the_gradients():
    x = spiky(40, 3).astype("f4")
    x[:, 1] = 5.0
    gradient = jax.jit(jax.grad(lambda x: despike(x).sum()))
    assert np.isfinite(gradient(jnp.asarray(x))).all()


def test_blocks_and_columns_do_not_matter():
    raw = spiky(50, 64).astype("f4")
    whole = np.asarray(despike(jnp.asarray(raw)))
    for part in (slice(0, 7), slice(7, 64)):
        np.testing.assert_array_equal(despike(jnp.asarray(raw[:, part])), whole[:, part])


def test_a_short_run_is_named(study):
    row = study.run("01", frames=14)
    with pytest.raises(et.RecordError, match="14 frames, despiking needs 15; leave") as error:
        study.compute(BOLD.despike())
    assert row["bold"] in str(error.value)


@pytest.mark.parametrize("cuts", [{"low": 0.5}, {"low": 3.0, "high": 3.2}])
def test_cuts_that_afni_refuses_are_refused(cuts):
    with pytest.raises(et.RecipeError, match="cut no spikes; give low from 1 on"):
        BOLD.despike(**cuts)
