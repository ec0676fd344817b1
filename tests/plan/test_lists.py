"""Lists, windows and parameters from cells: optimised or not, and how much is done for them."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import entense as et
from entense.execute import compute
from entense.execute.serial import run
from entense.plan.fuse import How, compile_program
from entense.plan.jit import function_for
from entense.plan.optimize import RULES
from entense.plan.survey import look, survey

BOLD = et.volume("bold", mask="mask")
TR, FRAMES, RUNS = 1.5, (50, 44, 50), ("1", "2", "3")


@pytest.fixture(scope="module")
def hard(tmp_path_factory, new_study):
    """Three runs with constant, NaN and infinite voxels, in one row, and an atlas (path)."""
    study = new_study(tmp_path_factory.mktemp("lists"))
    for number, frames in enumerate(FRAMES):
        noise = np.random.default_rng(number).normal(size=(*study.shape, frames)).cumsum(axis=3)
        data = (10_000 + 50 * noise).astype("f4")
        where = [tuple(place) for place in np.argwhere(study.inside)[[30, 60, 90 + number]]]
        data[where[0]] = 777.7
        data[(*where[1], 5)] = np.nan
        data[(*where[2], 0)] = np.inf
        study.run("01", run=RUNS[number], data=data, tr=TR)
    study.rows = [row | {"hp": h, "at": a} for row, h, a in zip(
        study.rows, (0.02, None, 0.04), (3.0, 12.0, 7.4), strict=True
    )]  # fmt: skip
    return study, str(study.atlas())


FILTERS = st.sampled_from(
    [
        ("detrend", {}),
        ("bandpass", {"low_pass": 0.2}),
        ("bandpass", {"low_pass": 0.2, "high_pass": pl.col("hp")}),
        ("denoise", {"confounds": "confounds", "model": "6P"}),
        ("denoise", {"confounds": "confounds", "model": ["csf"], "high_pass": pl.col("hp")}),
        ("zscore", {}),
    ]
)
WINDOWS = st.sampled_from(
    [
        ("window", {"start": "at", "seconds": 30.0}),
        ("window", {"start": pl.col("at") + 2, "seconds": 33.0}),
        ("window", {"start": 0.0, "seconds": 30.0}),
    ]
)
AFTER = st.sampled_from([("detrend", {}), ("zscore", {}), ("bandpass", {"low_pass": 0.2})])


@st.composite
def chains(draw):
    """Draw steps on each run, perhaps a window of each, a gather, and steps on what it gives."""
    steps = draw(st.lists(FILTERS, max_size=2))
    gather = draw(st.sampled_from(["concat", "stack", "mean"]))
    cut = gather != "concat" or draw(st.booleans())  # the others take runs of one length
    steps += [draw(WINDOWS)] if cut else []
    parcels = draw(st.sampled_from(["before", "after", "never"]))
    if parcels == "before":
        steps += [("parcellate", {}), *draw(st.lists(AFTER, max_size=1))]
    steps.append((gather, {}))
    if gather != "stack":
        steps += draw(st.lists(AFTER, max_size=1))
        if parcels == "after":
            steps += [("parcellate", {}), *draw(st.lists(AFTER, max_size=1))]
        if parcels != "never" and draw(st.booleans()):
            steps.append(("correlation", {}))
    return steps


def tensor(steps, atlas):
    made = BOLD
    for name, params in steps:
        made = made.apply(name, *([atlas] if name == "parcellate" else []), **params)
    return made


def outcomes(known, rules=RULES):
    """Compute the only row, and return its arrays and counts."""
    (outcome,) = run(replace(known, how=How(rules)), [0])
    assert outcome.error is None, outcome.error
    return {name: array.copy() for name, array in outcome.arrays.items()}, outcome.counts


def unfiltered(counts):
    return [{k: v for k, v in c.items() if k != "freedom"} for c in counts.values()]


def same(one, other):
    """Assert that arrays agree in what is finite, and in what is NaN."""
    arrays, counts = one
    others, other_counts = other
    assert unfiltered(counts) == unfiltered(other_counts)
    for name, array in arrays.items():
        b = others[name]
        np.testing.assert_array_equal(np.isfinite(array), np.isfinite(b))
        good = np.isfinite(b)
        scale = max(np.linalg.norm(b[good]), 1e-6)
        assert np.linalg.norm(array[good] - b[good]) / scale <= 2e-4


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(chains(), chains())
def test_optimised_is_what_was_asked_for(hard, first, second):
    study, atlas = hard
    table = study.records.entense.pivot("subject").entense.transform(
        a=tensor(first, atlas), b=tensor(second, atlas), c=tensor(first, atlas).astype("float32")
    )
    known = survey(table)
    same(outcomes(known), outcomes(known, ()))


LONG = [
    ("denoise", {"confounds": "confounds", "model": "6P", "high_pass": pl.col("hp")}),
    ("window", {"start": "at", "seconds": 30.0}),
]
CHAINS = {
    "runs alone": [("concat", {})],
    "windows": [("window", {"start": "at", "seconds": 30.0}), ("stack", {})],
    "cleaned windows": [*LONG, ("mean", {})],
    "parcels of windows": [*LONG, ("parcellate", {}), ("concat", {})],
    "parcels alone": [("parcellate", {}), ("concat", {})],
    "z-scores": [("zscore", {}), ("concat", {}), ("detrend", {})],
    "connectome": [("zscore", {}), ("concat", {}), ("parcellate", {}), ("correlation", {})],
    "connectomes": [("parcellate", {}), ("correlation", {}), ("mean", {})],
}


@pytest.mark.parametrize("off", RULES, ids=[rule.name for rule in RULES])
def test_each_rule_can_be_switched_off(hard, off):
    study, atlas = hard
    table = study.records.entense.pivot("subject").entense.transform(
        **{name: tensor(steps, atlas) for name, steps in CHAINS.items()}
    )
    known = survey(table)
    same(outcomes(known), outcomes(known, tuple(rule for rule in RULES if rule is not off)))


@pytest.mark.parametrize("steps", CHAINS.values(), ids=CHAINS)
def test_each_chain_is_the_same_alone_and_beside_others(hard, steps):
    study, atlas = hard
    table = study.records.entense.pivot("subject")
    beside = table.entense.transform(
        a=tensor(steps, atlas), **{name: tensor(more, atlas) for name, more in CHAINS.items()}
    )
    arrays, counts = outcomes(survey(beside))
    alone = outcomes(survey(table.entense.transform(a=tensor(steps, atlas))), ())
    same(({"a": arrays["a"]}, {"a": counts["a"]}), alone)


def test_each_file_is_decoded_once_whatever_number_of_tensors_use_it(hard, decodes):
    study, atlas = hard
    table = study.records.entense.pivot("subject").entense.transform(
        **{name: tensor(steps, atlas) for name, steps in CHAINS.items()}
    )
    table.entense.collect()
    assert sorted(decodes) == [row["bold"] for row in study.rows]


def test_a_file_that_is_in_a_list_many_times_is_decoded_once(hard, decodes):
    """Twenty trials of a run, gathered by run."""
    study, _ = hard
    onsets = [float(onset) for onset in range(20)]
    trials = study.records.head(1).with_columns(onset=pl.lit(onsets)).explode("onset")
    table = trials.entense.pivot(["subject", "run"])
    table = table.entense.transform(x=BOLD.zscore().window("onset", seconds=9).stack())
    df = table.entense.collect()
    assert decodes == [study.rows[0]["bold"]]
    (whole,) = et.to_numpy(
        study.records.head(1).entense.transform(x=BOLD.zscore()).entense.collect()["x"]
    )
    begins = [int(onset / TR + 0.5) for onset in onsets]
    np.testing.assert_allclose(
        et.to_numpy(df["x"])[0], np.stack([whole[b : b + 6] for b in begins]), rtol=1e-5, atol=1e-5
    )


# Compilations


@pytest.fixture
def compiled(monkeypatch):
    """Count how often a function is compiled: `compiled(known)`."""
    sizes = {}  # function to what it was compiled for before, by whichever test

    def remember(*args):
        function = function_for(*args)
        sizes.setdefault(function, function._cache_size())
        return function

    monkeypatch.setattr(compute, "function_for", remember)

    def count(known):
        sizes.clear()
        function_for.cache_clear()  # what other tests have compiled
        assert all(outcome.error is None for outcome in run(known, range(len(known.rows))))
        return sum(function._cache_size() - size for function, size in sizes.items())

    return count


def programs(known):
    return len({compile_program(row.bound.roots, look(row.bound))[0] for row in known.rows})


def test_lists_of_one_form_compile_once(study, compiled):
    for subject in ("01", "02", "03"):
        for run_, frames in (("1", 41), ("2", 43)):
            study.run(subject, run=run_, frames=frames, tr=1.7)
    brain = str(study.image("brain.nii.gz", study.inside.astype("u1")))
    table = study.records.entense.pivot("subject")
    shorter = table.with_columns(pl.col("bold", "bold_tr").list.head(1))
    for mask in (brain, "mask"):  # masks that are alike have the same columns
        tensor = et.volume("bold", mask=mask).detrend().zscore().concat()
        known = survey(table.entense.transform(x=tensor))
        assert programs(known) == 1
        assert compiled(known) == 1
    known = survey(pl.concat([table, shorter]).entense.transform(
        x=et.volume("bold", mask=brain).detrend().zscore().concat()
    ))  # fmt: skip
    assert programs(known) == 2
    assert compiled(known) == 2


def test_windows_compile_once_wherever_they_are(study, compiled):
    study.run("01", frames=60, tr=2.0)
    # one begins at 2.0 s, which is the repetition time as well
    onsets = pl.DataFrame({"subject": "01", "trial": range(20)}).with_columns(
        onset=pl.col("trial") * 2.0
    )
    trials = study.records.join(onsets, on="subject")
    known = survey(trials.entense.transform(x=BOLD.zscore().window("onset", seconds=11)))
    assert len(known.rows) == 20
    assert len({row.bound.roots for row in known.rows}) == 1
    assert compiled(known) == 1


def test_a_parameter_of_a_filter_compiles_nothing(study, compiled):
    for subject in ("01", "02", "03", "04"):
        study.run(subject, frames=45, tr=1.9)
    table = study.records.with_columns(hp=pl.Series([0.01, 0.02, 0.01, 0.02]))
    known = survey(table.entense.transform(x=BOLD.bandpass(high_pass=pl.col("hp")).zscore()))
    assert programs(known) == 2
    assert compiled(known) == 1


def test_equal_numbers_for_one_use_are_one(study):
    """Two tensors of a file with one TR share it; two windows that begin together are one."""
    study.run("01", frames=60)
    table = study.records.with_columns(a=4.0, b=4.0)
    table = table.entense.transform(
        x=BOLD.window("a", seconds=10),
        y=BOLD.window("b", seconds=10),
        z=BOLD.window(6.0, seconds=10),
    )
    bound = survey(table).rows[0].bound
    assert bound.roots[0] is bound.roots[1]
    assert bound.roots[2].inputs[0] is bound.roots[0].inputs[0]


def test_explain_shows_lists(hard):
    study, atlas = hard
    table = study.records.entense.pivot("subject").entense.transform(
        x=tensor(CHAINS["connectome"], atlas), y=tensor(LONG, atlas).mean()
    )
    text = table.entense.explain()
    assert "volume → zscore → concat → parcellate → correlation(estimator=" in text
    assert "denoise(detrend=True, fill=spline, filter=butterworth, model=6P, high_pass=…)" in text
    assert "high_pass=…) → window(seconds=30.0) → mean" in text
    assert "share: equal steps" in text
    assert text.count("decode    disk and cpu") == 3
    assert "concat -> parcellate" in text
