import polars as pl
import pytest

from entense.errors import TableError
from entense.index import IDENTIFYING, scan
from entense.records import role, stage

BOLD = {"suffix": "bold"}
MASK = {"suffix": "mask"}


def run(name: str, subject: str = "01", datatype: str = "func") -> str:
    return f"sub-{subject}/{datatype}/sub-{subject}_{name}"


def column(records: pl.LazyFrame, name: str) -> list[str | None]:
    """One role, without the folders."""
    return [p and p.split("/")[-1] for p in records.select(name).collect()[name]]


def test_the_record_table(files):
    table = files(
        run("task-rest_space-M_desc-preproc_bold.nii.gz"),
        run("task-rest_space-M_desc-preproc_bold.json"),
        run("task-rest_space-M_desc-brain_mask.nii.gz"),
        run("task-rest_desc-confounds_timeseries.tsv"),
        run("task-rest_desc-confounds_timeseries.json"),
    )
    records = stage(table, bold=BOLD, mask=MASK, confounds={"desc": "confounds"})
    assert isinstance(records, pl.LazyFrame)
    roles = ["bold", "bold_sidecar", "bold_tr", "mask", "mask_sidecar"]
    roles += ["confounds", "confounds_sidecar"]
    assert records.collect_schema().names() == ["dataset", *IDENTIFYING, *roles]
    row = records.drop("bold_tr").collect().row(0, named=True)
    folder = "/data/sub-01/func/sub-01_task-rest"
    assert {key: value for key, value in row.items() if value is not None} == {
        "dataset": "ds",
        "subject": "01",
        "task": "rest",
        "space": "M",
        "bold": f"{folder}_space-M_desc-preproc_bold.nii.gz",
        "bold_sidecar": [f"{folder}_space-M_desc-preproc_bold.json"],
        "mask": f"{folder}_space-M_desc-brain_mask.nii.gz",
        "confounds": f"{folder}_desc-confounds_timeseries.tsv",
        "confounds_sidecar": [f"{folder}_desc-confounds_timeseries.json"],
    }


def test_a_data_frame_will_do(files):
    table = files(run("bold.nii"), run("mask.nii"))
    eager, lazy = (
        stage(frame, bold=BOLD, mask=MASK).drop("bold_tr") for frame in (table, table.lazy())
    )
    assert eager.collect().equals(lazy.collect())


def test_each_anchor_file_is_a_record_sorted_as_people_count(files):
    names = [run(f"task-rest_run-{n}_bold.nii", s) for s in ("10", "2") for n in (10, 9, "01")]
    records = stage(files(*names), bold=BOLD).select("subject", "run").collect()
    assert records.rows() == [(s, n) for s in ("10", "2") for n in ("01", "9", "10")]


def test_a_record_that_lacks_a_role_has_null(files):
    table = files(run("bold.nii"), run("mask.nii"), run("bold.nii", "02"))
    assert column(stage(table, bold=BOLD, mask=MASK), "mask") == ["sub-01_mask.nii", None]


def test_contradicting_files_do_not_fill(files):
    table = files(
        run("task-a_space-M_bold.nii"),
        run("task-b_space-M_mask.nii"),
        run("task-a_space-T_mask.nii"),
        run("task-a_space-M_mask.nii", "02"),
    )
    assert column(stage(table, bold=BOLD, mask=MASK), "mask") == [None]


def test_the_file_that_shares_most_wins(files):
    table = files(
        run("task-a_run-1_space-M_bold.nii"),
        run("task-a_space-M_mask.nii"),
        run("task-a_run-1_mask.nii"),
        run("task-a_run-1_space-M_mask.nii"),
        run("mask.nii", datatype="anat"),
    )
    assert column(stage(table, bold=BOLD, mask=MASK), "mask") == [
        "sub-01_task-a_run-1_space-M_mask.nii"
    ]


def test_func_comes_before_anat(files):
    table = files(
        run("task-a_space-M_bold.nii"),
        run("space-M_mask.nii"),
        run("space-M_mask.nii", datatype="anat"),
    )
    mask = stage(table, bold=BOLD, mask=MASK).select("mask").collect().item()
    assert mask == "/data/sub-01/func/sub-01_space-M_mask.nii"


