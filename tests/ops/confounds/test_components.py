"""Components by their sidecar: masks, numbers, explained variance, what was dropped."""

import numpy as np
import pytest

from entense.errors import RecordError
from entense.ops.confounds import Regressors

MASKS = ["CSF", "WM", "combined", "CSF", "WM", "combined", "WM", "CSF", "WM", "WM", "WM", "WM"]


VARIANCE = {"VarianceExplained": 0.1}


def table_of(names, frames=8):
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=frames).round(6) for name in names}


def facts(mask, cumulative, **more):
    return {
        "Method": "aCompCor",
        "Mask": mask,
        "CumulativeVarianceExplained": cumulative,
        **more,
        **VARIANCE,
    }


@pytest.fixture
def early(put):
    """A table in which every mask's components are a_comp_cor_NN; CSF explains .2 a component."""
    names = [f"a_comp_cor_{i:02}" for i in range(len(MASKS))]
    share = dict.fromkeys(MASKS, 0.0)
    about = {}
    for i, mask in enumerate(MASKS):
        share[mask] += 0.2 if mask == "CSF" else 0.1
        about[f"a_comp_cor_{i}"] = facts(mask, round(share[mask], 6), Retained=True)  # no zeros
    about["a_comp_cor_3"]["Retained"] = False
    about["dropped_0"] = facts("CSF", 0.9, Retained=False)
    return put(table_of(["csf", "global_signal", *names]), about)


def numbers(found):
    return [int(name[-2:]) for name in found]


CHOSEN = {
    "acc": [2, 5],
    "ccc": [0, 7],
    "wcc": [1, 4, 6, 8, 9, 10, 11],
    "{{acc}}": [2, 5],
    "{{acc; Mask=CSF}}": [0, 7],
    "{{a_comp_cor; Mask=csf}}": [0, 7],
    "{{a_comp_cor}}": [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11],
    "n_{{1; acc; Mask=CSF,WM}}": [0, 1],
    "n_{{5; acc; Mask=WM,CSF}}": [1, 4, 6, 8, 9, 0, 7],  # of CSF there are but two
    "n_{{3; wcc}}": [1, 4, 6],
    "v_{{29.9; acc; Mask=WM}}": [1, 4, 6],
    "v_{{30; acc; Mask=WM}}": [1, 4, 6],  # the one that reaches it is in, as fMRIPrep has it
    "v_{{30.1; acc; Mask=WM}}": [1, 4, 6, 8],
    "v_{{45; acc; Mask=CSF,WM}}": [0, 7, 1, 4, 6, 8, 9],
    "{{acc; Mask=WM; CumulativeVarianceExplained=0.3}}": [6],
    "{{acc; Mask=WM; CumulativeVarianceExplained=0.1,0.2}}": [1, 4],
    "{{acc; Mask=WM; Method=acompcor}}": [1, 4, 6, 8, 9, 10, 11],
}


def test_a_fact_that_no_component_has(early, columns):
    for value in ("0.3.1", "much"):
        says = rf"Mask=combined with VarianceExplained={value}; there are 11 others"
        with pytest.raises(RecordError, match=says):
            columns(early, f"{{{{acc; VarianceExplained={value}}}}}")
    with pytest.raises(RecordError, match=r"what SingularValue is for 'a_comp.*\.json does not"):
        columns(early, "{{acc; SingularValue=1}}")


@pytest.mark.parametrize("formula", CHOSEN)
def test_components_are_chosen_by_what_the_sidecar_says(early, columns, formula):
    assert numbers(columns(early, formula)) == CHOSEN[formula]


def test_more_variance_than_the_table_holds(early, columns):
    with pytest.raises(RecordError, match=r"explain 70\.0% at most; ask for less") as error:
        columns(early, "v_{{80; acc; Mask=WM}}")
    assert early.path in str(error.value)


def test_more_components_than_the_table_holds_are_all(early, columns):
    assert numbers(columns(early, "n_{{99; ccc}}")) == CHOSEN["ccc"]


def test_numbers_are_counted_and_not_spelt(put, columns):
    names = [f"a_comp_cor_{i:02}" for i in (100, 11, 2, 99)]
    table = put(table_of(names), {name: facts("WM", 0.1) for name in names})
    assert list(columns(table, "n_{{3; wcc}}")) == [
        "a_comp_cor_02",
        "a_comp_cor_11",
        "a_comp_cor_99",
    ]


