import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entense.errors import EntenseError
from entense.index import ENTITIES, Layout, register_layout
from entense.index.layouts import layouts
from entense.index.layouts.fmriprep import FMRIPREP
from entense.index.parse import known, parse

PLAIN = Layout("plain", expected="sub-01_bold.nii.gz")


def read(name: str, layout: Layout = FMRIPREP) -> dict[str, str]:
    """Parse one name; what is there of it, without subject and datatype."""
    row = parse(pl.Series([f"/sub-01/func/sub-01{name}"]), layout).row(0, named=True)
    assert row.pop("subject") == "01"
    assert row.pop("datatype") == "func"
    return {key: value for key, value in row.items() if value is not None}


def parts(suffix: str, extension: str, **entities: str) -> dict[str, str]:
    return {"suffix": suffix, "extension": extension, **entities}


CURRENT = {
    "_ses-042b_task-rest_dir-AP_run-01_echo-1_part-mag_space-M_res-2_desc-preproc_bold.nii": parts(
        "bold", ".nii", session="042b", task="rest", direction="AP", run="01", echo="1",
        part="mag", resolution="2", desc="preproc", space="M",
    ),
    "_task-rest_space-fsLR_den-91k_bold.dtseries.nii": parts(
        "bold", ".dtseries.nii", task="rest", space="fsLR", density="91k"
    ),
    "_task-rest_hemi-L_space-fsaverage5_bold.func.gii": parts(
        "bold", ".func.gii", task="rest", hemi="L", space="fsaverage5"
    ),
    "_task-rest_space-fsaverage5_hemi-R_bold.func.gii": parts(
        "bold", ".func.gii", task="rest", hemi="R", space="fsaverage5"
    ),
    "_task-rest_desc-confounds_timeseries.tsv": parts(
        "timeseries", ".tsv", task="rest", desc="confounds"
    ),
    "_task-rest_label-brain_mask.nii.gz": parts("mask", ".nii.gz", task="rest", label="brain"),
    "_from-T1w_to-MNI152NLin6Asym_mode-image_xfm.h5": {
        "from": "T1w", "to": "MNI152NLin6Asym", "mode": "image", **parts("xfm", ".h5"),
    },
    "_task-rest_AROMAnoiseICs.csv": parts("AROMAnoiseICs", ".csv", task="rest"),
    "_split-1_chunk-2_bold.nii": parts("bold", ".nii", chunk_split="1", chunk="2"),
}  # fmt: skip
LEGACY = {
    "_task-x_desc-confounds_regressors.tsv": "_task-x_desc-confounds_timeseries.tsv",
    "_task-x_space-fsaverage5_hemi-L.func.gii": "_task-x_hemi-L_space-fsaverage5_bold.func.gii",
    "_task-x_hemi-L_space-fsaverage5.func.gii": "_task-x_hemi-L_space-fsaverage5_bold.func.gii",
    "_task-x_bold_space-fsaverage5.R.func.gii": "_task-x_hemi-R_space-fsaverage5_bold.func.gii",
    "_run-04_bold_space-T1w_preproc.nii.gz": "_run-04_space-T1w_desc-preproc_bold.nii.gz",
    "_task-x_bold_preproc.nii.gz": "_task-x_desc-preproc_bold.nii.gz",
    "_bold_space-M_variant-AROMA_preproc.nii": "_space-M_desc-AROMA_bold.nii",
    "_task-x_bold_space-T1w_brainmask.nii.gz": "_task-x_space-T1w_desc-brain_mask.nii.gz",
    "_task-x_bold_space-T1w_label-aseg_roi.nii.gz": "_task-x_space-T1w_desc-aseg_dseg.nii.gz",
    "_task-x_bold_confounds.tsv": "_task-x_desc-confounds_timeseries.tsv",
    "_task-x_bold_MELODICmix.tsv": "_task-x_desc-MELODIC_mixing.tsv",
    "_task-x_bold_AROMAnoiseICs.csv": "_task-x_AROMAnoiseICs.csv",
    "_T1w_preproc.nii.gz": "_desc-preproc_T1w.nii.gz",
    "_T1w_space-M_brainmask.nii.gz": "_space-M_desc-brain_mask.nii.gz",
    "_T1w_space-M_class-GM_probtissue.nii.gz": "_space-M_label-GM_probseg.nii.gz",
    "_T1w_dtissue.nii.gz": "_dseg.nii.gz",
    "_T1w_label-aparcaseg_roi.nii.gz": "_desc-aparcaseg_dseg.nii.gz",
    "_T1w_pial.L.surf.gii": "_hemi-L_pial.surf.gii",
    "_T1w_target-M_warp.h5": "_from-T1w_to-M_mode-image_xfm.h5",
    "_T1w_space-orig_target-T1w_affine.txt": "_from-orig_to-T1w_mode-image_xfm.txt",
}


