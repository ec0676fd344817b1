import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entense.errors import EntenseError
from entense.index import ENTITIES, Layout, register_layout
from entense.index.layouts import layouts
from entense.index.layouts.fmriprep import FMRIPREP
from entense.index.parse import parse

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
        "/sub-01.html",
        "/sub-01_ses-a.html",
        "/desc-aseg_dseg.tsv",
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


def test_a_layout_is_registered_once():
    with pytest.raises(EntenseError, match="'fmriprep' is already registered"):
        register_layout(FMRIPREP)
    assert layouts["fmriprep"] is FMRIPREP
    with pytest.raises(EntenseError, match="did you mean 'fmriprep'"):
        layouts["fmripep"]
