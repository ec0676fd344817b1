"""`explain_stage`: what each role lacks, and for whom."""

from itertools import product

import polars as pl
import pytest

from entense.errors import TableError
from entense.records import explain_stage, role, stage

BOLD, MASK = {"suffix": "bold"}, {"suffix": "mask"}


def named(kind: str, subject: str, session: str, task: str = "x", end: str = ".nii") -> str:
    folder = f"sub-{subject}/ses-{session}/func"
    return f"{folder}/sub-{subject}_ses-{session}_task-{task}_{kind}{end}"


ALL = list(product([f"{n:02}" for n in range(1, 7)], ["test", "retest"], "xy"))


def report(table, **roles):
    rows = explain_stage(table, **roles)
    assert rows["role"].to_list() == list(roles)
    return {row.pop("role"): row for row in rows.to_dicts()}


def counts(row):
    return tuple(row[name] for name in ("files", "filled", "missing", "ambiguous"))


def masked(files, keep):
    bolds = [named("bold", *one) for one in ALL]
    return files(*bolds, *(named("mask", *one) for one in ALL if keep(*one)))


def test_all_is_well(files):
    found = report(masked(files, lambda *_: True), bold=BOLD, mask=MASK)
    for row in found.values():
        assert counts(row) == (24, 24, 0, 0)
        assert row["missing_for"] is row["ambiguous_for"] is None
    counted = ["files", "filled", "missing", "ambiguous"]
    told = ["missing_for", "ambiguous_for", "elsewhere_for"]
    assert list(found["bold"]) == [*counted, *told]


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (lambda s, e, t: s != "04", "subject 04"),
        (lambda s, e, t: e != "retest", "session retest"),
        (lambda s, e, t: e != "retest" and s != "04", "session retest; subject 04"),
        (lambda s, e, t: (s, e, t) != ("04", "test", "y"), "sub-04_ses-test_task-y"),
        (
            lambda s, e, t: s != "06" and not (e == "retest" and t == "x"),
            "subject 06; sub-01_ses-retest_task-x; sub-02_ses-retest_task-x; "
            "sub-03_ses-retest_task-x; sub-04_ses-retest_task-x; and 1 more",
        ),
        (lambda s, e, t: not (e == "retest" and t == "x"), "session retest: 6 of 12"),
        (
            lambda s, e, t: s == "01" and t == "y",
            "task x; subject 02; subject 03; subject 04; subject 05; and 2 more",
        ),
    ],
)
def test_for_whom_it_is_missing(files, keep, said):
    row = report(masked(files, keep), bold=BOLD, mask=MASK)["mask"]
    missing = sum(not keep(*one) for one in ALL)
    assert (row["filled"], row["missing"], row["ambiguous"]) == (24 - missing, missing, 0)
    assert row["missing_for"] == said


def test_one_record_a_subject(files):
    names = [f"sub-{n:03}/func/sub-{n:03}_bold.nii" for n in range(20)]
    masks = [name.replace("bold", "mask") for name in names[:8]]
    row = report(files(*names, *masks), bold=BOLD, mask=MASK)["mask"]
    assert row["missing_for"] == "sub-008; sub-009; sub-010; sub-011; sub-012; and 7 more"
    none = report(files(*names), bold=BOLD, other=role({**BOLD, "subject": "999"}, optional=True))
    assert counts(none["other"]) == (0, 0, 20, 0)


def test_a_role_that_nothing_matches_says_what_there_is(files):
    roles = {"bold": BOLD, "mask": {**MASK, "space": "M"}, "t1w": {"suffix": "T1w"}}
    found = report(masked(files, lambda *_: True), **roles)
    assert counts(found["mask"]) == (0, 0, 24, 0)
    assert found["mask"]["missing_for"].startswith("no file matches the role 'mask'")
    assert "there is space: (absent)" in found["mask"]["missing_for"]
    assert found["t1w"]["missing"] == 24


