"""Models on HCP's and plain tables, and on tables that are wrong."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from entense.errors import RecordError
from entense.ops.confounds import regressors

MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
EVERY = np.ones(60, bool)


def test_hcp_has_motion_alone(hcp, columns):
    raw = np.loadtxt(hcp.path)
    raw[:, [3, 4, 5, 9, 10, 11]] *= np.pi / 180
    np.testing.assert_allclose(regressors(hcp, "6P", EVERY), raw[:, :6], rtol=1e-12)
    found = columns(hcp, "24P")
    assert len(found) == 24
    for i, name in enumerate(MOTION):
        np.testing.assert_allclose(found[f"{name}_derivative1"], raw[:, 6 + i], rtol=1e-12)
        np.testing.assert_allclose(found[f"{name}_power2"], raw[:, i] ** 2, rtol=1e-12)
        np.testing.assert_allclose(
            found[f"{name}_derivative1_power2"], raw[:, 6 + i] ** 2, rtol=1e-12
        )


@pytest.mark.parametrize(("model", "lacks"), [("36P", "csf"), ("9P", "csf"), ("gsr", "global_s")])
def test_hcp_has_no_tissue_signals(hcp, columns, model, lacks):
    with pytest.raises(RecordError, match=f"no column '{lacks}.*HCP's.*take 6P or 24P") as error:
        columns(hcp, model)
    assert hcp.path in str(error.value)


def test_plain_tables(put, columns, tmp_path):
    table = put({"cardiac": [1.0, 2.0, 4.0], "my resp": [0.0, 1.0, 0.0]}, name="physio.tsv")
    assert list(columns(table, ["my resp", "cardiac"])) == ["my resp", "cardiac"]
    found = columns(table, 'dd1(cardiac) + ("my resp")^2')
    assert [values.tolist() for values in found.values()] == [[1, 2, 4], [1, 1, 2], [0, 1, 0]]
    (tmp_path / "rp.txt").write_text("1 2\n3 5\n4 4\n")
    text = type(table)(str(tmp_path / "rp.txt"))
    assert columns(text, "d1(column_2)")["column_2_derivative1"].tolist() == [3, 3, -1]


def legacy_36(frame):
    """Make 36P of a legacy table, a column at a time."""
    names = {name: name for name in [*MOTION, "csf", "white_matter", "global_signal"]}
    made = {}
    for name in names:
        base = frame[name].to_numpy()
        steps = np.array([base[1] - base[0], *(b - a for a, b in pairwise(base))])
        made |= {name: base, f"{name}_derivative1": steps}
        made |= {f"{name}_power2": base * base, f"{name}_derivative1_power2": steps * steps}
    return made


@pytest.mark.parametrize(("model", "count"), [("6P", 6), ("9P", 9), ("24P", 24), ("36P", 36)])
def test_legacy_tables_hold_what_derivatives_are_made_of(old, columns, model, count):
    found, due = columns(old, model), legacy_36(old.frame)
    assert len(found) == count
    for name, values in found.items():
        np.testing.assert_allclose(values, due[name], rtol=1e-12)


def gap(row, value=None):
    return lambda t: t.with_columns(
        csf=pl.when(pl.int_range(pl.len()) != row).then("csf").otherwise(value)
    )


WRONG = {
    "a gap in row 3": (gap(2), "csf", "'csf' has no finite number in row 3; only the first"),
    "a gap under a threshold": (gap(2), "1_[>0.5](csf)", "'csf' has no finite number in row 3"),
    "a gap under a difference": (gap(59), "d1(csf)", "'csf' has no finite number in row 60"),
    "infinity at first": (gap(0, np.inf), "csf", "'csf' has no finite number in row 1"),
    "no value at all": (lambda t: t.with_columns(csf=None), "csf", "no finite number in row 2"),
    "text": (lambda t: t.with_columns(csf=pl.lit("high")), "wm + csf", "'csf' holds text"),
    "a column missing": (lambda t: t.drop("rot_z"), "36P", "no column 'rot_z'; did you mean 'rot_"),
    "a derivative's": (lambda t: t.drop("csf"), ["csf_power2"], "no column 'csf_power2'"),
    "a typo in a list": (lambda t: t, ["cfs"], "no column 'cfs'; did you mean 'csf'?"),
    "fewer rows": (lambda t: t.head(59), "6P", "59 rows, the run has 60 frames"),
}


@pytest.mark.parametrize(("change", "model", "says"), WRONG.values(), ids=WRONG)
def test_a_table_that_does_not_fit_is_named(put, old, change, model, says):
    table = put(change(old.frame.cast(pl.Float64)))
    with pytest.raises(RecordError, match=says) as error:
        regressors(table, model, EVERY)
    assert table.path in str(error.value)


def test_too_few_frames_for_the_regressors(old):
    few = np.arange(60) < 36
    with pytest.raises(RecordError, match="36 regressors leave nothing of 36 frames"):
        regressors(old, "36P", few)
    assert regressors(old, "36P", np.arange(60) < 37).shape == (37, 36)
    with pytest.raises(RecordError, match="of 0 frames"):
        regressors(old, "6P", np.zeros(60, bool))
