"""Strategies against nilearn's, against plain lists of columns, and on every kind of table."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from nilearn.interfaces.fmriprep import load_confounds, load_confounds_strategy

from entense.errors import RecordError
from entense.ops.confounds import (
    STRATEGIES,
    Censoring,
    censoring_of,
    design,
    formula_of,
    kept,
    regressors,
)
from entense.ops.confounds import strategies as module
from entense.ops.confounds.formula import Strategy
from entense.ops.confounds.grammar import parse

MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
SIGNALS = ["csf", "white_matter", "global_signal"]
ORDERS = ("", "_derivative1", "_power2", "_derivative1_power2")
MOTION_12 = [name + order for name in MOTION for order in ORDERS[:2]]
MOTION_24 = [name + order for name in MOTION for order in ORDERS]


def numbered(stem, numbers):
    return [f"{stem}{number:02}" for number in numbers]


# what each takes of fMRIPrep 20's table, written out: WM is a_comp_cor 70 …, CSF 57 …
COSINES = numbered("cosine", range(4))
BOTH_MASKS = numbered("a_comp_cor_", [*range(70, 75), *range(57, 62)])
AROMA = numbered("aroma_motion_", [1, 2, 5, 11, 15, 16, 17, 18, 21, 23, 24, 25, 26])
SIMPLE = [*COSINES, *MOTION_24, "white_matter", "csf"]
WRITTEN_OUT = {
    "none": [],
    "gsr_only": ["global_signal"],
    "6P": MOTION,
    "9P": MOTION + SIGNALS,
    "24P": MOTION_24,
    "27P": MOTION_24 + SIGNALS,
    "36P": [name + order for name in MOTION + SIGNALS for order in ORDERS],
    "aCompCor": MOTION_12 + BOTH_MASKS + COSINES,
    "aCompCor_GSR": [*MOTION_12, *BOTH_MASKS, *COSINES, "global_signal"],
    "tCompCor": MOTION_12 + numbered("t_comp_cor_", range(5)) + COSINES,
    "ICA-AROMA": AROMA,
    "simple": SIMPLE,
    "scrubbing": SIMPLE + [name + order for name in SIGNALS[:2] for order in ORDERS[1:]],
    "compcor": COSINES + MOTION_24 + numbered("a_comp_cor_", range(57)),
    "ica_aroma": [*COSINES, "white_matter", "csf"],
    "aCompCor+GSR": [*MOTION_12, *BOTH_MASKS, *COSINES, "global_signal"],
    "36P + cosine": [name + order for name in MOTION + SIGNALS for order in ORDERS] + COSINES,
    "aCompCor(n=10)": MOTION_12
    + numbered("a_comp_cor_", [*range(70, 80), *range(57, 67)])
    + COSINES,
    "aCompCor(variance=50)": MOTION_12 + numbered("a_comp_cor_", range(57, 126)) + COSINES,
    "tCompCor(n=2)": MOTION_12 + numbered("t_comp_cor_", range(2)) + COSINES,
    "tCompCor(variance=40)": MOTION_12 + numbered("t_comp_cor_", range(4)) + COSINES,
    "compcor(n=3)": COSINES + MOTION_24 + numbered("a_comp_cor_", range(3)),
    "(dd1(rps + wm + csf + gsr))^^2": [
        name + order for name in MOTION + SIGNALS for order in ORDERS
    ],
}


def test_every_strategy_is_written_out():
    assert set(STRATEGIES) <= set(WRITTEN_OUT)


@pytest.mark.parametrize("model", WRITTEN_OUT)
def test_a_model_takes_its_columns(reals, columns, model):
    table = reals["v20"]
    found = columns(table, model)
    assert sorted(found) == sorted(WRITTEN_OUT[model])
    due = pd.read_csv(table.path, sep="\t", na_values="n/a")[list(found)].bfill(limit=1)
    for name, values in found.items():
        np.testing.assert_array_equal(values, due[name])


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategys_formula_is_the_strategy(reals, columns, name):
    table = reals["v20"]
    text = module.formula_of(Strategy(name))
    alike = design(table, parse(text))
    assert list(alike) == list(columns(table, name)) == list(columns(table, name.swapcase()))
    if text:  # and what is printed gives the same columns
        assert list(columns(table, str(formula_of(text)))) == list(alike)


@pytest.mark.parametrize(
    ("model", "count"),
    {"6P": 6, "9P": 9, "24P": 24, "27P": 27, "36P": 36, "ica_aroma": 8, "simple": 32}.items(),
)
@pytest.mark.parametrize("kind", ["legacy", "v20", "v21", "no dummies"])
def test_counts_on_current_and_legacy_tables(reals, old, columns, kind, model, count):
    table = old if kind == "legacy" else reals[kind]
    cosines = sum(name.startswith("cosine") for name in table.frame.columns)
    with_cosines = model in ("ica_aroma", "simple")
    assert len(columns(table, model)) == count + (cosines - 6 if with_cosines else 0)


def test_a_component_of_each_mask_by_its_name(reals, columns):
    found = columns(reals["v21"], "aCompCor")  # which has but 3 and 4 of five
    masks = numbered("w_comp_cor_", range(4)) + numbered("c_comp_cor_", range(3))
    assert sorted(found) == sorted([*MOTION_12, *masks, "cosine00"])
    assert sorted(columns(reals["v21"], "acompcor(n=2)")) == sorted(
        [*MOTION_12, "w_comp_cor_00", "w_comp_cor_01", "c_comp_cor_00", "c_comp_cor_01", "cosine00"]
    )


@pytest.fixture
def images(reals, tmp_path):
    """The real tables under names by which nilearn finds them."""

    def place(version, strategy):
        stem = tmp_path / "sub-01_task-rest"
        table = Path(reals[version].path)
        shutil.copy(table, f"{stem}_desc-confounds_timeseries.tsv")
        shutil.copy(
            table.with_suffix(".json") if version[0] == "v" else table.with_suffix(".tsv"),
            f"{stem}_desc-confounds_timeseries.json",
        )
        if version[0] != "v":
            Path(f"{stem}_desc-confounds_timeseries.json").write_text("{}")
        desc = "smoothAROMAnonaggr" if strategy == "ica_aroma" else "preproc"
        return f"{stem}_space-MNI152NLin6Asym_desc-{desc}_bold.nii.gz"

    return place


def agrees(table, model, theirs, sample_mask):
    """Assert nilearn's columns, demeaned over the frames that it keeps, and those frames."""
    frames = kept(table, censoring_of(model))
    whole = np.arange(frames.size) if sample_mask is None else sample_mask
    np.testing.assert_array_equal(np.flatnonzero(frames), whole)
    ours = design(table, formula_of(model))
    assert sorted(ours) == sorted(theirs.columns)
    for name, values in ours.items():
        due = values - values[frames].mean() if frames.any() else values * np.nan
        np.testing.assert_allclose(due, theirs[name], rtol=1e-9, atol=1e-9 * np.abs(values).max())