@pytest.mark.parametrize("name", CURRENT)
def test_current_names(name):
    assert read(name) == CURRENT[name]


@pytest.mark.parametrize("name", LEGACY)
def test_a_legacy_name_means_what_it_is_called_today(name):
    assert read(name) == read(LEGACY[name], PLAIN)


@pytest.mark.parametrize("name", [*CURRENT, *LEGACY.values()])
def test_todays_names_are_left_alone(name):
    assert read(name) == read(name, PLAIN)


@pytest.mark.parametrize(
    "path",
    [
        "/README",
        "/dataset_description.json",
        "/participants.tsv",
        "/participants.json",
        "/samples.json",
        "/sub-01.html",
        "/sub-01_ses-a.html",
        "/sub-01/dwi.json",
        "/code/settings.json",
        "/dwi.bval",
        "/my-notes_x.txt",
        "/task-rest.json",
        "/tasks-rest_bold.json",
        "/sub-01/func/notes.txt",
        "/sub-01/func/sub-01_task-rest_bold",
        "/sub-01_task-rest/file.nii",
    ],
)
def test_other_names_are_all_null(path):
    row = parse(pl.Series([path]), FMRIPREP)
    assert set(row.row(0)) == {None}


@pytest.mark.parametrize(
    ("path", "datatype"),
    [
        ("/sub-01/anat/sub-01_T1w.nii", "anat"),
        ("/fmriprep/sub-01/ses-a/func/sub-01_ses-a_bold.nii", "func"),
        ("/sub-01_T1w.nii", None),
        ("/anat/extra/sub-01_T1w.nii", None),
    ],
)
def test_the_datatype_is_the_folder(path, datatype):
    assert parse(pl.Series([path]), FMRIPREP)["datatype"].item() == datatype


def test_a_session_out_of_its_place_is_found():
    assert read("_task-rest_ses-a_bold.nii")["session"] == "a"


SHARED = {
    "/dwi.json": parts("dwi", ".json"),
    "/task-rest_bold.json": parts("bold", ".json", task="rest"),
    "/task-rest_events.tsv": parts("events", ".tsv", task="rest"),
    "/ses-a/func/ses-a_task-rest_bold.json": parts(
        "bold", ".json", session="a", task="rest", datatype="func"
    ),
    "/fmriprep/desc-aseg_dseg.tsv": parts("dseg", ".tsv", desc="aseg"),
    "/desc-confounds_regressors.json": parts("timeseries", ".json", desc="confounds"),
    "/atlases/atlas-4S_seg-a_dseg.json": parts("dseg", ".json", atlas="4S", segmentation="a"),
    "/tpl-MNI_res-1_T1w.nii": parts("T1w", ".nii", template="MNI", resolution="1"),
    "/sub-01/sub-01_task-rest_bold.json": parts("bold", ".json", subject="01", task="rest"),
    "/task-rest_sub-01_bold.nii": parts("bold", ".nii", subject="01", task="rest"),
}


@pytest.mark.parametrize("path", SHARED)
def test_a_name_without_a_subject_speaks_for_many(path):
    row = parse(pl.Series([path]), FMRIPREP).row(0, named=True)
    assert {key: value for key, value in row.items() if value is not None} == SHARED[path]


