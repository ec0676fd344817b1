"""What a folder is taken for, and folders that are hard to read."""

import logging
import os

import pytest

from entense.errors import TableError
from entense.index import Layout, register_layout, scan
from entense.index.layouts import layouts
from entense.records import stage

FMRIPREP = "sub-01/func/sub-01_task-rest_space-M_desc-preproc_bold.nii.gz"
HCP = "100307/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR.nii.gz"
LEGACY = "fmriprep/sub-01/func/sub-01_task-rest_bold_space-M_preproc.nii.gz"


@pytest.fixture
def lab(monkeypatch):
    """Register a layout whose folders tell the subject, for one test."""
    monkeypatch.setattr(layouts, "_things", dict(layouts._things))
    to_bids = (r"^/([^/]+)/([^/]+)/fmri\.nii$", "/func/sub-${1}_task-${2}_bold.nii")
    return register_layout(Layout("a-lab", expected="01/rest/fmri.nii", paths=(to_bids,)))


RAW = "sub-01/func/sub-01_task-rest_run-1_bold.nii.gz"
SIGNS = {
    "bids": [
        RAW,
        "sub-01/ses-a/anat/sub-01_ses-a_acq-x_T1w.nii",
        "sub-01/meg/sub-01_task-x_proc-sss_meg.fif",
        "sub-01/eeg/sub-01_task-x_eeg.vhdr",
        "sub-01/dwi/sub-01_dir-AP_dwi.nii.gz",
        # other derivatives: MRIQC, FitLins, a tool of one's own
        "sub-01/func/sub-01_task-rest_bold.json",
        "task-x/node-subjectLevel/sub-01_task-x_contrast-y_stat-t_statmap.nii.gz",
        "sub-01/func/sub-01_task-rest_events.tsv",
    ],
    "fmriprep": [
        FMRIPREP,
        LEGACY,
        f"derivatives/fmriprep/{FMRIPREP}",
        "sub-01/func/sub-01_task-rest_desc-confounds_timeseries.tsv",
        "sub-01/func/sub-01_task-rest_hemi-L_space-fsaverage5.func.gii",
        "sub-01/func/sub-01_task-rest_bold_space-fsaverage5.L.func.gii",
        "sub-01/func/sub-01_task-rest_bold_confounds.tsv",
        "sub-01/anat/sub-01_T1w_space-M_class-GM_probtissue.nii.gz",
        # --level minimal
        "sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
        "sub-01/func/sub-01_task-rest_desc-hmc_boldref.nii.gz",
        "sub-01/func/sub-01_task-rest_from-orig_to-boldref_mode-image_desc-hmc_xfm.txt",
        # XCP-D
        "sub-01/anat/sub-01_space-M_desc-preproc_T1w.nii.gz",
    ],
    "hcp": [HCP, "100307/MNINonLinear/T1w_restore.nii.gz"],
}


@pytest.mark.parametrize(("layout", "name"), [(k, name) for k in SIGNS for name in SIGNS[k]])
def test_what_a_folder_is_taken_for(grow, caplog, layout, name):
    caplog.set_level(logging.INFO)
    root = grow(name, "dataset_description.json", "participants.tsv")
    found = scan(root).collect()
    level = "WARNING" if layout == "hcp" else "INFO"
    assert said(caplog) == [
        (level, f"{root} was taken for layout={layout!r}, which scan can be told")
    ]
    assert found["path"].to_list() == [f"{root}/{name}"]
    assert found.equals(scan(root, layout).collect())


def test_a_raw_dataset_that_holds_its_derivatives(grow, caplog):
    caplog.set_level(logging.INFO)
    hidden = [f"{folder}/{RAW}" for folder in ("sourcedata", "code", "work", "derivatives/x")]
    root = grow(RAW, f"derivatives/fmriprep/{FMRIPREP}", *hidden)
    assert scan(root).collect()["path"].to_list() == [f"{root}/{RAW}"]
    assert "layout='bids'" in caplog.text
    both = scan([root, root / "derivatives" / "fmriprep"]).collect()
    assert both["path"].to_list() == [f"{root}/{RAW}", f"{root}/derivatives/fmriprep/{FMRIPREP}"]
    assert "layout='fmriprep'" in caplog.text
    assert both["dataset"].unique().to_list() == ["ds"]
    assert both["root"].to_list() == [str(root), f"{root}/derivatives/fmriprep"]
    bold = {"suffix": "bold", "desc": "preproc"}
    staged = stage(both, bold=bold, raw={"suffix": "bold", "desc": None, "run": "1"}).collect()
    assert staged.select("bold", "raw").row(0) == (both["path"][1], both["path"][0])


def test_a_sign_of_ones_own_comes_first(grow, lab):
    register_layout(Layout("z", expected="…", sign="/scan/", renames=((r"_fmri\.", "_bold."),)))
    root = grow("sub-01/scan/sub-01_desc-preproc_fmri.nii", f"x/{RAW}")
    assert set(scan(root).collect()["suffix"]) == {"bold"}


@pytest.mark.parametrize("where", ["sign", "paths", "renames"])
def test_an_expression_that_is_none(grow, lab, where):
    wrong = "(a" if where == "sign" else (("(a", "b"),)
    layout = register_layout(Layout("wrong", expected="…", **{where: wrong}))
    with pytest.raises(TableError, match=r"the layout 'wrong' has an expression that cannot be"):
        scan(grow(RAW), layout=None if where == "sign" else layout)


def said(caplog):
    return [(record.levelname, record.getMessage()) for record in caplog.records]


