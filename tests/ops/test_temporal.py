"""Standardised series against NumPy."""

import numpy as np

from entense.ops.temporal import zscore


def standard(x):
    return (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)


def test_zscore_of_a_huge_baseline_and_of_one_frame():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 8)).astype("f4") + np.float32(2**16)
    np.testing.assert_allclose(zscore(x), standard(x.astype("f8")), atol=1e-3)
    np.testing.assert_array_equal(zscore(x[:1]), np.zeros((1, 8)))
