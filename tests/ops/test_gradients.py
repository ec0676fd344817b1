"""Gradients flow through every op that is a JAX function."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from sklearn.covariance import LedoitWolf

from entense.ops.connectome import correlation, covariance, partial_correlation
from entense.ops.dtype import astype
from entense.ops.edges import fisher_z, vectorise
from entense.ops.grid import Places, grid
from entense.ops.linear import Centred, Neighbours, Operator, apply, mix
from entense.ops.medians import Members, parcel_median
from entense.ops.missing import fill_nan
from entense.ops.parcels import Codes, mean, parcellate
from entense.ops.standardize import psc, robust_scale, tsnr, zscore

RNG = np.random.default_rng(0)
X = RNG.normal(3.0, 1.0, size=(12, 6)).astype("f4")
CODES = Codes(np.array([0, 1, 1, 2, 2, 2], "i4"), np.array([4, 9, 11], "i4"))
MATRIX = Operator.of(np.eye(12) - np.full((12, 12), 1 / 12) + 0.1 * RNG.normal(size=(12, 12)))
NEIGHBOURS = Neighbours(
    np.array([[0, 1], [4, 4], [2, 5]]), np.array([[0.25, 0.75], [1, 0], [2, -1]])
)
MEMBERS = Members(np.array([[0, 1, 5], [2, 4, -1]], "i4"))
SHRUNK = {"estimator": "ledoit_wolf"}
OPS = {
    "zscore": zscore,
    "percent signal change": psc,
    "robust scale": robust_scale,
    "quartiles": partial(robust_scale, spread="iqr"),
    "tsnr": tsnr,
    "fill": fill_nan,
    "fill with the mean": partial(fill_nan, value="mean"),
    "parcellate": lambda x: mean(parcellate(x, CODES))[:, :2],
    "covariance": covariance,
    "shrunk covariance": partial(covariance, **SHRUNK),
    "correlation": correlation,
    "shrunk correlation": partial(correlation, **SHRUNK),
    "fisher z": partial(correlation, fisher_z=True),
    "partial correlation": partial_correlation,
    "empirical partial correlation": partial(partial_correlation, estimator="empirical"),
    "edges": lambda x: vectorise(fisher_z(correlation(x))),
    "astype": partial(astype, dtype="float32"),
    "mix": lambda x: mix(x, NEIGHBOURS),
    "parcel median": lambda x: parcel_median(x, MEMBERS),
    "grid": lambda x: grid(x, Places(np.array([[[0, -1, 2], [5, 3, 1]]], "i4"))),
    "apply": lambda x: apply(x, MATRIX),
    "apply to centred": lambda x: apply(Centred(x - 3.0, x[0]), MATRIX),
    "a chain": lambda x: correlation(mean(parcellate(zscore(apply(x, MATRIX)), CODES))[:, :2]),
}
BY_ITSELF = ("zscore", "percent signal change", "robust scale", "quartiles", "tsnr", "fill")
MATRICES = [name for name in OPS if name.endswith(("covariance", "correlation"))]


@cache  # to compile is most of the time, and most tests ask of one shape
def compiled(op):
    def loss(x):
        y = op(x)
        return jnp.where(jnp.isfinite(y), jnp.sin(y), 0).sum()

    return jax.jit(jax.grad(loss))


def gradient(op, x):
    return np.asarray(compiled(op)(jnp.asarray(x)))


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_gradients_are_those_of_finite_differences(op):
    check_grads(jax.jit(op), (jnp.asarray(X),), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_a_constant_column_does_not_spoil_the_gradients(op):
    still = X.copy()
    still[:, 1:4] = 5.0
    assert np.isfinite(gradient(op, still)).all()


@pytest.mark.parametrize("name", [*BY_ITSELF, *MATRICES, "fisher z", "edges"])
def test_the_gradients_of_others_are_as_if_bad_columns_were_not_there(name):
    op, bad, good = OPS[name], X.copy(), [0, 2, 5]
    bad[:, 1], bad[3, 3], bad[0, 4] = 5.0, np.nan, np.inf
    ours = gradient(op, bad)
    np.testing.assert_allclose(ours[:, good], gradient(op, X[:, good]), rtol=1e-3, atol=1e-4)
    assert np.isfinite(ours[:, 1]).all()


def test_a_filled_frame_has_no_gradient_and_gives_the_others_theirs():
    gaps = X.copy()
    gaps[2, 0] = np.nan
    ours = gradient(partial(fill_nan, value="mean"), gaps)
    assert np.isfinite(ours).all()
    assert ours[2, 0] == 0
    assert (ours[[0, 1, 3], 0] != gradient(fill_nan, gaps)[[0, 1, 3], 0]).all()


@pytest.mark.parametrize("name", MATRICES)
def test_white_noise_is_shrunk_to_the_end_and_has_gradients(name):
    noise = np.random.default_rng(8).normal(size=(12, 6)).astype("f4")
    assert LedoitWolf().fit(noise).shrinkage_ == 1
    assert np.isfinite(gradient(OPS[name], noise)).all()


@pytest.mark.parametrize("name", MATRICES)
def test_one_parcel_is_a_constant(name):
    ours = gradient(OPS[name], X[:, :1])
    assert np.isfinite(ours).all()
    assert (np.abs(ours).max() < 1e-4) == ("covariance" not in name)
