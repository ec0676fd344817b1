"""Connectomes: absent parcels, too few frames, units, edges, and the same bytes on any cores."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.connectome import ConnectivityMeasure
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

import entense as et
from entense.ops.connectome import correlation, covariance, partial_correlation
from entense.ops.edges import fisher_z, vectorise

ESTIMATORS = {"empirical": EmpiricalCovariance(), "ledoit_wolf": LedoitWolf()}
OPS = {
    "covariance": covariance,
    "correlation": correlation,
    "partial correlation": partial_correlation,
}


def series(seed, frames, parcels, baseline=10_000.0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(frames, 2)) @ rng.normal(size=(2, parcels))
    noise = rng.normal(size=(frames, parcels)) * rng.gamma(2, 1, parcels)
    return (baseline + 100 * (shared + noise)).astype("f4")


def oracle(kind, estimator, x):
    measure = ConnectivityMeasure(ESTIMATORS[estimator], kind=kind)
    return measure.fit_transform([x.astype("f8")])[0]


def agree(ours, due):
    assert ours.shape == due.shape
    assert np.linalg.norm(ours - due) <= 1e-4 * np.linalg.norm(due)


def spoil(x, column, what):
    """Make a column constant or put into it what is no number; "" leaves it."""
    if what == "still":
        x[:, column] = 777.7
    elif what:
        x[0 if what == "nan" else slice(3, 6), column] = np.nan if what == "nan" else np.inf


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kind", OPS)
@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32 - 1),
    frames=st.sampled_from([12, 50]),
    absent=st.lists(st.sampled_from(["", "still", "nan", "inf"]), min_size=6, max_size=6),
)
def test_absent_parcels_are_as_if_they_had_not_been_there(kind, estimator, seed, frames, absent):
    absent = ["", *absent, ""]
    x = series(seed, frames, len(absent))
    for column, what in enumerate(absent):
        spoil(x, column, what)
    there = np.array([not what for what in absent])
    ours = np.asarray(OPS[kind](x, estimator=estimator))
    agree(ours[there][:, there], oracle(kind, estimator, x[:, there]))
    assert np.isnan(ours[~there]).all()
    assert np.isnan(ours[:, ~there]).all()


@pytest.mark.parametrize("kind", OPS)
@pytest.mark.parametrize("parcels", [40, 120])
def test_more_parcels_than_frames_are_shrunk(kind, parcels):
    x = series(3, 40, parcels)
    agree(OPS[kind](x, estimator="ledoit_wolf"), oracle(kind, "ledoit_wolf", x))


def test_an_inverse_that_is_nearly_none_keeps_its_digits():
    """Of 101 frames and 100 parcels, the smallest eigenvalue is a millionth of the largest."""
    x = series(4, 101, 100)
    due = oracle("partial correlation", "empirical", x)
    agree(partial_correlation(x, estimator="empirical"), due)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("unit", [1e-13, 1e5])
def test_no_unit_is_too_small_or_too_large(unit, estimator):
    x = series(5, 30, 6, baseline=0.0)
    for kind, op in OPS.items():
        due = oracle(kind, estimator, x) * (unit**2 if kind == "covariance" else 1)
        agree(op((x * unit).astype("f4"), estimator=estimator), due)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_one_parcel_one_frame_and_none_that_changes(estimator):
    x = series(6, 30, 3)
    variance = x[:, :1].astype("f8").var()
    np.testing.assert_allclose(covariance(x[:, :1], estimator=estimator), [[variance]], rtol=1e-5)
    for op in (correlation, partial_correlation):
        np.testing.assert_array_equal(op(x[:, :1], estimator=estimator), [[1.0]])
    for op in OPS.values():
        assert np.isnan(op(x[:1], estimator=estimator)).all()
        assert np.isnan(op(np.full_like(x, 3.3), estimator=estimator)).all()


def test_whole_numbers_without_a_sign_have_differences_too():
    x = np.random.default_rng(0).integers(0, 255, (30, 4)).astype("u1")
    np.testing.assert_allclose(correlation(x), np.corrcoef(x.T), atol=1e-5)


def test_parcels_that_add_up_to_another_have_no_partial_correlation():
    x = series(7, 60, 5)
    x = np.column_stack([x, x[:, 0] + x[:, 1]])
    assert np.isnan(partial_correlation(x, estimator="empirical")).all()
    agree(partial_correlation(x), oracle("partial correlation", "ledoit_wolf", x))


def test_too_few_frames_for_an_inverse_are_named(study):
    row = study.run("01", frames=40)
    voxels = et.volume("bold", mask="mask")
    with pytest.raises(et.RecordError, match=r"over 40 frames has no inverse.*'ledoit_wolf'") as e:
        study.compute(voxels.partial_correlation("empirical"))
    assert row["bold"] in str(e.value)
    assert np.isfinite(study.compute(voxels.partial_correlation())[0]).all()


@pytest.mark.parametrize("op", ["covariance", "correlation", "partial_correlation"])
def test_an_unknown_estimator_is_refused_where_it_is_written(op):
    with pytest.raises(et.RecipeError, match=r"no estimator 'lw'.*only empirical, ledoit_wolf"):
        et.volume("bold", mask="mask").apply(op, "lw")


# Edges


def test_fishers_z_of_a_matrix_is_that_of_correlation():
    x = series(8, 40, 5)
    x[:, 3] = 1.0
    x[:, 4] = x[:, 0]  # alike to the last digit
    due = np.asarray(correlation(x, fisher_z=True))
    np.testing.assert_array_equal(fisher_z(np.asarray(correlation(x))), due)
    assert due[0, 4] == pytest.approx(8.66, abs=0.01)
    stack = np.stack([correlation(x)] * 3)
    np.testing.assert_array_equal(fisher_z(stack), np.stack([due] * 3))


def test_fishers_z_of_edges_has_no_diagonal():
    r = np.array([0.5, 1.0, -1.0, 1.000001, np.nan, 1.5, -300.0], "f4")
    ours = np.asarray(fisher_z(r))
    np.testing.assert_allclose(ours[:2], [np.arctanh(0.5), 8.66434], rtol=1e-5)
    assert ours[2] == -ours[1] == -ours[3]
    assert np.isnan(ours[4:]).all()


@pytest.fixture
def fc(study):
    study.run("01")
    atlas = str(study.atlas(labels=(2, 3, 5, 8)))  # nothing of 8 is in the brain
    return et.volume("bold", mask="mask").parcellate(atlas).correlation()


@pytest.mark.parametrize("diagonal", [False, True])
def test_edges_are_named_by_the_parcels_that_they_join(study, fc, diagonal):
    table = et.transform(study.records, fc=fc, edges=fc.vectorise(diagonal=diagonal))
    archive = table.entense.write(study.root.parent / "out")
    matrix, edges = archive[0]["fc"], archive[0]["edges"]
    kind = archive.schema["edges"]
    assert (kind.dims, kind.shape, kind.mask) == (("edge",), edges.shape, None)
    parcels = archive.schema["fc"].coords["parcel"]
    for label, value in zip(kind.coords["edge"], edges, strict=True):
        a, b = (parcels.index(int(part)) for part in label.split("-"))
        assert a < b or (diagonal and a == b)
        np.testing.assert_array_equal(value, matrix[a, b])
    assert len(set(kind.coords["edge"])) == edges.size == (10 if diagonal else 6)


def test_edges_of_a_stack(study, fc):
    study.run("01", run="2")
    table = study.records.entense.pivot("subject").entense.transform(
        matrix=fc.stack(), edges=fc.stack().fisher_z().vectorise(), means=fc.vectorise().mean()
    )
    made = {name: et.to_numpy(series)[0] for name, series in made_of(table).items()}
    lower = np.tril_indices(4, -1)
    due = np.asarray(vectorise(made["matrix"]))
    np.testing.assert_array_equal(due, made["matrix"][:, lower[0], lower[1]])
    np.testing.assert_allclose(made["edges"], np.arctanh(due), rtol=1e-5)
    np.testing.assert_allclose(made["means"], due.mean(axis=0), rtol=1e-5)


def made_of(table):
    frame = et.collect(table)
    return {name: frame[name] for name in ("matrix", "edges", "means")}


@pytest.mark.parametrize("op", ["vectorise", "fisher_z"])
def test_what_is_no_connectome_is_refused(study, op):
    study.run("01")
    with pytest.raises(et.RecipeError, match=f"{op} takes a connectome.*'time', 'voxel'"):
        study.compute(et.volume("bold", mask="mask").apply(op))


# The same bytes

HASH = """
import hashlib, sys
import jax, numpy as np
from entense.ops.connectome import correlation, covariance, partial_correlation
rng = np.random.default_rng(0)
for shape in ((1200, 100), (90, 120)):
    x = rng.normal(size=shape).astype("f4")
    for op in (correlation, covariance, partial_correlation):
        made = jax.jit(lambda x: op(x, estimator="ledoit_wolf"))(x)
        print(hashlib.sha256(np.asarray(made).tobytes()).hexdigest())
"""


def test_bits_do_not_depend_on_the_number_of_threads():
    """NPROC is how many XLA's pool has; that of LAPACK is 1 wherever a plan runs."""
    said = [
        subprocess.run(
            [sys.executable, "-c", HASH],
            env=os.environ | {"NPROC": threads, "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "16")
    ]
    assert said[0].count("\n") == 6
    assert said[0] == said[1]


def test_a_jitted_op_is_the_op():
    x = series(9, 50, 7)
    for op in OPS.values():
        np.testing.assert_allclose(jax.jit(op)(x), op(x), rtol=1e-4)