def test_what_the_query_names_may_contradict(files):
    table = files(run("space-M_bold.nii"), run("space-T_mask.nii"), run("mask.nii", "template"))
    named = stage(table, bold=BOLD, mask={"suffix": "mask", "space": "T"})
    assert column(named, "mask") == ["sub-01_space-T_mask.nii"]
    other = stage(table, bold=BOLD, mask={"suffix": "mask", "subject": "template"})
    assert column(other, "mask") == ["sub-template_mask.nii"]


def test_run_and_echo_compare_as_numbers(files):
    table = files(run("run-01_echo-2_bold.nii"), run("run-1_echo-02_mask.nii"))
    assert column(stage(table, bold=BOLD, mask=MASK), "mask") == ["sub-01_run-1_echo-02_mask.nii"]
    assert column(stage(table, bold={"suffix": "bold", "run": 1, "echo": ["002"]}), "bold")
    apart = files(run("acq-01_bold.nii"), run("acq-1_mask.nii"))
    assert column(stage(apart, bold=BOLD, mask=MASK), "mask") == [None]


def test_a_value_a_list_and_none(files):
    table = files(*(run(f"run-{n}_bold.nii") for n in (1, 2, 3)), run("bold.nii"))
    for value, expected in (
        (2, ["2"]),
        ("3", ["3"]),
        ([1, "03"], ["1", "3"]),
        (None, [None]),
        ([None, 2], [None, "2"]),
    ):
        records = stage(table, bold={"suffix": "bold", "run": value})
        assert records.select("run").collect()["run"].to_list() == expected


def test_roles_match_across_folders_of_one_dataset_only(files):
    bold = files(run("bold.nii"), root="/deriv")
    mine, other = files(run("mask.nii"), root="/raw"), files(run("mask.nii"), dataset="other")
    records = stage(pl.concat([bold, other, mine]), bold=BOLD, mask=MASK)
    assert records.select("mask").collect().item() == "/raw/sub-01/func/sub-01_mask.nii"


def test_one_folder_scanned_as_two_datasets(files):
    names = [run("bold.nii"), run("bold.json")]
    table = pl.concat([files(*names), files(*names, dataset="again")])
    records = stage(table, bold=BOLD).select("dataset", "bold_sidecar").collect()
    sidecar = ["/data/sub-01/func/sub-01_bold.json"]
    assert records.rows() == [("again", sidecar), ("ds", sidecar)]


def test_json_is_a_candidate_only_when_asked_for(files):
    table = files(run("bold.nii"), run("bold.dtseries.json"), run("bold.json"))
    assert column(stage(table, bold=BOLD), "bold") == ["sub-01_bold.nii"]
    asked = stage(table, bold=BOLD, facts={"suffix": "bold", "extension": ".json"})
    assert column(asked, "facts") == ["sub-01_bold.json"]


def test_a_twin_counts_once(files):
    table = files(run("bold.nii.gz"), run("bold.nii"), run("mask.nii"), run("mask.nii.gz"))
    records = stage(table, bold=BOLD, mask=MASK)
    assert column(records, "bold") == ["sub-01_bold.nii"]
    assert column(records, "mask") == ["sub-01_mask.nii"]
    asked = stage(table, bold={"suffix": "bold", "extension": ".nii.gz"})
    assert column(asked, "bold") == ["sub-01_bold.nii.gz"]


def test_two_anchor_files_of_one_record(files):
    table = files(*(run(f"{one}bold.func.gii") for one in ("hemi-L_", "hemi-R_", "run-1_")))
    with pytest.raises(TableError) as error:
        stage(table, bold=BOLD)
    assert str(error.value) == (
        "the files /data/sub-01/func/sub-01_hemi-L_bold.func.gii and /data/sub-01/func/sub-01_hemi"
        "-R_bold.func.gii are one record of 'bold': say which 'hemi' the query of 'bold' means, "
        '\'L\' or \'R\', or both with "hemi": ["L", "R"]'
    )


@pytest.mark.parametrize(
    ("first", "second", "entity"),
    [
        ("desc-preproc_bold.nii", "desc-other_bold.nii", "'desc'"),
        ("desc-preproc_bold.nii", "bold.nii", "'desc'"),
        ("bold.nii", "bold.func.gii", "'extension'"),
    ],
)
def test_the_error_names_what_tells_anchors_apart(files, first, second, entity):
    with pytest.raises(TableError, match=f"say which {entity} the query of 'bold' means"):
        stage(files(run(first), run(second)), bold=BOLD)


