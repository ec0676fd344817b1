"""What formulas compute, against plain Python a number at a time."""

import math
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entense.errors import RecipeError, RecordError
from entense.ops.confounds import Regressors, design, formula_of
from entense.ops.confounds.formula import Column, Difference, Indicator, Logic, Power, Sum, Word

HELD = ["trans_x", "csf", "framewise_displacement"]
words = st.sampled_from(["trans_x", "csf", "wm", "fd", "trans_x_derivative1"]).map(Word)
some_orders = st.sampled_from([(1,), (1, 2), (2,), (1, 3)])
flags = st.builds(Indicator, st.sampled_from([">", "<=", "!="]), st.sampled_from([0.0, 0.5]), words)
formulas = st.recursive(
    st.one_of(words, words.map(lambda word: Column(LONG.get(word.text, word.text)))),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(Sum),
        st.builds(Difference, st.sampled_from([(0, 1), (1,), (2,), (0, 2)]), inner),
        st.builds(Power, some_orders, inner),
        flags,
        flags.map(lambda flag: Logic("NOT", flag)),
        st.lists(flags, min_size=1, max_size=3).map(lambda some: Logic("OR", Sum(tuple(some)))),
        st.lists(flags, min_size=1, max_size=3).map(lambda some: Logic("AND", Sum(tuple(some)))),
        flags.map(lambda flag: Logic("SCATTER", flag)),
    ),
    max_leaves=5,
)
LONG = {"wm": "white_matter", "fd": "framewise_displacement"}
COMPARED = {">": lambda a, b: a > b, "<=": lambda a, b: a <= b, "!=": lambda a, b: a != b}


def slow(formula, table):
    """Return the columns as a list of lists; None where there is nothing before a difference."""
    match formula:
        case Word(text) | Column(text):
            name = LONG.get(text, text)
            if name in table:
                return [table[name]]
            return [steps(table[name.removesuffix("_derivative1")], 1)]
        case Sum(terms):
            return [one for term in terms for one in slow(term, table)]
        case Difference(orders, of):
            return [steps(one, k) for k in orders for one in slow(of, table)]
        case Power(orders, of):
            return [[x if x is None else x**k for x in v] for k in orders for v in slow(of, table)]
        case Indicator(sign, limit, of):
            above = COMPARED[sign]
            return [[x is not None and above(x, limit) for x in one] for one in slow(of, table)]
        case Logic("OR", of):
            return [[any(row) for row in zip(*slow(of, table), strict=True)]]
        case Logic("AND", of):
            return [[all(row) for row in zip(*slow(of, table), strict=True)]]
        case Logic("NOT", of):
            return [[not x for x in one] for one in slow(of, table)]
        case Logic("SCATTER", of):
            return [
                [t == frame for t in range(len(one))]
                for one in slow(of, table)
                for frame in range(len(one))
                if one[frame]
            ]


def steps(values, order):
    for _ in range(order):
        values = [None] + [None if None in (a, b) else b - a for a, b in pairwise(values)]
    return values


def first_filled(values):
    known = next(x for x in values if x is not None)
    return tuple(float(known if x is None else x) for x in values)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    rng = np.random.default_rng(4)
    table = {name: rng.normal(size=20).tolist() for name in ("trans_x", "csf", "white_matter")}
    table["framewise_displacement"] = [None, *rng.gamma(2, 0.2, 19).tolist()]
    path = tmp_path_factory.mktemp("values") / "table.parquet"
    pl.DataFrame(table).write_parquet(path)
    return Regressors(str(path)), table


@settings(max_examples=200)
@given(formula=formulas)
def test_a_formula_is_what_plain_python_makes(made, formula):
    confounds, table = made
    ours = [one.tolist() for one in design(confounds, formula).values()]
    due = [pytest.approx(first_filled(one), rel=1e-9) for one in slow(formula, table)]
    # equal names are one column here and two there
    assert all(one in due for one in ours)
    assert all(one in ours for one in due)


def test_the_tables_own_derivatives_come_first(put, columns):
    table = put({"csf": [1.0, 2.0, 4.0], "csf_derivative1": [None, 7.0, 8.0]})
    assert columns(table, "d1(csf)")["csf_derivative1"].tolist() == [7, 7, 8]
    assert columns(table, "(d1(csf))^2")["csf_derivative1_power2"].tolist() == [49, 49, 64]
    assert columns(table, ["csf_derivative1_power2"])["csf_derivative1_power2"][2] == 64
    assert columns(table, "d2(csf)")["csf_derivative2"].tolist() == [1, 1, 1]  # of csf itself


