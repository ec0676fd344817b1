"""One's own ops: what may be registered, and what a change of one does."""

import pytest

import entense as et
from entense.ops import ops


def define(factor):
    scope = {"et": et, "__name__": "notebook"}
    exec(f"@et.op\ndef scaled(x, *, by: float = 1.0):\n    return x * by * {factor}\n", scope)


@pytest.fixture(autouse=True)
def clean():
    before = dict(ops._things)
    yield
    ops._things.clear()
    ops._things.update(before)


def test_a_cell_that_is_run_again_replaces_its_op(study):
    study.run("01")
    define(1)
    tensor = et.volume("bold", mask="mask").scaled(by=2.0)
    (first,) = study.compute(tensor)
    one = ops["scaled"].digest
    define(10)
    (second,) = study.compute(tensor)
    assert ops["scaled"].digest != one
    assert (second == 10 * first).all()


def test_another_function_of_the_same_name_is_refused():
    def zscore(x):
        return x

    with pytest.raises(et.EntenseError, match="'zscore' is already registered"):
        et.op(zscore)


@pytest.mark.parametrize("name", ["dense", "slot", "_mine"])
def test_entenses_own_names_are_refused(name):
    scope = {}
    exec(f"def {name}(x):\n    return x\n", scope)
    with pytest.raises(et.RecipeError, match="give the op another"):
        et.op(scope[name])


def test_a_scalar_is_a_tensor_too(study):
    study.run("01")

    @et.op
    def overall(x):
        return x.mean()

    (value,) = study.compute(et.volume("bold", mask="mask").overall())
    assert value.shape == ()


def test_a_renamed_role_does_not_lose_its_repetition_time(study):
    study.run("01", tr=1.9)
    renamed = study.records.rename({"bold": "func"})
    with pytest.raises(et.TableError, match="'bold_tr' has lost its role"):
        et.transform(renamed, x=et.volume("func", mask="mask"))
    given = et.transform(renamed, x=et.volume("func", mask="mask", tr="bold_tr"))
    assert "TR 1.9 s" in et.explain(given)


def test_a_role_is_not_replaced_by_a_tensor(study):
    study.run("01")
    with pytest.raises(et.TableError, match="a column 'bold' already"):
        et.transform(study.records, bold=et.volume("bold", mask="mask"))