def test_names_tell_the_mask_where_there_is_no_sidecar(put, columns):
    named = put(table_of(["a_comp_cor_00", "w_comp_cor_00", "c_comp_cor_00", "c_comp_cor_01"]))
    assert list(columns(named, "n_{{1; acc; Mask=CSF,WM}}")) == ["c_comp_cor_00", "w_comp_cor_00"]
    assert list(columns(named, "acc")) == ["a_comp_cor_00"]
    untold = put(table_of([f"a_comp_cor_{i:02}" for i in range(7)]))
    with pytest.raises(
        RecordError, match=r"nothing says what Mask is for 'a_comp_cor_00'.*sidecar"
    ):
        columns(untold, "acc")
    assert len(columns(untold, "a_comp_cor_*")) == 7  # by name one still can


def test_motion_components_of_aroma(put, columns):
    names = ["aroma_motion_01", "aroma_motion_12"]
    bare = put(table_of(names))
    assert list(columns(bare, "{{aroma; MotionNoise=True}}")) == names
    about = {f"aroma_motion_{i}": {"MotionNoise": i == 1} for i in (1, 2, 12)}
    told = put(table_of(names), about)
    assert list(columns(told, "{{aroma; MotionNoise=True}}")) == names[:1]
    assert list(columns(told, "{{aroma; MotionNoise=False}}")) == names[1:]
    assert list(columns(told, "aroma")) == names
    with pytest.raises(
        RecordError, match="no aroma components with MotionNoise=False; there are 2"
    ):
        columns(bare, "{{aroma; MotionNoise=False}}")


def test_any_numbered_columns_are_a_family(put, columns):
    table = put(table_of(["ICA_10", "ICA_2", "ICA_x"]))
    assert list(columns(table, "n_{{1; ICA}}")) == ["ICA_2"]


def test_a_component_that_the_sidecar_has_and_the_table_has_not(put, columns):
    table = put(
        table_of(["w_comp_cor_00"]),
        {f"w_comp_cor_0{i}": facts("WM", 0.1, Retained=True) for i in range(2)},
    )
    with pytest.raises(RecordError, match=r"no column 'w_comp_cor_1', which.*describes; copy both"):
        columns(table, "wcc")


def test_the_real_sidecars(reals, columns):
    # the numbers are those of nilearn's JSON files, read by eye
    old = columns(reals["v20"], "n_{{5; acc; Mask=CSF,WM}}")
    assert numbers(old) == [57, 58, 59, 60, 61, 70, 71, 72, 73, 74]
    assert len(columns(reals["v20"], "v_{{50; acc; Mask=CSF,WM}}")) == 13 + 56
    assert len(columns(reals["v20"], "v_{{50; acc}}")) == 57
    assert list(columns(reals["v21"], "v_{{40; acc; Mask=CSF,WM}}")) == [
        *("c_comp_cor_00", "c_comp_cor_01"),
        *("w_comp_cor_00", "w_comp_cor_01", "w_comp_cor_02"),
    ]


WRONG_SIDECARS = {
    "cut": ('{"w_comp_cor_00": {"Mas', "cannot be read"),
    "a list": ("[1, 2]", "a name and its facts, not list"),
    "a text": ('"facts"', "a name and its facts, not str"),
    "empty": ("", "cannot be read"),
}


@pytest.mark.parametrize(("text", "says"), WRONG_SIDECARS.values(), ids=WRONG_SIDECARS)
def test_a_sidecar_that_is_damaged_is_named(put, columns, text, says):
    table = put(table_of(["w_comp_cor_00", "csf"]), text or " ")
    with pytest.raises(RecordError, match=says) as error:
        columns(table, "wcc")
    assert table.sidecar in str(error.value)
    assert list(columns(table, "csf")) == ["csf"]  # it is read where it is needed


def test_a_sidecar_that_is_gone_is_named(put, columns):
    table = put(table_of(["w_comp_cor_00"]))
    gone = Regressors(table.path, table.path.replace(".tsv", ".json"))
    with pytest.raises(RecordError, match=r"\.json: what the confounds are cannot be read"):
        columns(gone, "wcc")


@pytest.mark.parametrize("wrong", ["much", None, [1]])
def test_facts_of_another_kind(put, columns, wrong):
    table = put(
        table_of(["t_comp_cor_00"]), {"t_comp_cor_00": {"CumulativeVarianceExplained": wrong}}
    )
    with pytest.raises(RecordError, match="nothing says what CumulativeVarianceExplained is"):
        columns(table, "v_{{50; tcc}}")