def test_a_run_written_in_two_ways_is_one_record(files):
    with pytest.raises(TableError, match="names mean the same"):
        stage(files(run("run-1_bold.nii"), run("run-01_bold.nii")), bold=BOLD)


def test_a_tie(files):
    table = files(
        run("task-a_bold.nii"), run("task-a_desc-brain_mask.nii"), run("task-a_desc-aroma_mask.nii")
    )
    with pytest.raises(TableError) as error:
        stage(table, bold=BOLD, mask=MASK)
    message = str(error.value)
    assert "sub-01_task-a_desc-aroma_mask.nii and /data/" in message
    assert "sub-01_task-a_desc-brain_mask.nii fill the role 'mask' equally well" in message
    assert "say which 'desc' the query of 'mask' means, 'aroma' or 'brain'" in message


def test_a_tie_between_runs_names_the_run(files):
    table = files(run("bold.nii"), run("run-1_mask.nii"), run("run-2_mask.nii"))
    with pytest.raises(TableError, match=r"say which 'run' .*, '1' or '2'"):
        stage(table, bold=BOLD, mask={"suffix": "mask", "run": [1, 2]})


def test_a_role_that_nothing_matches_says_what_there_is(files):
    table = files(run("bold.nii"), run("space-T1w_desc-brain_mask.nii"), run("desc-brain_mask.nii"))
    with pytest.raises(TableError) as error:
        stage(table, bold=BOLD, mask={"suffix": "mask", "desc": "brain", "space": "MNI"})
    assert str(error.value) == (
        "no file matches the role 'mask' (suffix='mask', desc='brain', space='MNI'); there is "
        "space: T1w, (absent)"
    )


def test_an_anchor_that_nothing_matches_says_what_there_is(files):
    with pytest.raises(TableError, match="--level minimal") as error:
        stage(
            files(run("mask.nii"), run("desc-x_boldref.nii")), bold={"suffix": "bold", "desc": "y"}
        )
    assert "there is suffix: boldref, mask; desc: x, (absent)" in str(error.value)
    with pytest.raises(TableError) as error:
        stage(files(run("bold.nii")), bold={"suffix": "bold", "run": []})
    assert "run: (absent)" in str(error.value)
    assert "minimal" not in str(error.value)


def test_a_misspelt_column(files):
    with pytest.raises(
        TableError, match="asks for 'spcae', which no file has; did you mean 'space'"
    ):
        stage(files(run("bold.nii")), bold={"spcae": "MNI"})
    with pytest.raises(TableError, match="there are: dataset, subject"):
        stage(files(run("bold.nii")), bold={"zzz": "x"})
    with pytest.raises(TableError, match="asks for 'path'"):
        stage(files(run("bold.nii")), bold={"path": "x"})


@pytest.mark.parametrize("name", ["subject", "space", "dataset"])
def test_a_role_may_not_take_a_columns_name(files, name):
    with pytest.raises(TableError, match=f"a second column '{name}': rename it"):
        stage(files(run("bold.nii")), **{name: BOLD})


def test_roles_may_not_take_each_others_columns(files):
    table = files(run("bold.nii"), run("mask.nii"))
    with pytest.raises(TableError, match="a second column 'bold_tr'"):
        stage(table, bold=BOLD, bold_tr=MASK)


def test_no_roles_and_no_query(files):
    with pytest.raises(TableError, match="stage needs a role"):
        stage(files(run("bold.nii")))
    with pytest.raises(TableError, match="needs a query such as"):
        stage(files(run("bold.nii")), bold="bold")


def test_a_table_of_something_else():
    with pytest.raises(TableError, match="stage needs a table of files, as scan makes it"):
        stage(pl.DataFrame({"subject": ["01"]}), bold=BOLD)


