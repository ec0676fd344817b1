"""The optimiser changes how much is done, and never what comes out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import entense as et
from entense.execute.serial import run
from entense.plan.fuse import How
from entense.plan.optimize import RULES
from entense.plan.survey import survey

FILTERS = st.sampled_from(
    [
        ("detrend", {}),
        ("bandpass", {"high_pass": 0.02}),
        ("bandpass", {"low_pass": 0.2}),
        ("bandpass", {"high_pass": 0.01, "low_pass": 0.2}),
        ("denoise", {"confounds": "confounds", "model": "6P"}),
        ("denoise", {"confounds": "confounds", "model": "9P", "high_pass": 0.01}),
        ("denoise", {"confounds": "confounds", "model": ["csf"], "detrend": False}),
        ("zscore", {}),
    ]
)


@st.composite
def chains(draw):
    """Draw some steps on voxels, perhaps parcels and steps on those, perhaps a connectome."""
    steps = draw(st.lists(FILTERS, max_size=3))
    if draw(st.booleans()):
        steps += [("parcellate", {}), *draw(st.lists(FILTERS, max_size=2))]
        if draw(st.booleans()):
            steps.append(("correlation", {"fisher_z": draw(st.booleans())}))
    if draw(st.booleans()):
        steps.append(("astype", {"dtype": "float32"}))
    return steps


def tensor(steps, atlas, start=None):
    made = start or et.volume("bold", mask="mask")
    for name, params in steps:
        made = made.apply(name, *([atlas] if name == "parcellate" else []), **params)
    return made


def outcomes(known, rules=RULES):
    """Compute the only row, and return its arrays and counts."""
    (outcome,) = run(known, [0], how=How(rules))
    assert outcome.error is None
    return {name: array.copy() for name, array in outcome.arrays.items()}, outcome.counts


def unfiltered(counts):
    return {name: count for name, count in counts.items() if name != "freedom"}


def same(one, other):
    """Assert that arrays agree in what is finite, and in what is NaN."""
    arrays, counts = one
    others, other_counts = other
    # of filters that are not composed the freedom is counted one by one
    assert [unfiltered(c) for c in counts.values()] == [
        unfiltered(c) for c in other_counts.values()
    ]
    for name, array in arrays.items():
        b = others[name]
        np.testing.assert_array_equal(np.isfinite(array), np.isfinite(b))
        good = np.isfinite(b)
        scale = max(np.linalg.norm(b[good]), 1e-6)
        assert np.linalg.norm(array[good] - b[good]) / scale <= 2e-4


@settings(max_examples=12)
@given(chains(), chains())
def test_optimised_is_what_was_asked_for(hard, first, second):
    study, atlas = hard
    table = study.records.entense.transform(
        a=tensor(first, atlas), b=tensor(second, atlas), c=tensor(first, atlas).astype("float32")
    )
    known = survey(table)
    same(outcomes(known), outcomes(known, ()))


LONG = [
    ("detrend", {}),
    ("bandpass", {"low_pass": 0.2}),
    ("denoise", {"confounds": "confounds", "model": "9P", "high_pass": 0.01}),
]
PARCELS = [*LONG, ("parcellate", {})]
CHAINS = {
    "filters": LONG,
    "cleaned": [*LONG, ("zscore", {})],
    "parcels": PARCELS,
    "filtered parcels": [("parcellate", {}), *LONG],
    "parcels alone": [("parcellate", {})],
    "parcels of z-scores": [*LONG, ("zscore", {}), ("parcellate", {})],
    "connectome": [*PARCELS, ("correlation", {})],
    "voxels alone": [],
}


@pytest.mark.parametrize("off", RULES, ids=[rule.name for rule in RULES])
def test_each_rule_can_be_switched_off(hard, off):
    study, atlas = hard
    table = study.records.entense.transform(
        **{name: tensor(steps, atlas) for name, steps in CHAINS.items()}
    )
    known = survey(table)
    same(outcomes(known), outcomes(known, tuple(rule for rule in RULES if rule is not off)))


@pytest.mark.parametrize("steps", CHAINS.values(), ids=CHAINS)
def test_each_chain_is_the_same_alone_and_beside_others(hard, steps):
    study, atlas = hard
    alone = survey(study.records.entense.transform(a=tensor(steps, atlas)))
    beside = study.records.entense.transform(
        a=tensor(steps, atlas), **{name: tensor(more, atlas) for name, more in CHAINS.items()}
    )
    arrays, counts = outcomes(survey(beside))
    same(({"a": arrays["a"]}, {"a": counts["a"]}), outcomes(alone, ()))


def test_what_is_counted(hard):
    study, atlas = hard
    table = study.records.entense.transform(
        **{name: tensor(steps, atlas) for name, steps in CHAINS.items()}
    )
    _, counts = outcomes(survey(table))
    share = round(1 - 3 / study.inside.sum(), 4)
    assert counts["voxels alone"] == {"constant": 1, "nonfinite": 2, "coverage": [share]}
    assert unfiltered(counts["cleaned"]) == counts["voxels alone"]
    assert {counts[name]["absent"] for name in CHAINS if "parcel" in name} == {1}
    assert counts["connectome"]["absent"] == 1
