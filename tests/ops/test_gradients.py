"""Gradients flow through every op that is a JAX function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from entense.ops.connectome import correlation
from entense.ops.dtype import astype
from entense.ops.linear import Centred, Operator, apply
from entense.ops.parcels import Codes, mean, parcellate
from entense.ops.temporal import zscore

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 6)).astype("f4")
CODES = Codes(np.array([0, 1, 1, 2, 2, 2], "i4"), np.array([4, 9, 11], "i4"))
MATRIX = Operator.of(np.eye(12) - np.full((12, 12), 1 / 12) + 0.1 * RNG.normal(size=(12, 12)))
OPS = {
    "zscore": zscore,
    "parcellate": lambda x: mean(parcellate(x, CODES))[:, :2],
    "correlation": correlation,
    "fisher z": lambda x: correlation(x, fisher_z=True),
    "astype": lambda x: astype(x, dtype="float32"),
    "apply": lambda x: apply(x, MATRIX),
    "apply to centred": lambda x: apply(Centred(x - 3.0, x[0]), MATRIX),
    "a chain": lambda x: correlation(mean(parcellate(zscore(apply(x, MATRIX)), CODES))[:, :2]),
}


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_gradients_are_those_of_finite_differences(op):
    check_grads(jax.jit(op), (jnp.asarray(X),), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_a_constant_column_does_not_spoil_the_gradients(op):
    still = X.copy()
    still[:, 1:4] = 5.0

    def loss(x):
        y = op(x)
        return jnp.where(jnp.isfinite(y), y, 0).sum()

    assert np.isfinite(jax.jit(jax.grad(loss))(jnp.asarray(still))).all()