@pytest.mark.parametrize("strategy", ["simple", "scrubbing", "compcor", "ica_aroma"])
@pytest.mark.parametrize("version", ["v20", "v21", "no dummies"])
def test_nilearns_strategies(reals, images, version, strategy):
    if (version, strategy) == ("no dummies", "compcor"):  # it has no sidecar, nilearn asks for one
        with pytest.raises(RecordError, match="it has no JSON sidecar"):
            design(reals[version], formula_of("compcor"))
        return
    with warnings.catch_warnings():  # of v21's frames, nilearn keeps none
        warnings.simplefilter("ignore")
        theirs, sample_mask = load_confounds_strategy(
            images(version, strategy), denoise_strategy=strategy
        )
    agrees(reals[version], strategy, theirs, sample_mask)


CHOICES = {
    "simple + gsr": {"strategy": ("high_pass", "motion", "wm_csf", "global_signal")},
    "simple + (dd1(gsr))^^2": {
        "strategy": ("high_pass", "motion", "wm_csf", "global_signal"),
        "global_signal": "full",
    },
    "ica_aroma + aroma": {"strategy": ("high_pass", "wm_csf", "ica_aroma"), "ica_aroma": "basic"},
    "ica_aroma + (rps)^^2": {"strategy": ("high_pass", "wm_csf", "motion"), "motion": "power2"},
    "compcor(n=4)": {"strategy": ("high_pass", "motion", "compcor"), "n_compcor": 4},
    "simple + tcc": {
        "strategy": ("high_pass", "motion", "wm_csf", "compcor"),
        "compcor": "temporal",
    },
    "simple + n_{{6; acc; Mask=WM,CSF}}": {
        "strategy": ("high_pass", "motion", "wm_csf", "compcor"),
        "compcor": "anat_separated",
        "n_compcor": 6,
    },
}


