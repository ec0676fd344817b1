"""Roles that are more than a path: hemispheres, several files, optional ones, loose matches."""

import logging

import polars as pl
import pytest

from entense.errors import TableError
from entense.index import scan
from entense.records import role, stage

BOLD = {"suffix": "bold"}
PATHS = pl.List(pl.String)
SIDES = pl.Struct({"L": pl.String, "R": pl.String})


def run(name: str, subject: str = "01", datatype: str = "func") -> str:
    return f"sub-{subject}/{datatype}/sub-{subject}_{name}"


def short(value):
    """Paths without their folders."""
    if isinstance(value, dict):
        return {key: short(one) for key, one in value.items()}
    return value.map_elements(short) if isinstance(value, list) else value and value.split("/")[-1]


def cells(records: pl.LazyFrame, name: str) -> list:
    return [
        [short(one) for one in cell] if isinstance(cell, list) else short(cell)
        for cell in records.select(name).collect()[name].to_list()
    ]


SURFACES = [run(f"task-{task}_hemi-{side}_bold.func.gii") for task in "ab" for side in "LR"]


@pytest.mark.parametrize(
    "query", [BOLD, {**BOLD, "hemi": ["L", "R"]}, {**BOLD, "hemi": ("R", "L")}]
)
def test_two_hemispheres_are_one_record(files, query):
    records = stage(files(*SURFACES), bold=query)
    assert records.collect_schema()["bold"] == SIDES
    assert records.select("task").collect()["task"].to_list() == ["a", "b"]
    assert cells(records, "bold")[0] == {
        "L": "sub-01_task-a_hemi-L_bold.func.gii",
        "R": "sub-01_task-a_hemi-R_bold.func.gii",
    }


def test_one_hemisphere_is_a_path(files):
    records = stage(files(*SURFACES), bold={**BOLD, "hemi": "L"})
    assert records.collect_schema()["bold"] == pl.String
    only = stage(files(*SURFACES[::2]), bold=BOLD)
    assert records.select("bold").collect().equals(only.select("bold").collect())


def test_a_hemisphere_that_is_missing_is_null(files):
    records = stage(files(*SURFACES[:-1]), bold=BOLD, again={**BOLD, "hemi": ["L", "R"]})
    assert [cell["R"] is None for cell in cells(records, "bold")] == [False, True]
    assert cells(records, "again") == cells(records, "bold")
    asked = stage(files(*SURFACES[::2]), bold={**BOLD, "hemi": ["L", "R"]})
    assert asked.collect_schema()["bold"] == SIDES
    assert [cell["R"] for cell in cells(asked, "bold")] == [None, None]


def test_hemispheres_of_a_record_of_a_volume(files):
    pials = [run(f"hemi-{side}_pial.surf.gii", datatype="anat") for side in "LR"]
    table = files(run("bold.nii"), run("bold.nii", "02"), *pials)
    records = stage(table, bold=BOLD, pial={"suffix": "pial"})
    assert records.select(pl.col("pial").is_null()).collect()["pial"].to_list() == [False, True]
    assert cells(records, "pial")[0]["L"] == "sub-01_hemi-L_pial.surf.gii"


def test_a_tie_within_a_hemisphere(files):
    desc = run("task-a_hemi-R_desc-x_bold.func.gii")
    with pytest.raises(TableError, match=r"hemi-R_bold.* and .*hemi-R_desc-x_bold.*which 'desc'"):
        stage(files(*SURFACES, desc), bold=BOLD)


def test_sidecars_of_two_hemispheres(files):
    table = files(*SURFACES[:2], *(run(f"task-a_hemi-{side}_bold.json") for side in "LR"))
    assert cells(stage(table, bold=BOLD), "bold_sidecar") == [
        ["sub-01_task-a_hemi-L_bold.json", "sub-01_task-a_hemi-R_bold.json"]
    ]


def test_many_files_are_a_list_in_order(files):
    echoes = [run(f"task-a_echo-{n}_bold.nii") for n in (10, 2, 1)]
    table = files(*echoes, run("task-a_desc-optcom_bold.nii"), run("task-b_desc-optcom_bold.nii"))
    records = stage(
        table,
        bold={**BOLD, "desc": "optcom"},
        echoes=role({**BOLD, "desc": None}, many=True),
    )
    assert records.collect_schema()["echoes"] == PATHS
    assert cells(records, "echoes") == [
        [f"sub-01_task-a_echo-{n}_bold.nii" for n in (1, 2, 10)],
        None,
    ]
    assert records.collect_schema()["echoes_tr"] == pl.Float64


