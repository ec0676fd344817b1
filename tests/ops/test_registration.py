"""One's own ops: what may be registered, and what a change of one does."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import entense as et
from entense.ops import ops
from entense.ops.linear import Neighbours
from entense.registry import code_of


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


def test_the_digest_of_an_op_is_the_same_in_each_process():
    """Of one that has no source, or was given a function: else an archive could not go on."""
    script = """if True:
        from functools import partial
        from entense.registry import code_of
        scope = {}
        exec("def inside(x): return [y in {'a', 'b', 'c', 'd', 'e'} for y in (lambda: x)()]", scope)
        print(code_of(scope["inside"]), code_of(partial(max, scope["inside"], key=abs)))
    """
    said = [
        subprocess.check_output([sys.executable, "-c", script], env={**os.environ, **seed})
        for seed in ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"})
    ]
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("np.sin(x)", "np.cos(x)"),
        ("(lambda y: y + 1)(x)", "(lambda y: y + 2)(x)"),
        ("[(lambda: np.sin(y))() for y in x]", "[(lambda: np.cos(y))() for y in x]"),
    ],
)
def test_the_digest_of_an_op_without_source_tells_all_that_it_does(one, other):
    """An archive that was begun with one would be finished with the other."""
    scope = {}
    exec(
        f"def one(x): return {one}\ndef same(x): return {one}\ndef other(x): return {other}", scope
    )
    assert code_of(scope["one"]) == code_of(scope["same"]) != code_of(scope["other"])


def test_which_columns_are_read_may_be_a_number_of_the_row(study):
    """Rows of one file follow each other: they are not those of the first."""

    def inferred(x, column):
        chosen = np.cumsum(x.mask.inside).reshape(x.mask.shape) == int(column) + 1
        return replace(x, shape=(x.shape[0], 1), mask=x.mask.where(chosen & x.mask.inside))

    @et.op(kind=et.Kind.SPACE, infer=inferred)
    def one_column(x: et.Spec, column: float) -> Neighbours:
        """Take one column."""
        return Neighbours(np.array([[int(column)]], np.int32), np.ones((1, 1), np.float32))

    study.run("01")
    bold = et.volume("bold", mask="mask")
    (whole,) = study.compute(bold)
    table = pl.concat([study.records] * 3).with_columns(column=pl.Series([3.0, 7.0, 11.0]))
    made = et.collect(et.transform(table, x=bold.one_column("column")))["x"]
    for ours, column in zip(et.to_numpy(made), (3, 7, 11), strict=True):
        np.testing.assert_array_equal(ours, whole[:, [column]])


class Given:
    """What says no more of itself than where it is."""


def test_the_digest_tells_what_a_function_took_from_the_one_around_it():
    def around(factor):
        def inside(x):
            return x * factor

        return inside

    weights = np.zeros(5000)
    values = [2, 3, weights, weights + (np.arange(5000) == 2500), np.sin, around(2), Given()]
    assert len({code_of(around(value)) for value in values}) == len(values)
    for one, other in (
        (2, 2),
        (weights, weights.copy()),
        (around(2), around(2)),
        (Given(), Given()),
    ):
        assert code_of(around(one)) == code_of(around(other))


def test_a_function_that_calls_itself_has_a_digest():
    def inside(x):
        return inside(x - 1) if x else later

    assert "later" in code_of(inside)
    later = 1


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


# Gathers and numbers of one's own


def lists(study):
    """Add two runs of each of two subjects, and a number of each run; return a row a subject."""
    for subject in ("01", "02"):
        for run, frames in (("1", 40), ("2", 33)):
            study.run(subject, run=run, frames=frames)
    table = study.records.with_columns(weight=pl.Series([1.0, 3.0, 0.5, 2.0]), level=0.25)
    return table.entense.pivot("subject")


def collected(table, tensor):
    return list(et.to_numpy(et.collect(table.entense.transform(made=tensor))["made"]))


def fc(study):
    atlas = str(study.atlas(labels=(2, 3, 5)))
    return et.volume("bold", mask="mask").parcellate(atlas).correlation()


def test_a_gather_of_ones_own_with_parameters_of_the_record(study):
    table = lists(study)

    @et.op(kind=et.Kind.GATHER)
    def weighted(xs, *, weights: list[float], plus: float = 0.0):
        return sum(w * x for w, x in zip(weights, xs, strict=True)) / sum(weights) + plus

    alone = study.compute(fc(study))
    due = [(alone[0] + 3 * alone[1]) / 4, (0.5 * alone[2] + 2 * alone[3]) / 2.5]
    tensor = fc(study).weighted(weights=pl.col("weight"), plus=pl.col("level"))
    for ours, theirs in zip(collected(table, tensor), due, strict=True):
        np.testing.assert_allclose(ours, theirs + 0.25, rtol=1e-5)
    (ours, _) = collected(table, fc(study).weighted([1.0, 3.0]))
    np.testing.assert_allclose(ours, due[0], rtol=1e-5)
    with pytest.raises(et.RecipeError, match="each row has one"):
        et.transform(study.records, x=fc(study).weighted([1.0]))


def test_a_gather_of_ones_own_holds_columns_together(study):
    """It treats a column by itself: other masks of as many voxels would be mixed in silence."""
    study.run("01", run="1")
    study.run("01", run="2")

    @et.op(kind=et.Kind.GATHER)
    def largest(xs):
        return sum(xs)

    half = study.inside.copy()
    half[3:] = False
    masks = [np.roll(half, shift, axis=0).astype("u1") for shift in (0, 1)]
    paths = [str(study.image(f"{i}.nii.gz", mask)) for i, mask in enumerate(masks)]
    table = study.records.with_columns(mask=pl.Series(paths)).entense.pivot("subject")
    with pytest.raises(et.RecordError, match="largest takes tensors of the same columns"):
        collected(table, et.volume("bold", mask="mask").largest())


def test_a_gather_that_does_not_take_a_list_is_that_records_error(study):
    table = lists(study)
    short = pl.col("bold", "mask", "bold_tr").list.head(1)
    table = pl.concat([table.head(1), table.tail(1).with_columns(short)])

    @et.op(kind=et.Kind.GATHER)
    def total(xs):
        return sum(xs)

    with pytest.raises(et.RecordError, match=r"1 of 2 records.*\n.*sub-01.*'total' cannot be app"):
        collected(table, et.volume("bold", mask="mask").total())
    assert len(collected(table.tail(1), et.volume("bold", mask="mask").total())) == 1


def notebook(source, **scope):
    """Run a cell of a notebook."""
    exec(source, {"et": et, "__name__": "notebook", **scope})


def test_a_gather_and_a_number_of_a_notebook_are_defined_again(study):
    table = lists(study)
    cell = """