def test_entities_that_bids_does_not_know_are_kept_in_their_order():
    rows = parse(
        pl.Series(
            [
                "/sub-01_zoo-1_task-rest_bar-x+y_bold.nii",
                "/sub-02_task-rest_bold.nii",
                "/task-rest_lab-7_lab-8_bold.json",
                "/sub-01_zoo-1_task-rest",
            ]
        ),
        PLAIN,
    )
    others = [None, None, None, None]
    others[0] = [{"key": "zoo", "value": "1"}, {"key": "bar", "value": "x+y"}]
    others[2] = [{"key": "lab", "value": "7"}, {"key": "lab", "value": "8"}]
    assert rows["others"].to_list() == others
    assert rows["task"].to_list() == ["rest"] * 3 + [None]


def test_known_leaves_out_what_says_nothing():
    paths = pl.Series(["/README", "/sub-01/func/sub-01_bold.nii", "/dwi.json", "/sub-01.html"])
    rows = known(paths, FMRIPREP)
    assert rows["path"].to_list() == [paths[1], paths[2]]
    assert rows.drop("path").equals(parse(paths, FMRIPREP).gather([1, 2]))
    assert rows.drop("path").schema == parse(pl.Series([""]), FMRIPREP).schema


def test_nothing_has_the_same_columns():
    rows = parse(pl.Series([], dtype=pl.String), FMRIPREP)
    assert rows.is_empty()
    assert rows.schema == parse(pl.Series(["/dwi.json"]), FMRIPREP).schema


TWICE = {
    "/sub-01_task-a_task-b_bold.nii": {"task": "a"},
    "/sub-01_ses-a_task-a_ses-b_bold.nii": {"session": "a"},
    "/sub-01_ses-a_ses-b_bold.nii": {"session": "a"},
    "/sub-01_task-a_sub-02_bold.nii": {"subject": "01"},
    "/sub-01_lab-1_lab-2_bold.nii": {"subject": "01"},
}


@pytest.mark.parametrize("path", TWICE)
def test_of_an_entity_with_two_labels_the_first_counts_and_that_is_said(path, caplog):
    row = parse(pl.Series([path]), FMRIPREP).row(0, named=True)
    assert row.items() >= TWICE[path].items()
    assert caplog.messages == [f"{path} has one entity twice: the first counts; rename it"]


def test_names_with_two_labels_are_counted(caplog):
    parse(pl.Series([*TWICE, "/sub-01_task-a_task-a_bold.nii", "/sub-01_bold.nii"]), FMRIPREP)
    (message,) = caplog.messages
    assert message.startswith("/sub-01_task-a_task-b_bold.nii (and 4 more) has one entity twice")


labels = st.text("abcXYZ019+", min_size=1, max_size=4)


@given(
    entities=st.dictionaries(st.sampled_from([e for e in ENTITIES if e != "subject"]), labels),
    order=st.randoms(use_true_random=False),
    suffix=st.text("abcT1w", min_size=1),
    extension=st.sampled_from([".nii", ".nii.gz", ".json", ".label.gii"]),
)
def test_what_was_written_is_read(entities, order, suffix, extension):
    chunks = [f"_{ENTITIES[entity]}-{label}" for entity, label in entities.items()]
    order.shuffle(chunks)
    name = "".join(chunks) + f"_{suffix}{extension}"
    assert read(name, PLAIN) == parts(suffix, extension, **entities)


@given(st.dictionaries(st.text("xyz", min_size=1, max_size=3), labels, max_size=4))
def test_no_entity_is_lost(others):
    name = "".join(f"_{key}-{label}" for key, label in others.items()) + "_bold.nii"
    found = read(name, PLAIN).get("others") or []
    assert {one["key"]: one["value"] for one in found} == others
    assert [one["key"] for one in found] == [*others]


def test_a_layout_is_registered_once():
    with pytest.raises(EntenseError, match="'fmriprep' is already registered"):
        register_layout(FMRIPREP)
    assert layouts["fmriprep"] is FMRIPREP
    with pytest.raises(EntenseError, match="did you mean 'fmriprep'"):
        layouts["fmripep"]
