"""One scale for all columns: baselines, constants, gaps and what has no scale."""

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.signal import standardize_signal

import entense as et
from entense.ops.standardize import psc, robust_scale, tsnr, zscore

BOLD = et.volume("bold", mask="mask")
OPS = {
    "zscore": jax.jit(zscore),
    "psc": jax.jit(psc),
    "mad": jax.jit(robust_scale),
    "iqr": jax.jit(partial(robust_scale, spread="iqr")),
    "tsnr": jax.jit(tsnr),
}


def standard(x):
    return (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)


def bold(seed, frames=50, columns=8, baseline=10_000.0):
    rng = np.random.default_rng(seed)
    return rng.normal(baseline, 100, (frames, columns)).astype("f4")


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), frames=st.sampled_from([5, 6, 50]))
def test_a_column_is_treated_by_itself(op, seed, frames):
    x = bold(seed, frames)
    alone = np.concatenate([np.asarray(op(x[:, i : i + 1])) for i in range(8)], axis=-1)
    x[:, 1], x[-1, 3], x[0, 5] = 5.5, np.nan, np.inf
    ours = np.asarray(op(x))
    usual = [0, 2, 4, 6, 7]
    np.testing.assert_allclose(ours[..., usual], alone[..., usual], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(ours[..., 1], 0)
    assert np.isnan(ours[..., [3, 5]]).all()


def test_zscore_of_a_huge_baseline_and_of_one_frame():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 8)).astype("f4") + np.float32(2**16)
    np.testing.assert_allclose(zscore(x), standard(x.astype("f8")), atol=1e-3)
    np.testing.assert_array_equal(zscore(x[:1]), np.zeros((1, 8)))


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_one_frame_is_constant(op):
    ours = np.asarray(op(bold(0)[:1]))
    np.testing.assert_array_equal(ours, np.zeros(ours.shape))


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_whole_numbers_without_a_sign_have_differences_too(op):
    x = np.random.default_rng(0).integers(1, 255, (30, 4)).astype("u1")
    np.testing.assert_allclose(op(x), op(x.astype("f4")), rtol=1e-6)


def test_percent_change_of_a_negative_mean_keeps_its_sign():
    x = bold(1, baseline=-10_000.0)
    due = standardize_signal(x.astype("f8"), standardize="psc")
    np.testing.assert_allclose(psc(x), due, atol=1e-4)
    assert np.corrcoef(np.asarray(psc(x))[:, 0], x[:, 0])[0, 1] > 0.999


def test_a_percentage_of_nothing_is_nan():
    """What varies about 0 has no mean; what is 0 throughout does not change."""
    x = bold(2)
    x[:, :3] -= x[:, :3].mean(axis=0)
    x[:, 3] = 0
    x[:, 4] -= np.float32(9_000)
    ours = np.asarray(psc(x))
    assert np.isnan(ours[:, :3]).all()
    np.testing.assert_array_equal(ours[:, 3], 0)
    assert np.isfinite(ours[:, 4:]).all()


def test_percent_change_after_a_filter_is_nan(study):
    study.run("01")
    assert np.isnan(study.compute(BOLD.detrend().psc())[0]).all()
    assert np.isnan(study.compute(BOLD.zscore().psc())[0]).all()


@pytest.mark.parametrize("spread", ["mad", "iqr"])
def test_outliers_do_not_move_a_robust_scale(spread):
    x = bold(3)
    usual = np.asarray(robust_scale(x, spread=spread))
    x[np.argmax(x, axis=0), np.arange(8)] += np.float32(50_000)
    spiked = np.asarray(robust_scale(x, spread=spread))
    others = spiked < 100
    assert (~others).sum() == 8
    np.testing.assert_allclose(spiked[others], usual[others], atol=1e-3)


@pytest.mark.parametrize("spread", ["mad", "iqr"])
def test_what_varies_in_few_frames_has_no_spread(spread):
    x = np.full((50, 2), 7.0, "f4")
    x[4, 0] = 9.0
    ours = np.asarray(robust_scale(x, spread=spread))
    assert np.isnan(ours[:, 0]).all()
    np.testing.assert_array_equal(ours[:, 1], 0)


def test_an_unknown_spread_is_refused_where_it_is_written():
    with pytest.raises(et.RecipeError, match="no spread 'std' to scale by, only mad, iqr"):
        BOLD.robust_scale(spread="std")


def test_tsnr_goes_back_into_the_brain(study):
    study.run("01")
    table = et.transform(study.records, tsnr=BOLD.tsnr(), again=BOLD.zscore().tsnr())
    archive = table.entense.write(study.root.parent / "out")
    kind = archive.schema["tsnr"]
    assert (kind.dims, kind.tr, str(kind.dtype)) == (("voxel",), None, "float32")
    image = archive.unmask(archive[0]["tsnr"], "tsnr")
    assert image.get_fdata()[study.inside].min() > 10
    assert np.abs(archive[0]["again"]).max() < 1e-3


@pytest.mark.parametrize("op", ["zscore", "psc", "robust_scale", "tsnr"])
def test_what_has_no_time_is_refused(study, op):
    study.run("01")
    with pytest.raises(et.RecipeError, match=r"\(time, …\)"):
        study.compute(BOLD.correlation().apply(op))
    with pytest.raises(et.RecipeError, match=r"\(time, …\)"):
        study.compute(BOLD.tsnr().apply(op))