def test_an_anchor_that_nothing_matches(files):
    found = report(masked(files, lambda *_: True), bold={**BOLD, "task": "z"}, mask=MASK)
    assert counts(found["bold"]) == (0, 0, 0, 0)
    assert "there is task: x, y" in found["bold"]["missing_for"]
    assert counts(found["mask"]) == (24, 0, 0, 0)


def test_ties_are_counted_and_not_raised(files):
    table = masked(files, lambda s, e, t: s != "02")
    more = files(named("desc-b_mask", "01", "test"), named("desc-b_bold", "03", "test"))
    found = report(pl.concat([table, more]), bold=BOLD, mask=MASK)
    assert counts(found["bold"]) == (25, 23, 0, 1)
    assert found["bold"]["ambiguous_for"] == "sub-03_ses-test_task-x"
    assert counts(found["mask"]) == (21, 19, 4, 1)
    assert found["mask"]["missing_for"] == "subject 02"
    assert found["mask"]["ambiguous_for"] == "sub-01_ses-test_task-x"


def test_a_hemisphere_that_is_missing(files):
    sides = [
        named(f"hemi-{side}_bold", subject, "test", end=".func.gii")
        for subject, side in product(["01", "02"], "LR")
    ]
    row = report(files(*sides[:-1]), bold=BOLD)["bold"]
    assert counts(row) == (3, 1, 1, 0)
    assert row["missing_for"] == "sub-02_ses-test_task-x"
    tied = report(files(*sides[:-1], sides[2].replace("_hemi", "_desc-b_hemi")), bold=BOLD)["bold"]
    assert counts(tied) == (4, 1, 0, 1)


def test_many_files_are_no_tie(files):
    table = pl.concat(
        [masked(files, lambda s, *_: s != "02"), files(named("desc-b_mask", "01", "test"))]
    )
    assert counts(report(table, bold=BOLD, mask=role(MASK, many=True))["mask"]) == (21, 20, 4, 0)


def test_it_counts_what_stage_fills(files):
    table = masked(files, lambda s, e, t: (s, t) != ("05", "x"))
    roles = {"bold": BOLD, "mask": MASK, "test": role({**MASK, "session": "test"})}
    df = stage(table, **roles).collect()
    for name, row in report(table.lazy(), **roles).items():
        assert row["filled"] == df[name].count()
        assert row["missing"] == df[name].null_count()


def test_two_datasets_are_told_apart(files):
    names = ["sub-01/func/sub-01_bold.nii", "sub-01/func/sub-01_mask.nii"]
    table = pl.concat([files(*names), files(names[0], dataset="other")])
    assert report(table, bold=BOLD, mask=MASK)["mask"]["missing_for"] == "other_sub-01"


def test_what_is_wrong_with_a_query_is_still_an_error(files):
    with pytest.raises(TableError, match="did you mean 'space'"):
        explain_stage(files("sub-01/func/sub-01_bold.nii"), bold={"spcae": "M"})
    with pytest.raises(TableError, match="stage needs a table of files"):
        explain_stage(pl.DataFrame({"a": [1]}), bold=BOLD)


def test_nobody_has_it(files):
    table = files(*(named("bold", *one) for one in ALL), named("mask", "99", "test"))
    row = report(table, bold=BOLD, mask=MASK)["mask"]
    assert (counts(row), row["missing_for"]) == ((1, 0, 24, 0), "all 24 records")


def test_files_that_come_from_elsewhere_are_told(files):
    table = masked(files, lambda s, e, t: s != "02")
    anat = files("sub-02/ses-test/anat/sub-02_ses-test_mask.nii")
    found = report(pl.concat([table, anat]), bold=BOLD, mask=MASK)
    assert counts(found["mask"]) == (21, 22, 2, 0)
    assert found["mask"]["missing_for"] == "sub-02_ses-retest_task-x; sub-02_ses-retest_task-y"
    assert found["mask"]["elsewhere_for"] == (
        "sub-02_ses-test_task-x; sub-02_ses-test_task-y: anat, not func"
    )
    assert found["bold"]["elsewhere_for"] is None
