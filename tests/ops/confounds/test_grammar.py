"""The formula grammar: what it reads, what it prints, and where it says that something is wrong."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from entense.errors import RecipeError
from entense.ops.confounds import STRATEGIES, formula_of
from entense.ops.confounds.formula import (
    Column,
    Components,
    Difference,
    Indicator,
    Logic,
    Power,
    Strategy,
    Sum,
    Word,
    total,
)
from entense.ops.confounds.grammar import parse

X, Y = Word("trans_x"), Word("csf")
WORDS = ["rps", "wm", "csf", "fd", "trans_x", "rot_z_derivative1", "a_comp_cor_07", "cosine*", "q9"]
some_orders = st.sets(st.integers(1, 9), min_size=1).map(lambda found: tuple(sorted(found)))
counts = st.integers(1, 999)
percents = st.floats(1, 100, exclude_min=True).map(lambda value: round(value, 3))
percents = percents.filter(lambda value: value > 1)
filters = st.lists(
    st.sampled_from(
        [("Mask", ("CSF", "WM")), ("MotionNoise", ("True",)), ("SingularValue", ("0.5",))]
    ),
    unique=True,
).map(tuple)
families = st.sampled_from(["acc", "wcc", "tcc", "aroma", "cosine", "ICA"])
names = st.text(st.characters(exclude_characters='"', exclude_categories=["Cs"]), min_size=1)
leaves = st.one_of(
    st.sampled_from(WORDS).map(Word),
    names.map(Column),
    st.sampled_from(list(STRATEGIES)).map(Strategy),
    st.builds(lambda n: Strategy("aCompCor", count=n), counts),
    st.builds(lambda v: Strategy("tCompCor", variance=v), percents),
    st.builds(Components, families, filters),
    st.builds(lambda f, g, n: Components(f, g, count=n), families, filters, counts),
    st.builds(lambda f, g, v: Components(f, g, variance=v), families, filters, percents),
)
signs = st.sampled_from([">", ">=", "<", "<=", "==", "!="])
thresholds = st.floats(allow_nan=False, allow_infinity=False)
formulas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map(total),
        st.builds(Difference, st.one_of(some_orders, st.just((0, 1)), st.just((0,))), inner),
        st.builds(Power, some_orders, inner),
        st.builds(Indicator, signs, thresholds, inner),
        st.builds(Logic, st.sampled_from(["OR", "AND", "NOT", "SCATTER"]), inner),
    ),
    max_leaves=8,
)


@given(formulas)
@example(Power((1, 2), Difference((0, 1), Sum((X, Y)))))
def test_what_is_printed_is_read_again(formula):
    assert parse(str(formula)) == formula
    assert str(parse(str(formula))) == str(formula)


@given(formulas, st.lists(st.sampled_from([" ", "\t", "\n"]), max_size=3).map("".join))
def test_spaces_between_pieces_mean_nothing(formula, space):
    text = str(formula)
    spaced = re.sub(r"(?<=[)]) \+ (?=[(])", f"{space}+{space}", text)
    assert parse(space + spaced + space) == formula


READ = {
    "d1(trans_x)": Difference((1,), X),
    "dd2(trans_x)": Difference((0, 1, 2), X),
    "d0-2(trans_x)": Difference((0, 1, 2), X),
    "d{0,2}(trans_x)": Difference((0, 2), X),
    "trans_x^2": Power((2,), X),
    "trans_x^^3": Power((1, 2, 3), X),
    "trans_x^2-3": Power((2, 3), X),
    "trans_x^{3,1}": Power((1, 3), X),
    # a power binds tighter than a difference, a difference tighter than a sum
    "d1(trans_x)^2": Difference((1,), Power((2,), X)),
    "(d1(trans_x))^2": Power((2,), Difference((1,), X)),
    "dd1(trans_x) + csf^2": Sum((Difference((0, 1), X), Power((2,), Y))),
    "1_[>0.5](csf)^2": Power((2,), Indicator(">", 0.5, Y)),
    "1_[ <= .5 ] csf": Indicator("<=", 0.5, Y),
    "[or](1_[>0.5](trans_x) + 1_[<-1.5e1](csf))": Logic(
        "OR", Sum((Indicator(">", 0.5, X), Indicator("<", -15.0, Y)))
    ),
    "(trans_x + (csf + trans_x))": Sum((X, Y, X)),
    "n_{{5; acc; Mask=csf, WM}}": Components("acc", (("Mask", ("CSF", "WM")),), count=5),
    "v_{{50;acc}}": Components("acc", variance=50.0),
    "{{aroma; MotionNoise=True}}": Components("aroma", (("MotionNoise", ("True",)),)),
    '"odd name (1)" + csf': Sum((Column("odd name (1)"), Y)),
    '"36P"': Column("36P"),
    "36p": Strategy("36P"),
    "ACOMPCOR( n = 10 ) + GSR": Sum((Strategy("aCompCor", count=10), Word("GSR"))),
    "acompcor_gsr": Strategy("aCompCor_GSR"),
    "tCompCor(variance=42.5)": Strategy("tCompCor", variance=42.5),
    "ica-aroma": Strategy("ICA-AROMA"),
    "ica_aroma": Strategy("ica_aroma"),
    "d1 + dd1": Sum((Word("d1"), Word("dd1"))),
}


@pytest.mark.parametrize(("text", "formula"), READ.items(), ids=READ)
def test_a_formula_is_read(text, formula):
    assert parse(text) == formula


WRONG = {  # the text, the character that is wrong (counted from 1), and what the message says
    "dd1(rps + wmm)": (11, "no 'wmm'; did you mean 'wm'?"),
    "rsps + wm": (1, "did you mean 'rps'?"),
    "wm + white_mater": (6, "did you mean 'white_matter'?"),
    "wm + trans_xx_derivative1": (6, "did you mean 'trans_x'?"),
    "simpel": (1, "did you mean 'simple'?"),
    "wm + acompcorr": (6, "did you mean 'aCompCor'?"),
    "dd1(rps + wm": (4, "never closed; add a '\\)'"),
    "(dd1(rps + wm + csf + gsr)^^2": (1, "never closed"),
    "dd1(rps wm)": (9, r"'\+' is missing before 'wm'"),
    "rps + ": (7, "a name is missing at the end"),
    "rps ++ wm": (6, r"a name is missing before '\+'"),
    "()": (2, r"a name is missing before '\)'"),
    "rps) + wm": (4, "take this '\\)' off"),
    "rps - wm": (5, "'-' has no meaning"),
    "rps + §": (7, "'§' has no meaning"),
    "mean(csf)": (1, "'mean' takes no parentheses; a difference is written d1"),
    "acompcor(10)": (10, r"say what 10 is: aCompCor\(n=…\)"),
    "rps^": (4, "powers are written"),
    "rps^0": (4, "from 1 to 9"),
    "rps^99999999999999999999": (4, "from 1 to 9"),
    "rps^{}": (4, "from 1 to 9"),
    "(rps)^2^2": (8, "put parentheses around the first"),
    "wm + d3-1(rps)": (6, "from 0 to 9"),
    "d10(rps)": (1, "from 0 to 9"),
    "1_[0.5](fd)": (4, "a threshold is one of"),
    "1_[>x](fd)": (4, "a threshold is one of"),
    "1_[>1e999](fd)": (4, "a threshold is one of"),
    "1_[>0.5](fd": (9, "never closed"),
    "1_[>0.5]": (9, "a name is missing"),
    "fd[1]": (3, r"'\+' is missing before '\[1\]'"),
    "[NOR](fd)": (2, "did you mean 'OR'"),
    "n_{{5; acc": (3, "both braces closed"),
    "acc}}": (4, "both braces opened"),
    "{{}}": (1, "a family is missing"),
    "n_{{5}}": (1, "a family is missing"),
    "n_{{ x; acc}}": (6, "a number of components is due, not 'x'"),
    "n_{{0; acc}}": (5, "a number of components"),
    "v_{{0.5; acc}}": (5, "a percentage above 1, such as 50"),
    "v_{{101; acc}}": (5, "a percentage"),
    "n_{{5; a_com_cor}}": (8, "no family 'a_com_cor'"),
    "wm + n_{{5; acc; Msk=CSF}}": (18, "did you mean 'Mask'"),
    "n_{{5; acc; Mask=GM}}": (13, "no mask 'GM'; there are: WM, CSF, combined"),
    "{{aroma; MotionNoise}}": (10, "write MotionNoise=value"),
    "aCompCorr(n=3)": (1, "did you mean 'aCompCor'?"),
    "wm + 36P(n=3)": (10, "36P has no 'n'"),
    "aCompCor(m=3)": (10, "aCompCor has no 'm'"),
    "aCompCor(n=many)": (12, "a number of components"),
    "aCompCor(variance=0.5)": (19, "a percentage"),
    'wm + "odd': (6, "close the quote"),
    "(" * 40 + "x": (32, "nest deeper than 30"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_said_with_its_place(text):
    place, says = WRONG[text]
    with pytest.raises(RecipeError, match=says) as error:
        formula_of(text)
    assert f"{text!r} are wrong at character {place}: " in str(error.value)


@given(formulas.map(str), st.data())
def test_a_formula_that_is_cut_or_spoilt_is_read_or_says_where(text, data):
    at = data.draw(st.integers(0, len(text)))
    spoilt = text[:at] + data.draw(st.sampled_from(["", ")", "(", "+", "^", "[", "{{", '"', "%"]))
    spoilt += data.draw(st.sampled_from(["", text[at:]]))
    try:
        parse(spoilt)
    except RecipeError as error:
        place = int(re.findall(r"wrong at character (\d+): ", str(error))[-1])
        assert 1 <= place <= len(spoilt) + 1


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("", "the confounds are empty"),
        ("  ", "the confounds are empty"),
        ("37P", r"no confound strategy '37P' \(did you mean '36P'\?\).*list: \['37P'\]"),
        ("cardiac", "no confound strategy 'cardiac'"),
        ([], "the list of confounds is empty"),
        (["csf", 3], "must be names of columns"),
    ],
)
def test_a_model_that_no_table_can_have(model, says):
    with pytest.raises(RecipeError, match=says):
        formula_of(model)


def test_what_a_table_may_have_is_not_refused():
    for model in ("csf", "motion_outlier03", "cosine*", "d1(cardiac)", "x + y", '"simpel"'):
        formula_of(model)
    assert formula_of(["simple", "a + b", "simple"]) == Sum((Column("simple"), Column("a + b")))