def test_from_a_folder(tmp_path):
    for name in ("task-rest_bold_space-M_preproc.nii.gz", "task-rest_bold_confounds.tsv"):
        path = tmp_path / run(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    records = stage(
        scan(tmp_path),
        bold={"suffix": "bold", "desc": "preproc"},
        confounds={"suffix": "timeseries", "desc": "confounds"},
    )
    assert column(records, "bold") == ["sub-01_task-rest_bold_space-M_preproc.nii.gz"]
    assert column(records, "confounds") == ["sub-01_task-rest_bold_confounds.tsv"]


def test_what_speaks_for_many_subjects_is_no_record(files):
    table = files("task-rest_events.tsv", run("task-rest_events.tsv"), run("bold.nii", "02"))
    events = stage(table, events={"suffix": "events"}).collect()
    assert events["subject"].to_list() == ["01"]
    filled = stage(table, bold=BOLD, events={"suffix": "events"}).collect()
    assert filled["events"].to_list() == ["/data/task-rest_events.tsv"]


def test_hcp_without_results_is_told_apart_from_a_minimal_fmriprep(files):
    hcp = files(run("T1w.nii.gz")).with_columns(path=pl.lit("/hcp/1/MNINonLinear/T1w.nii.gz"))
    with pytest.raises(TableError, match="no MNINonLinear/Results"):
        stage(hcp, bold=BOLD)


def test_an_optional_role_is_found_when_both_hemispheres_are(files):
    table = files(
        run("bold.nii"), run("bold.nii", "02"),
        *(run(f"hemi-{side}_bold.func.gii") for side in "LR"), run("hemi-L_bold.func.gii", "02"),
    )  # fmt: skip
    surface = role({"extension": ".func.gii"}, optional=True)
    records = stage(table, bold={"extension": ".nii"}, surface=surface).collect()
    assert records["surface_found"].to_list() == [True, False]


def test_a_mask_in_a_space_that_the_record_does_not_tell_is_said(files, caplog):
    table = files(
        run("task-a_bold.nii"),
        run("task-a_space-M_mask.nii"),
        run("space-M_T1w.nii", datatype="anat"),
    )
    stage(table, bold=BOLD, mask=MASK, t1w={"suffix": "T1w"})
    assert "1 records tell no space, and their 'mask' is in M" in caplog.text
    caplog.clear()
    apart = files(run("task-a_space-M_bold.nii"), run("task-a_space-M_mask.nii"))
    stage(apart, bold=BOLD, mask=MASK)
    stage(table, bold=BOLD, mask={**MASK, "space": "M"})
    assert not caplog.messages


def masked_runs(files, *lacking: str) -> pl.DataFrame:
    """Three runs with an anatomical mask, and one each of their own, but for some."""
    runs = ("run-1", "run-2", "run-3")
    bolds = [run(f"task-a_{one}_space-M_bold.nii") for one in runs]
    own = [run(f"task-a_{one}_space-M_mask.nii") for one in runs if one not in lacking]
    return files(*bolds, *own, run("space-M_mask.nii", datatype="anat"))


def test_a_file_that_comes_from_elsewhere_than_the_others_is_told(files, caplog):
    table = masked_runs(files, "run-1")
    records = stage(table, bold=BOLD, mask=MASK)
    assert column(records, "mask")[0] == "sub-01_space-M_mask.nii"
    assert caplog.messages == [
        "1 of 3 records fill the role 'mask' from elsewhere than the others "
        '(sub-01_task-a_run-1_space-M: anat, not func): say "datatype": "func" in its query, and '
        "it is missing there"
    ]


@pytest.mark.parametrize(
    ("lacking", "mask"),
    [
        ([], MASK),
        (["run-1", "run-2", "run-3"], MASK),  # as of all: nothing is mixed
        (["run-1"], {**MASK, "datatype": "func"}),
        (["run-1"], {**MASK, "datatype": ["func", "anat"]}),  # it was asked for
        (["run-1"], role(MASK, many=True)),
    ],
)
def test_what_is_asked_for_or_the_same_for_all_is_not_told(files, caplog, lacking, mask):
    stage(masked_runs(files, *lacking), bold=BOLD, mask=mask)
    assert not caplog.messages


def test_records_of_several_datatypes_have_files_of_several(files, caplog):
    table = files(
        *(run(f"run-{n}_{kind}.nii", datatype=where) for n in (1, 2) for kind, where in
          (("bold", "func"), ("desc-b_mask", "func"))),
        *(run(f"run-{n}_{kind}.nii", datatype="dwi") for n in (3, 4) for kind in ("dwi", "mask")),
        "task-rest_events.tsv",  # which speaks for all of them, and is of no datatype
        run("run-1_events.tsv"),
    )  # fmt: skip
    stage(table, image={"suffix": ["bold", "dwi"]}, mask=MASK, events={"suffix": "events"})
    assert not caplog.messages
