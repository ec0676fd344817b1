"""Ways of fusing of one's own, rules that are left out, and what an archive keeps of both."""

import numpy as np
import pytest

import entense as et
from entense.execute.serial import run
from entense.plan.fuse import How, compile_program, fusions, greedy, register_fusion
from entense.plan.optimize import RULES
from entense.plan.survey import look, survey

BOLD = et.volume("bold", mask="mask")


@pytest.fixture
def fusion(monkeypatch):
    """Register a fusion for one test: ``fusion(function)`` returns its name."""
    monkeypatch.setattr(fusions, "_things", dict(fusions._things))

    def register(function):
        name = function.__name__.strip("_").replace("_", "-")
        register_fusion(name, function)
        return name

    return register


@pytest.fixture
def table(study):
    study.run("01")
    clean = BOLD.detrend().zscore()
    parcels = clean.parcellate(str(study.atlas()))
    return study.records.entense.transform(clean=clean, fc=parcels.correlation())


def stages(known, how):
    program, _ = compile_program(known.rows[0].bound.roots, look(known.rows[0].bound), how)
    return [[node.op for node in stage.nodes] for stage in program.stages]


def in_twos(steps, room):
    """Cut the groups of greedy into pieces of two."""
    return [g[i : i + 2] for g in greedy(steps, room) for i in range(0, len(g), 2)]


def test_a_fusion_of_ones_own_is_used_and_changes_nothing(table, fusion):
    name = fusion(in_twos)
    known = survey(table)
    assert stages(known, How()) == [["apply", "zscore", "parcellate"], ["correlation"]]
    assert stages(known, How(fusion=name)) == [["apply", "zscore"], ["parcellate"], ["correlation"]]
    assert stages(known, How(fusion="none")) == [
        ["apply"], ["zscore"], ["parcellate"], ["correlation"]
    ]  # fmt: skip
    due = table.entense.collect()
    for other in (name, "none"):
        made = table.entense.collect(fusion=other)
        for tensor in ("clean", "fc"):
            a, b = et.to_numpy(made[tensor])[0], et.to_numpy(due[tensor])[0]
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    assert "3. columns   device, jit    apply -> zscore [clean]" in table.entense.explain(
        fusion=name
    )


def loses_a_step(steps, room):
    return greedy(steps, room)[:-1]


def does_a_step_twice(steps, room):
    return [*greedy(steps, room), [steps[-1]]]


def mixes_cuts(steps, room):
    return [list(steps)]


def breaks_the_order(steps, room):
    return [[step] for step in reversed(steps)]


def takes_a_pool_before_it_is_complete(steps, room):
    (*_, pool, matrix) = steps
    return [[step] for step in steps[:-2]] + [[pool, matrix]]


def makes_an_empty_stage(steps, room):
    return [*greedy(steps, room), []]


WRONG = [
    loses_a_step,
    does_a_step_twice,
    mixes_cuts,
    breaks_the_order,
    takes_a_pool_before_it_is_complete,
    makes_an_empty_stage,
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda one: one.__name__)
def test_a_fusion_that_breaks_its_promise_is_named(table, fusion, tmp_path, decodes, wrong):
    name = fusion(wrong)
    says = f"the fusion '{name}' leaves out a step, or .*; mend it, or leave fusion= out"
    for use in (
        lambda: table.entense.explain(fusion=name),
        lambda: table.entense.collect(fusion=name),
        lambda: table.entense.write(tmp_path / "out", fusion=name),
    ):
        with pytest.raises(et.RecipeError, match=says):
            use()
    assert decodes == []
    assert not (tmp_path / "out").exists()


ASKS = {
    "collect": lambda table, out, **how: table.entense.collect(**how),
    "explain": lambda table, out, **how: table.entense.explain(**how),
    "write": lambda table, out, **how: table.entense.write(out, **how),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_names_that_are_not_there_are_said(table, tmp_path, ask):
    with pytest.raises(et.RecipeError, match=r"no rule 'reduce-frist'.*mean 'reduce-first'"):
        ask(table, tmp_path / "out", without=["reduce-frist"])
    with pytest.raises(et.RecipeError, match=r"no rule 'mix'.*there are"):
        ask(table, tmp_path / "out", without="mix")
    with pytest.raises(et.EntenseError, match=r"no fusion 'greddy'.*greedy"):
        ask(table, tmp_path / "out", fusion="greddy")
    assert not (tmp_path / "out").exists()


def test_one_rule_may_be_named_without_a_list(table):
    assert table.entense.explain(without="centre") == table.entense.explain(without=["centre"])
    assert "centre:" in table.entense.explain(without=[])
    assert "centre:" not in table.entense.explain(without="centre")


def test_a_name_of_a_fusion_that_is_taken(fusion):
    def greedy(steps, room):
        return [list(steps)]

    with pytest.raises(et.EntenseError, match="'greedy' is already registered"):
        fusion(greedy)


@pytest.mark.parametrize(
    "other", [{"without": ["centre"]}, {"without": [r.name for r in RULES]}, {"fusion": "none"}]
)
def test_an_archive_is_not_gone_on_with_by_other_rules(table, tmp_path, other):
    """Another way gives other last bits."""
    out = tmp_path / "out"
    table.entense.write(out)
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(et.EntenseError, match=r"differs in its rules or fusion: .*overwrite=True"):
        table.entense.write(out, **other)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == kept
    table.entense.write(out)  # as before: nothing to do
    table.entense.write(out, overwrite=True, **other)
    made = et.open(out)[0]["clean"]
    (outcome,) = run(survey(table), [0])
    np.testing.assert_allclose(made, outcome.arrays["clean"], atol=1e-4)
