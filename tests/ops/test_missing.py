"""What is missing is filled, and where it was is kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import entense as et
from entense.ops.missing import fill_nan, missing

BOLD = et.volume("bold", mask="mask")
GAPS = [np.nan, np.inf, -np.inf]


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1), frames=st.sampled_from([1, 2, 31]))
def test_gaps_are_filled_and_nothing_else(seed, share, frames):
    rng = np.random.default_rng(seed)
    x = rng.normal(10_000, 100, (frames, 6)).astype("f4")
    gaps = rng.random(x.shape) < share
    gaps[:, 2], gaps[:, 3] = True, False
    x[gaps] = rng.choice(GAPS, gaps.sum())
    np.testing.assert_array_equal(missing(x), gaps)
    finite = np.where(gaps, np.nan, x).astype("f8")
    mean = np.array([c[~np.isnan(c)].mean() if np.isfinite(c).any() else 0 for c in finite.T])
    for value, due in ((0.0, 0.0), (-3.5, -3.5), ("mean", mean)):
        ours = np.asarray(fill_nan(x, value=value))
        np.testing.assert_array_equal(ours[~gaps], x[~gaps])
        np.testing.assert_allclose(ours, np.where(gaps, due, x), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "int16", "uint8", "bool"])
def test_a_number_keeps_the_format(dtype):
    x = np.ones((4, 3), dtype)
    ours = fill_nan(x, value=7.0)
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours, x)
    assert not np.asarray(missing(x)).any()


def test_the_gaps_are_recorded_beside_what_was_filled(study):
    data = np.random.default_rng(0).normal(10_000, 10, (*study.shape, 40)).astype("f4")
    data[2, 2, 2, 5], data[3, 2, 2] = np.nan, np.nan
    study.run("01", data=data)
    table = et.transform(study.records, raw=BOLD, filled=BOLD.fill_nan("mean"), gaps=BOLD.missing())
    for fmt in ("webdataset", "tfrecord"):
        archive = table.entense.write(study.root.parent / fmt, format=fmt)
        sample = archive[0]
        assert archive.schema["gaps"].dtype == sample["gaps"].dtype == bool
        assert sample["gaps"].sum() == 41
        np.testing.assert_array_equal(sample["gaps"], np.isnan(sample["raw"]))
        assert np.isfinite(sample["filled"]).all()
        np.testing.assert_array_equal(
            np.where(sample["gaps"], np.nan, sample["filled"]), sample["raw"]
        )
    collected = et.to_numpy(et.collect(table)["gaps"])
    assert collected.dtype == bool
    np.testing.assert_array_equal(collected[0], sample["gaps"])


def test_an_absent_parcel_is_filled(study):
    study.run("01")
    parcels = BOLD.parcellate(str(study.atlas(labels=(2, 3, 5, 8))))
    assert np.isnan(study.compute(parcels)[0][:, 3]).all()
    np.testing.assert_array_equal(study.compute(parcels.fill_nan("mean"))[0][:, 3], 0)
    filled = study.compute(parcels.correlation().fill_nan(-2.0))[0]
    np.testing.assert_array_equal(filled[3], -2)


def test_what_fills_nothing_is_refused_where_it_is_written():
    with pytest.raises(et.RecipeError, match="fills nothing; give a number, or 'mean'"):
        BOLD.fill_nan("median")
    with pytest.raises(et.RecipeError, match="give a finite number"):
        BOLD.fill_nan(float("nan"))


def test_a_mean_over_time_needs_time(study):
    study.run("01")
    with pytest.raises(et.RecipeError, match=r"\(time, …\)"):
        study.compute(BOLD.correlation().fill_nan("mean"))
