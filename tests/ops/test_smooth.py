"""Smoothing: NaN, constants, a high baseline, gradients; its oracles are in oracle/."""

import brains
import jax
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import entense as et
from entense.geometry import Mask
from entense.ops.smooth import _kernel, smooth
from entense.ops.spec import Spec

BOLD = et.volume("bold", mask="mask")
SIGMA = 5.0 / np.sqrt(8 * np.log(2)) / np.array([2, 2, 3])  # voxels of the study's grid


def test_a_nan_spreads_as_far_as_the_kernel_reaches_and_only_in_its_frame(study):
    data = brains.noise(0, *study.shape, 10)
    data[1, 2, 2, 3] = np.nan
    data[4, 5, 1, 4] = np.inf
    study.run("01", data=data)
    ours = study.compute(BOLD.smooth(2.0))[0]
    for frame, place in ((3, (1, 2, 2)), (4, (4, 5, 1))):
        reach = (4 * SIGMA * 2 / 5 + 0.5).astype(int)
        near = np.abs(np.argwhere(study.inside) - place) <= reach
        np.testing.assert_array_equal(np.isnan(ours[frame]), near.all(axis=1))
    assert np.isfinite(np.delete(ours, [3, 4], axis=0)).all()
    clean = np.where(np.isfinite(data), data, 0)
    study.run("02", data=clean.astype("f4"))
    without = study.compute(BOLD.smooth(2.0))[1]
    seen = np.isfinite(ours)
    np.testing.assert_allclose(ours[seen], without[seen], rtol=1e-6)


def test_a_frame_that_begins_with_a_nan_is_smoothed_as_others(study):
    data = brains.noise(0, *study.shape, 10)
    first = tuple(np.argwhere(study.inside)[0])
    data[(*first, 2)] = np.nan
    study.run("01", data=data)
    ours = study.compute(BOLD.smooth(1.0))[0]
    assert np.isnan(ours[2]).sum() < 10
    assert np.isfinite(np.delete(ours, 2, axis=0)).all()


@pytest.mark.parametrize("value", [0.0, 1.0, 12_345.678])
def test_a_constant_image_stays_what_it_is(study, value):
    study.run("01", data=np.full((*study.shape, 10), value, "f4"))
    np.testing.assert_array_equal(study.compute(BOLD.smooth(5.0))[0], np.float32(value))


def test_a_baseline_costs_no_digits(study):
    signal = np.random.default_rng(0).normal(size=(*study.shape, 60))
    study.run("01", data=(10_000 + signal).astype("f4"))
    weight = gaussian_filter(study.inside.astype(float), SIGMA, mode="constant")[study.inside]
    exact = np.float64((10_000 + signal).astype("f4")) * study.inside[..., None]
    theirs = [
        gaussian_filter(one, SIGMA, mode="constant")[study.inside] / weight
        for one in np.moveaxis(exact, -1, 0)
    ]
    ours = study.compute(BOLD.smooth(5.0))[0]
    # half a unit in the last place of 10,000 in float32
    assert np.abs(ours - theirs).max() <= 1.01 * np.spacing(np.float32(10_000))


@pytest.mark.parametrize("shape", [(4, 5, 3), (1, 6, 1)])
def test_gradients_are_finite_and_those_of_a_linear_map(shape):
    inside = np.random.default_rng(0).random(shape) > 0.3
    mask = Mask.of(inside, np.diag([2.0, 3, 2, 1]))
    spec = Spec(("time", "voxel"), (2, mask.size), "float32", mask=mask)
    kernel = _kernel(spec, fwhm=4.0)

    def total(x):
        return (smooth(x, kernel, fwhm=4.0) * weights).sum()

    rng = np.random.default_rng(1)
    x, weights, step = rng.normal(size=(3, 2, mask.size)).astype("f4")
    slope = jax.grad(total)(x)
    assert np.isfinite(slope).all()
    assert np.isclose((slope * step).sum(), total(x + step) - total(x), rtol=1e-3, atol=1e-4)


def test_smoothing_does_not_depend_on_the_order_of_filtering(study):
    study.run("01")
    before, after = (
        study.compute(tensor)[0]
        for tensor in (BOLD.smooth(4.0).detrend(), BOLD.detrend().smooth(4.0))
    )
    np.testing.assert_allclose(before, after, atol=2e-3)