def test_many_takes_hemispheres_and_ties_alike(files):
    table = files(run("bold.nii"), *(run(f"run-{n}_T1w.nii", datatype="anat") for n in (1, 2)))
    images = stage(table, bold=BOLD, t1w=role({"suffix": "T1w"}, many=True))
    assert cells(images, "t1w") == [["sub-01_run-1_T1w.nii", "sub-01_run-2_T1w.nii"]]
    sides = stage(
        files(run("bold.nii"), *SURFACES),
        bold={"extension": ".nii"},
        both=role({"extension": ".func.gii"}, many=True),
    )
    assert len(cells(sides, "both")[0]) == 4


def test_an_optional_role_may_match_nothing(files):
    table = files(*(run("bold.nii", subject) for subject in ("01", "02")), run("mask.nii"))
    roles = {
        "mask": role({"suffix": "mask"}, optional=True),
        "path": role({"suffix": "nope"}, optional=True),
        "list": role({"suffix": "nope"}, optional=True, many=True),
        "sides": role({"suffix": "nope", "hemi": ["L", "R"]}, optional=True),
        "series": role({"suffix": "bold", "desc": "nope"}, optional=True),
    }
    df = stage(table, bold=BOLD, **roles).collect()
    assert df["mask_found"].to_list() == [True, False]
    assert df.schema["mask_found"] == pl.Boolean
    assert {name: df.schema[name] for name in roles} == {
        "mask": pl.String,
        "path": pl.String,
        "list": PATHS,
        "sides": SIDES,
        "series": pl.String,
    }
    assert df.schema["path_sidecar"] == PATHS
    assert df["series_tr"].to_list() == [None, None]
    assert df.select("path", "list", "sides", "series").null_count().row(0) == (2, 2, 2, 2)
    assert not df.select("path_found", "list_found", "sides_found").to_numpy().any()
    assert "bold_found" not in df.columns


def test_a_role_matched_on_the_subject_alone(files):
    table = files(
        run("ses-a_task-x_bold.nii"),
        run("ses-b_task-x_bold.nii"),
        run("ses-a_acq-mprage_T1w.nii", datatype="anat"),
        run("ses-a_acq-mprage_T1w.nii", "02", "anat"),
    )
    session = stage(table, bold=BOLD, t1w={"suffix": "T1w"})
    assert cells(session, "t1w") == ["sub-01_ses-a_acq-mprage_T1w.nii", None]
    subject = stage(table, bold=BOLD, t1w=role({"suffix": "T1w"}, on="subject"))
    assert cells(subject, "t1w") == ["sub-01_ses-a_acq-mprage_T1w.nii"] * 2


def test_a_tie_on_the_subject_alone_names_the_session(files):
    images = [run(f"ses-{one}_T1w.nii", datatype="anat") for one in "ab"]
    table = files(run("ses-a_bold.nii"), *images)
    with pytest.raises(TableError, match=r"say which 'session' .*many=True"):
        stage(table, bold=BOLD, t1w=role({"suffix": "T1w"}, on="subject"))
    assert cells(stage(table, bold=BOLD, t1w={"suffix": "T1w"}), "t1w") == ["sub-01_ses-a_T1w.nii"]


def test_anatomical_roles_match_on_subject_and_session_by_the_rule(files):
    table = files(
        run("ses-a_task-x_run-1_space-M_bold.nii"),
        run("ses-b_task-x_run-1_space-M_bold.nii"),
        run("ses-a_T1w.nii", datatype="anat"),
        run("label-GM_probseg.nii", datatype="anat"),
    )
    records = stage(table, bold=BOLD, t1w={"suffix": "T1w"}, gm={"suffix": "probseg"})
    assert cells(records, "t1w") == ["sub-01_ses-a_T1w.nii", None]
    assert cells(records, "gm") == ["sub-01_label-GM_probseg.nii"] * 2


