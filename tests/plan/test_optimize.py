"""The optimiser changes how much is done, and never what comes out."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import entense as et
from entense.execute.serial import run
from entense.ops import ops
from entense.ops.core import Kind
from entense.plan.fuse import How
from entense.plan.optimize import RULES
from entense.plan.survey import survey

TR, FRAMES, LIMIT = 2.0, 90, 0.45  # seconds; frames; mm of motion above which a frame is censored
SPOILT = [90, 160, 230, 299]  # columns: constant, with a NaN, with infinities
WITHOUT = {rule.name: How(tuple(r for r in RULES if r is not rule)) for rule in RULES}
WAYS = {"no rule": How(()), "no rule, unfused": How((), "none"), "unfused": How(fusion="none")}
WAYS |= WITHOUT


@pytest.fixture(scope="module")
def crowded(tmp_path_factory, new_study):
    """A run with constant, NaN and infinite voxels, and the paths that steps on it take."""
    study = new_study(tmp_path_factory.mktemp("crowded"), shape=(8, 8, 6))
    noise = np.random.default_rng(3).normal(size=(*study.shape, FRAMES)).cumsum(axis=3)
    data = (10_000 + 50 * noise).astype("f4")
    still, nan, inf, later = (tuple(one) for one in np.argwhere(study.inside)[SPOILT])
    data[still], data[(*nan, 5)], data[(*inf, 0)], data[(*later, 40)] = (
        777.7,
        np.nan,
        np.inf,
        -np.inf,
    )
    study.run("01", data=data, tr=TR)
    middle = study.inside & (np.indices(study.shape)[2] > 0)
    mask = study.image("middle.nii.gz", middle.astype("u1"))
    far = np.array([[4.0, 0, 0, -5], [0, 4, 0, -7], [0, 0, 4, -3], [0, 0, 0, 1]])
    coarse = study.image("coarse.nii.gz", np.ones((4, 4, 4), "u1"), affine=far)
    labels = study.atlas(labels=(2, 3, 5, 8, 9, 11))
    return study, {"atlas": str(labels), "mask": str(mask), "to": str(coarse)}


class Step(NamedTuple):
    """A step of a chain: what a chain must have for it, and has no longer after it.

    A chain has the frames of one ``run``, an ``even`` row of them, ``many``; their ``level``;
    voxels on the study's own ``grid``, or on any (``voxels``), or ``parcels``; (``time``, …);
    ``values``, as whole numbers in steps are not.
    """

    op: str
    params: dict
    needs: str = ""
    ends: str = ""
    file: str | None = None


SERIES, TABLE = "time values ", "time values run many "
IN_TIME = [
    Step("detrend", {}, SERIES, "level"),
    Step("detrend", {"order": 2}, SERIES, "level"),
    Step("bandpass", {"low_pass": 0.2}, SERIES + "even many"),
    Step("bandpass", {"high_pass": 0.01, "low_pass": 0.2}, SERIES + "even many", "level"),
    Step("denoise", {"model": "6P"}, TABLE, "level"),
    Step("denoise", {"model": "9P", "high_pass": 0.01}, TABLE, "level"),
    Step("denoise", {"model": "9P", "high_pass": 0.01, "fd": LIMIT}, TABLE, "level even"),
    Step("denoise", {"model": ["csf"], "detrend": False, "fd": LIMIT}, TABLE, "level even"),
    Step("regress", {"model": "6P", "fd": LIMIT}, TABLE, "level"),
    Step("regress", {"model": ["csf"], "ridge": 1.0, "intercept": False}, TABLE),
    Step("censor", {"fd": LIMIT}, TABLE, "even"),
    Step("interpolate", {"fd": LIMIT}, TABLE),
    Step("interpolate", {"fd": LIMIT, "method": "spline"}, TABLE),
    Step("drop_dummies", {"count": 3}, TABLE),
    Step("window", {"start": 20.0, "seconds": 60.0}, TABLE + "even", "many"),  # of whole runs
    Step("resample_tr", {"tr": 3.0}, SERIES, "run many even"),
    Step("resample_tr", {"tr": 1.3, "method": "spline"}, SERIES, "run"),
]
BY_COLUMN = [
    Step("despike", {}, SERIES + "even many"),
    Step("zscore", {}, SERIES, "level"),
    Step("psc", {}, SERIES + "level", "level"),
    Step("robust_scale", {}, SERIES, "level"),
    Step("fill_nan", {}, SERIES),
    Step("fill_nan", {"value": "mean"}, SERIES),
]
IN_SPACE = [
    Step("smooth", {"fwhm": 1.0}, SERIES + "voxels"),
    Step("mask", {}, SERIES + "grid", "", "mask"),
    Step("crop", {"shape": [6, 6, 5]}, SERIES + "grid", "grid"),
    Step("pad", {"shape": [9, 9, 9]}, SERIES + "voxels", "grid"),
    Step("downsample", {"factor": 2}, SERIES + "voxels", "grid"),
    Step("resample", {"voxel_size": 2.5}, SERIES + "grid", "grid"),
    Step("resample", {"method": "nearest"}, SERIES + "grid", "grid", "to"),
    Step("resample", {}, SERIES + "grid", "grid", "to"),
]
PARCELS = [
    Step("parcellate", {}, SERIES + "grid", "grid voxels", "atlas"),
    Step("parcel_median", {}, SERIES + "grid", "grid voxels", "atlas"),
]
AT_THE_END = [
    Step("tsnr", {}, SERIES + "level", "time values"),
    Step("missing", {}, "values", "values"),
    Step("grid", {}, SERIES + "voxels", "time values"),
    Step("astype", {"dtype": "float16"}, SERIES, "values"),
    Step("astype", {"dtype": "int16", "scale": 0.5}, SERIES, "values"),
    Step("mean_fd", {}, TABLE, "time values"),
    Step("kept_frames", {}, SERIES + "run", "time values"),
]
CONNECTOMES = [
    Step("covariance", {}, SERIES + "parcels", "time values"),
    Step("correlation", {"fisher_z": True}, SERIES + "parcels", "time values"),
    Step("correlation", {"estimator": "ledoit_wolf"}, SERIES + "parcels", "time values"),
    Step("partial_correlation", {}, SERIES + "parcels", "time values"),
]
STEPS = [*IN_TIME, *BY_COLUMN, *IN_SPACE, *PARCELS, *AT_THE_END, *CONNECTOMES]
BEGINS = {"run", "even", "many", "level", "grid", "voxels", "time", "values"}
NEVER = {"concat", "stack", "mean"}  # of lists: test_lists; and what only takes what others gave
NEVER |= {"fisher_z", "vectorise"}


def test_every_op_is_among_the_steps():
    known = {name for name in ops if ops[name].kind not in (Kind.SOURCE, Kind.TABLE)}
    ours = {name for name in known if ops[name].function.__module__.startswith("entense")}
    assert ours == {step.op for step in STEPS} | NEVER


def admitted(steps):
    """Return the steps, less those that what was there before does not admit."""
    has, chain = set(BEGINS), []
    for step in steps:
        if has.issuperset(step.needs.split()):
            chain.append(step)
            has -= set(step.ends.split())
            has |= {"parcels"} if step in PARCELS else set()
    return chain


@st.composite
def chains(draw):
    """Draw steps in time, in space and on columns, in any order; perhaps parcels; and an end."""
    steps = draw(st.lists(st.sampled_from([*IN_TIME, *BY_COLUMN, *IN_SPACE]), max_size=5))
    if draw(st.booleans()):
        steps += [draw(st.sampled_from(PARCELS))]
        steps += draw(st.lists(st.sampled_from([*IN_TIME, *BY_COLUMN]), max_size=2))
    return admitted([*steps, draw(st.sampled_from([*AT_THE_END, *CONNECTOMES, *CONNECTOMES]))])


def tensor(steps, files):
    made = et.volume("bold", mask="mask")
    for step in steps:
        tables = [value for value in ops[step.op].reads.values() if value == "regressors"]
        taken = ["confounds"] if tables and step.op != "drop_dummies" else []
        taken += [files[step.file]] if step.file else []
        made = made.apply(step.op, *taken, **step.params)
    return made


def outcomes(known, how=None):
    """Compute the only row, and return its arrays and counts."""
    (outcome,) = run(replace(known, how=how or How()), [0])
    assert outcome.error is None, outcome.error
    return {name: array.copy() for name, array in outcome.arrays.items()}, outcome.counts


def unfiltered(counts):
    return {name: count for name, count in counts.items() if name != "freedom"}


def same(one, other):
    """Assert that arrays agree in what is finite, and in what is NaN."""
    arrays, counts = one
    others, other_counts = other
    # of filters that are not composed the freedom is counted one by one
    assert {name: unfiltered(c) for name, c in counts.items()} == {
        name: unfiltered(c) for name, c in other_counts.items()
    }
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype
        a, b = array.astype("f8"), others[name].astype("f8")
        np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))
        good = np.isfinite(b)
        scale = max(np.linalg.norm(b[good]), 1e-6)
        assert np.linalg.norm(a[good] - b[good]) / scale <= 2e-4, name


@pytest.mark.slow
@settings(max_examples=20, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(chains(), chains(), st.sampled_from(sorted(WAYS)))
def test_optimised_is_what_was_asked_for(crowded, first, second, way):
    study, files = crowded
    table = study.records.entense.transform(a=tensor(first, files), b=tensor(second, files))
    known = survey(table)
    assert known.errors == [None]
    made = outcomes(known)
    same(made, outcomes(known, How(())))
    same(made, outcomes(known, WAYS[way]))


LONG = [
    Step("detrend", {}),
    Step("bandpass", {"low_pass": 0.2}),
    Step("denoise", {"model": "9P", "high_pass": 0.01}),
]
MEANS = Step("parcellate", {}, file="atlas")
AVERAGED = [*LONG, MEANS]
CHAINS = {
    "filters": LONG,
    "cleaned": [*LONG, Step("zscore", {})],
    "parcels": AVERAGED,
    "filtered parcels": [MEANS, *LONG],
    "parcels alone": [MEANS],
    "parcels of z-scores": [*LONG, Step("zscore", {}), MEANS],
    "connectome of parcels": [*AVERAGED, Step("correlation", {})],
    "voxels alone": [],
    "censored": [*LONG, Step("censor", {"fd": LIMIT}), Step("resample_tr", {"tr": 3.0})],
    "masked": [*LONG, Step("mask", {}, file="mask"), Step("zscore", {})],
    "medians of filtered": [*LONG, Step("parcel_median", {}, file="atlas")],
    "coarse": [*LONG, Step("resample", {}, file="to"), Step("detrend", {})],
    "smooth": [Step("smooth", {"fwhm": 1.0}), *LONG, Step("downsample", {"factor": 2})],
}


def beside_each_other(crowded, **more):
    study, files = crowded
    made = {name: tensor(steps, files) for name, steps in CHAINS.items()}
    return study.records.entense.transform(**more, **made)


@pytest.fixture(scope="module")
def all_of_them(crowded):
    """What is known of all chains, and what they come to without a rule."""
    known = survey(beside_each_other(crowded))
    return known, outcomes(known, How(()))


@pytest.mark.parametrize("way", [How(), *WAYS.values()], ids=["as it is", *WAYS])
def test_each_rule_can_be_switched_off(all_of_them, way):
    known, due = all_of_them
    same(outcomes(known, way), due)


@pytest.mark.parametrize("name", CHAINS)
def test_each_chain_is_the_same_alone_and_beside_others(crowded, all_of_them, name):
    study, files = crowded
    alone = survey(study.records.entense.transform(**{name: tensor(CHAINS[name], files)}))
    arrays, counts = all_of_them[1]
    same(outcomes(alone), ({name: arrays[name]}, {name: counts[name]}))


def test_what_is_counted(crowded, all_of_them):
    study, _ = crowded
    counts = all_of_them[1][1]
    share = round(1 - 4 / study.inside.sum(), 4)
    assert counts["voxels alone"] == {"constant": 1, "nonfinite": 3, "coverage": [share]}
    assert unfiltered(counts["cleaned"]) == counts["voxels alone"]
    parcels = [name for name in CHAINS if "parcel" in name or "median" in name]
    assert {counts[name]["absent"] for name in parcels} == {1}
    # of what was masked, or interpolated, the new columns are counted
    high = [place[2] > 0 for place in np.argwhere(study.inside)[SPOILT]]
    assert 0 < sum(high) < 4
    assert counts["masked"]["constant"] == high[0]
    assert counts["masked"]["nonfinite"] == sum(high[1:])
    assert counts["coarse"]["constant"] == 0
    assert counts["coarse"]["nonfinite"] > 0