@pytest.mark.parametrize("model", CHOICES)
def test_nilearns_choices_as_formulas(reals, images, model):
    choices = {"motion": "full", "wm_csf": "basic"} | CHOICES[model]
    theirs, sample_mask = load_confounds(images("v20", "simple"), **choices)
    # of old tables' components nilearn has CSF and WM twice over, a_ alone: equal names are one
    agrees(reals["v20"], model, theirs, sample_mask)


def test_a_strategy_brings_its_censoring():
    plain = Censoring(dummies=True)
    full = Censoring(fd=0.5, dvars=1.5, contiguous=5, dummies=True)
    assert [name for name in STRATEGIES if censoring_of(name) == plain] == [
        *("simple", "compcor", "ica_aroma")
    ]
    for model in ("scrubbing", "36P + scrubbing", "d1(scrubbing + 6P)", "simple + SCRUBBING"):
        assert censoring_of(model) == full
    for model in ("36P", "wm + csf", ["scrubbing", "simple"], '"scrubbing"'):
        assert censoring_of(model) == Censoring()


def test_legacy_tables_have_components_of_both_masks_together(old, columns):
    six = numbered("a_comp_cor_", range(6))
    cosines = numbered("cosine", range(6))
    assert list(columns(old, "acc")) == six
    assert list(columns(old, "n_{{5; acc}}")) == six[:5]
    assert sorted(columns(old, "compcor")) == sorted(cosines + MOTION_24 + six)
    assert sorted(columns(old, "tCompCor")) == sorted(
        MOTION_12 + numbered("t_comp_cor_", range(5)) + cosines
    )
    for model in ("aCompCor", "aCompCor(n=10)", "acompcor + gsr", "n_{{5; acc; Mask=CSF}}", "wcc"):
        with pytest.raises(RecordError, match="six of both masks together: dd1") as error:
            columns(old, model)
        assert old.path in str(error.value)
    assert len(columns(old, "dd1(rps) + n_{{5; acc}} + cosine")) == 12 + 5 + 6  # the remedy
    with pytest.raises(RecordError, match=r"CumulativeVarianceExplained.*no JSON sidecar"):
        columns(old, "compcor(variance=50)")
    with pytest.raises(RecordError, match="there are no aroma components"):
        columns(old, "ICA-AROMA")


def test_legacy_tables_are_censored(old):
    frames = kept(old, censoring_of("scrubbing"))
    assert not frames[:2].any()
    assert frames.sum() > 30


def test_a_run_too_short_for_cosines_has_none(put, reals, columns):
    table = put(reals["v21"].frame.drop("cosine00"))
    assert len(columns(table, "simple")) == 26
    other = put(pl.DataFrame({"a": [1.0, 2.0]}))
    with pytest.raises(RecordError, match="no cosine components"):
        columns(other, "a + cosine")


def test_regressors_are_at_the_frames_that_are_kept(reals):
    table = reals["v20"]
    frames = kept(table, censoring_of("simple"))
    values = regressors(table, "9P", frames)
    due = pd.read_csv(table.path, sep="\t")[MOTION + SIGNALS]
    np.testing.assert_array_equal(values, due.to_numpy()[frames])
    assert (values.dtype, values.shape) == (np.float64, (29, 9))
    assert regressors(table, "none", frames).shape == (29, 0)


def test_spikes_of_frames_left_out_count_for_nothing(put):
    table = put({"flag": [0.0, 1.0, 1.0, 0.0, 0.0], "x": [1.0, 4.0, 2.0, 8.0, 5.0]})
    stays = np.array([True, False, False, True, True])
    values = regressors(table, "x + [SCATTER](flag)", stays)
    np.testing.assert_array_equal(values, [[1, 0, 0], [8, 0, 0], [5, 0, 0]])
    with pytest.raises(RecordError, match="2 regressors leave nothing of 2 frames"):
        regressors(table, "x + x^2", stays & [True, True, True, True, False])