def test_the_order_of_the_columns_is_that_of_the_formula(put, columns):
    table = put({"trans_x": [1.0, 2.0], "csf": [3.0, 4.0]})
    assert list(columns(table, "(dd1(trans_x + csf))^^2 + csf")) == [
        *("trans_x", "csf", "trans_x_derivative1", "csf_derivative1"),
        *("trans_x_power2", "csf_power2"),
        *("trans_x_derivative1_power2", "csf_derivative1_power2"),
    ]
    assert list(columns(table, "d1(trans_x)^^2")) == [  # a power binds tighter
        *("trans_x_derivative1", "trans_x_power2_derivative1"),
    ]


def test_what_thresholds_say_of_a_frame_without_a_value(put, columns):
    table = put({"framewise_displacement": [None, 0.1, 0.9]})
    (above,) = columns(table, "1_[>0.5](fd)").values()
    (still,) = columns(table, "1_[<=0.5](fd)").values()
    (moved,) = columns(table, "[NOT](1_[<=0.5](fd))").values()
    assert (above.tolist(), still.tolist()) == ([0, 0, 1], [0, 1, 0])
    assert moved.tolist() == [1, 0, 1]


def test_scatter_gives_a_column_for_each_outlier(put, columns):
    table = put({"framewise_displacement": [None, 0.9, 0.1, 0.7], "std_dvars": [None, 1.0, 2.0, 3]})
    found = columns(table, "[SCATTER]([OR](1_[>0.5](fd) + 1_[>1.5](dv)))")
    assert np.array(list(found.values())).tolist() == np.eye(4)[1:].tolist()
    assert columns(table, "[SCATTER](1_[>5](fd))") == {}


def test_motion_outliers_of_fmriprep_are_the_scatter_of_their_definition(reals, columns):
    table = reals["v21"]
    # every frame moved more than 0.5 mm here, and fMRIPrep was told another limit: DVARS' is left
    ours = columns(table, "[SCATTER]([OR](1_[>99](fd) + 1_[>1.5](dv)))")
    theirs = columns(table, "motion_outlier*")
    # of this table's run nilearn kept 30 frames, and the outliers of the rest as columns of 0
    at = {int(np.argmax(one)) for one in theirs.values() if one.any()}
    assert at == {int(np.argmax(one)) for one in ours.values()}
    assert 0 < len(at) <= len(theirs) == 23


def test_names_as_they_are_patterns_and_quotes(put, columns):
    table = put(
        {"wm": [1.0, 2.0], "36P": [3.0, 5.0], "a b": [0.0, 1.0], "white_matter": [7.0, 9.0]}
    )
    assert columns(table, "wm")["wm"].tolist() == [1, 2]
    assert list(columns(table, '"36P" + "a b"')) == ["36P", "a b"]
    assert list(columns(table, ["36P", "a b", "36P"])) == ["36P", "a b"]
    assert list(columns(table, "w*")) == ["wm", "white_matter"]
    with pytest.raises(RecordError, match=r"no column is like 'cosi\*'"):
        columns(table, "cosi*")


def test_flags_are_asked_for_where_flags_are_due(put, columns):
    table = put({"csf": [0.0, 2.0]})
    for word in ("OR", "AND", "NOT", "SCATTER"):
        with pytest.raises(RecordError, match=rf"\[{word}\] takes columns of 0 and 1, 'csf' has"):
            columns(table, f"[{word}](csf)")


def test_too_much_is_refused(put, columns):
    table = put({"csf": [1.0, 1e200, 3.0]})
    with pytest.raises(RecordError, match="'csf_power9' has no finite number in row 2"):
        columns(table, "csf^9")
    with pytest.raises(RecipeError, match="more than 10,000 columns"):
        columns(put({"csf": [1.0, 1.5, 3.0]}), "((((csf^^9)^^9)^^9)^^9)^^9")


def test_a_run_of_one_or_two_frames(put, columns):
    assert columns(put({"csf": [4.0]}), "csf")["csf"].tolist() == [4]
    assert columns(put({"csf": [4.0, 6.0]}), "d1(csf)")["csf_derivative1"].tolist() == [2, 2]
    for frames in (1, 2):
        with pytest.raises(RecordError, match="'csf_derivative2' has no finite number in row 1"):
            columns(put({"csf": [4.0, 6.0][:frames]}), "d2(csf)")


def test_the_formulas_that_the_papers_name_are_their_sets(reals, columns):
    for name, text in {
        "24P": "(dd1(rps))^^2",
        "36P": "(dd1(rps + wm + csf + gsr))^^2",
        "9P": "rps + gs + csf + wm",
    }.items():
        named, written = columns(reals["v21"], name), columns(reals["v21"], text)
        assert set(named) == set(written)
        assert all(np.array_equal(values, written[one]) for one, values in named.items())
        assert not any(math.isnan(x) for values in named.values() for x in values)
    assert str(formula_of("36P")) == "36P"