@et.op(kind=et.Kind.GATHER)
def combined(xs):
    return sum(xs) {0}

@et.op(kind=et.Kind.COLUMNWISE)
def lifted(x, by: float):
    return x + by {0}
"""
    notebook(cell.format(""))
    tensor = fc(study).lifted("weight").combined()
    alone, weights = study.compute(fc(study)), [1.0, 3.0, 0.5, 2.0]
    lifted = [one + weight for one, weight in zip(alone, weights, strict=True)]
    due = [lifted[0] + lifted[1], lifted[2] + lifted[3]]
    for ours, theirs in zip(collected(table, tensor), due, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    notebook(cell.format("* 2"))
    again = [sum(one + 2 * w for one, w in zip(alone[i : i + 2], weights[i : i + 2], strict=True))
             for i in (0, 2)]  # fmt: skip
    for ours, theirs in zip(collected(table, tensor), again, strict=True):
        np.testing.assert_allclose(ours, 2 * theirs, rtol=1e-5)


def test_an_op_that_gathers_no_more(study):
    table = lists(study)
    cell = "@et.op(kind=et.Kind.{})\ndef joined(xs):\n    return sum(xs)\n"
    notebook(cell.format("GATHER"))
    made = table.entense.transform(x=fc(study).joined())
    made.entense.collect()
    notebook(cell.format("WHOLE"))
    with pytest.raises(et.RecipeError, match="gives no tensor, but a file or a list"):
        made.entense.collect()


def test_a_parameter_of_the_record_is_held_to_the_new_definition(study):
    study.run("01")
    cell = "@et.op\ndef shifted(x, *, by: {}):\n    return x + by\n"
    notebook(cell.format("float"))
    table = study.records.with_columns(by=0.5)
    made = table.entense.transform(x=et.volume("bold", mask="mask").shifted(by=pl.col("by")))
    made.entense.collect()
    notebook(cell.format("int"))
    with pytest.raises(et.RecordError, match=r"shifted: the parameter 'by' must be int, not 0\.5"):
        made.entense.collect()


@pytest.mark.parametrize("annotation", ["float", "float | None"])
@pytest.mark.parametrize("kind", [et.Kind.COLUMNWISE, et.Kind.WHOLE], ids=lambda kind: kind.name)
def test_a_number_of_the_record(study, kind, annotation):
    for subject in ("01", "02", "03"):
        study.run(subject)
    notebook(
        "@et.op(kind=kind)\n"
        f"def times(x, by: {annotation}):\n"
        "    return x if by is None else x * by\n",
        kind=kind,
    )
    bold = et.volume("bold", mask="mask")
    alone = study.compute(bold)
    table = study.records.with_columns(by=pl.Series([2.0, None, -1.0]))
    if annotation == "float":
        with pytest.raises(et.RecordError, match=r"sub-02.*the record has no number for its by"):
            collected(table, bold.times("by"))
        table = table.with_columns(pl.col("by").fill_null(1.0))
    for tensor in (bold.times("by"), bold.times(pl.col("by") * 1), bold.times(by="by")):
        for ours, one, by in zip(collected(table, tensor), alone, (2, 1, -1), strict=True):
            np.testing.assert_allclose(ours, one * by, rtol=1e-6)
    for ours, one in zip(collected(table, bold.times(3)), alone, strict=True):
        np.testing.assert_allclose(ours, one * 3, rtol=1e-6)
    with pytest.raises(et.RecipeError, match="times needs 'by'"):
        bold.times()


def test_what_a_gather_may_not_take():
    def pairs(xs, ys):
        return xs

    def own(x, *, cells: str):
        return x

    with pytest.raises(et.RecipeError, match="'pairs' gathers: it takes one list, and parameters"):
        et.op(kind=et.Kind.GATHER)(pairs)
    with pytest.raises(et.RecipeError, match="'own' has a parameter 'cells', a name of entense's"):
        et.op(own)