def test_raw_events_beside_derivatives(tmp_path):
    raw, derivatives = tmp_path / "raw", tmp_path / "derivatives"
    for root, name in (
        (derivatives, run("task-x_space-M_desc-preproc_bold.nii.gz")),
        (derivatives, run("task-y_space-M_desc-preproc_bold.nii.gz")),
        (raw, run("task-x_events.tsv")),
        (raw, run("task-x_bold.nii.gz")),
        (raw, run("task-x_bold.json")),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    table = scan([raw, derivatives])
    records = stage(table, bold={**BOLD, "desc": "preproc"}, events={"suffix": "events"})
    assert records.select("events").collect()["events"].to_list() == [
        str(raw / run("task-x_events.tsv")),
        None,
    ]
    assert cells(records, "bold_sidecar") == [None, None]  # of another root


def test_a_file_without_a_subject_is_every_subjects(files):
    table = files(
        *(run("task-x_bold.nii", subject) for subject in ("01", "02", "03")),
        run("task-x_events.tsv", "02"),
        run("task-y_bold.nii"),
    )
    top = pl.DataFrame(
        {
            "dataset": "ds",
            "root": "/data",
            "path": "/data/task-x_events.tsv",
            "task": "x",
            "suffix": "events",
            "extension": ".tsv",
        }
    )
    table = pl.concat([table, top], how="diagonal")
    records = stage(table, bold=BOLD, events={"suffix": "events"})
    assert cells(records, "events") == [
        "task-x_events.tsv",
        None,
        "sub-02_task-x_events.tsv",
        "task-x_events.tsv",
    ]


def with_others(table, **labels):
    """Give each file the entity `foo`."""
    kind = table.schema["others"]
    maps = [None if one is None else [{"key": "foo", "value": one}] for one in labels["foo"]]
    return table.with_columns(others=pl.Series(maps, dtype=kind))


def test_an_entity_that_bids_does_not_know(files):
    table = with_others(
        files(run("task-a_bold.nii"), run("task-b_bold.nii"), run("task-c_bold.nii")),
        foo=["1", "2", None],
    )
    for value, expected in (("1", "a"), (2, "b"), (None, "c"), (["1", None], "ac")):
        records = stage(table, bold={**BOLD, "foo": value})
        assert "".join(records.select("task").collect()["task"]) == expected
    with pytest.raises(TableError, match="asks for 'fooo', which no file has; did you mean 'foo'"):
        stage(table, bold={**BOLD, "fooo": "1"})
    with pytest.raises(TableError, match=r"\(suffix='bold', foo='3'\); there is foo: 1, 2"):
        stage(table, bold={**BOLD, "foo": "3"})


def test_a_tie_that_such_an_entity_would_tell_apart(files):
    table = with_others(
        files(run("bold.nii"), run("mask.nii"), run("mask.nii.gz")), foo=[None, "1", "2"]
    )
    table = table.with_columns(pl.col("path").str.strip_suffix(".gz") + pl.Series(["", "", "_b"]))
    with pytest.raises(TableError, match="say which 'foo' the query of 'mask' means, '1' or '2'"):
        stage(table, bold=BOLD, mask={"suffix": "mask", "extension": [".nii", ".nii.gz"]})


def test_twins_are_said_once(files, caplog):
    twins = [run(f"task-a_{name}{end}") for name in ("bold", "mask") for end in (".nii", ".nii.gz")]
    table = files(*twins, run("task-b_bold.nii"), run("task-b_bold.nii.gz"))
    with caplog.at_level(logging.INFO, logger="entense"):
        stage(table, bold=BOLD, mask={"suffix": "mask"})
    assert caplog.messages == [
        "files that are there as .nii and .nii.gz count once, as .nii: bold 2, mask 1"
    ]
    caplog.clear()
    stage(files(run("bold.nii"), run("mask.nii.gz")), bold=BOLD)
    assert caplog.messages == []


@pytest.mark.parametrize("options", [{"many": True}, {"optional": True}, {"on": "subject"}])
def test_the_anchor_is_plain(files, options):
    with pytest.raises(TableError, match="the first role, 'bold', makes the records"):
        stage(files(run("bold.nii")), bold=role(BOLD, **options))


def test_a_role_that_is_described_wrongly(files):
    with pytest.raises(TableError, match="cannot match on 'sbject'"):
        role(BOLD, on="sbject")
    with pytest.raises(TableError, match="cannot match on 'hemi': it identifies no record"):
        role(BOLD, on=["subject", "hemi"])
    with pytest.raises(TableError, match="'mask' needs a query such as"):
        stage(files(run("bold.nii")), bold=BOLD, mask=role("mask"))
    with pytest.raises(TableError, match="a second column 'mask_found'"):
        stage(files(run("bold.nii")), bold=BOLD, mask=role(BOLD, optional=True), mask_found=BOLD)