@pytest.mark.parametrize("name", [FMRIPREP, LEGACY])
def test_fmriprep_is_found_out(grow, caplog, name):
    caplog.set_level(logging.INFO)
    root = grow(name, f"sourcedata/{HCP}")
    found = scan(root).collect()
    assert [level for level, words in said(caplog) if "layout='fmriprep'" in words] == ["INFO"]
    assert found.equals(scan(root, layout="fmriprep").collect())
    assert found["path"].to_list() == [f"{root}/{name}"]


def test_an_unreadable_folder(grow, monkeypatch):
    root = grow(RAW, "sub-02/func/sub-02_bold.nii")
    scandir = os.scandir

    def refuse(folder):
        if "sub-02" in str(folder):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(TableError, match=r"sub-02/? cannot be read \(Permission denied\): give"):
        scan(root)


def test_another_layout_is_found_out_and_said(grow, caplog):
    root = grow(HCP, "README")
    found = scan(root).collect()
    words = f"{root} was taken for layout='hcp', which scan can be told"
    assert said(caplog) == [("WARNING", words)]
    caplog.clear()
    assert found.equals(scan(root, layout="hcp").collect())
    assert not said(caplog)


def test_ones_own_layout_is_found_out(grow, lab):
    root = grow("01/rest/fmri.nii", "02/rest/fmri.nii", "02/rest/notes.txt")
    found = scan(root).collect()
    assert found.select("subject", "task", "suffix", "datatype").rows() == [
        ("01", "rest", "bold", "func"),
        ("02", "rest", "bold", "func"),
    ]
    assert found["path"].to_list() == [f"{root}/{n}/rest/fmri.nii" for n in ("01", "02")]
    assert found.equals(scan(root, layout="a-lab").collect())


def test_roots_of_two_layouts(grow, caplog):
    found = scan([grow(HCP, root="a"), grow(FMRIPREP, root="b")]).collect()
    assert found["subject"].to_list() == ["100307", "01"]


def test_when_none_fits_each_is_named(grow, lab):
    with pytest.raises(TableError) as error:
        scan(grow("holiday/1.jpg"))
    for one in layouts:
        assert f"{layouts[one].expected} ({one})" in str(error.value)


def test_files_in_skipped_folders_are_told(grow):
    with pytest.raises(TableError, match=r"it holds logs/a\.txt, and nothing"):
        scan(grow("logs/a.txt"))


@pytest.mark.parametrize("layout", [None, "hcp"])
def test_a_cycle_of_links(grow, layout):
    root = grow(HCP)
    (root / "100307" / "MNINonLinear" / "up").symlink_to("..")
    (root / "all").symlink_to(".")
    assert scan(root, layout=layout).collect()["path"].to_list() == [f"{root}/{HCP}"]


def not_text(grow, folder, name=b"sub-01_\xff_bold.nii"):
    path = grow() / os.fsdecode(folder) / os.fsdecode(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    return path


@pytest.mark.parametrize("folder", [b"sub-01/func", b"sub-\xfe"])
def test_a_name_that_is_not_utf8_is_an_error_that_prints(grow, folder):
    root, path = grow(FMRIPREP), not_text(grow, folder)
    with pytest.raises(TableError, match="is not UTF-8: rename it") as error:
        scan(root)
    str(error.value).encode()
    assert repr(os.fsencode(path)) in str(error.value)


def test_such_a_name_in_a_skipped_folder_does_not_matter(grow):
    root = grow(FMRIPREP)
    not_text(grow, b"logs")
    assert scan(root).collect().height == 1


def test_several_such_names_are_counted(grow):
    not_text(grow, b"logs")
    not_text(grow, b"logs", b"\xff")
    with pytest.raises(TableError, match=r"\(and 1 more\) is not UTF-8: rename it"):
        scan(grow())


def test_a_root_whose_name_is_not_utf8(grow, tmp_path):
    path = not_text(grow, b"sub-\xfe").parent
    with pytest.raises(TableError, match="is not UTF-8"):
        scan(path)
    with pytest.raises(TableError, match="is not UTF-8"):
        scan(path / "nowhere")
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(TableError, match="is not UTF-8"):
        scan(tmp_path / "link")


def test_an_entity_twice_in_a_name_counts_once(grow, caplog):
    first, second = (f"sub-01/func/sub-01_task-a_task-{x}_bold.nii" for x in "bc")
    root = grow(first, "sub-02/sub-02_ses-a_task-a_ses-b_sub-03_bold.nii")
    found = scan(root).collect().select("subject", "session", "task").rows()
    assert found == [("01", None, "a"), ("02", "a", "a")]
    assert f"/{first} (and 1 more) has one entity twice: the first counts" in caplog.text
    grow(second)
    with pytest.raises(TableError, match=r"task-b_bold.nii and .*are one record"):
        stage(scan(root), bold={"suffix": "bold"})


def test_a_tree_without_functional_data_says_what_there_is(grow):
    func = "sub-01/func/sub-01_task-rest"
    root = grow(
        *("sub-01/anat/sub-01_desc-preproc_T1w.nii.gz", "sub-01/anat/sub-01_dseg.nii.gz"),
        *(f"{func}_desc-{x}_boldref.nii.gz" for x in ("hmc", "coreg")),
        f"{func}_from-orig_to-boldref_mode-image_desc-hmc_xfm.txt",
    )
    assert scan(root).collect().height == 5
    with pytest.raises(TableError, match=r"suffix: T1w.*--level minimal"):
        stage(scan(root), bold={"suffix": "bold", "desc": "preproc"})
