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


def test_an_entity_twice_in_a_name_counts_once(grow):
    first, second = (f"sub-01/func/sub-01_task-a_task-{x}_bold.nii" for x in "bc")
    root = grow(first, "sub-02/sub-02_ses-a_task-a_ses-b_sub-03_bold.nii")
    found = scan(root).collect().select("subject", "session", "task").rows()
    assert found == [("01", None, "a"), ("02", "a", "a")]
    grow(second)
    with pytest.raises(TableError, match=r"task-b_bold.nii and .*are one record"):
        stage(scan(root), bold={"suffix": "bold"})


def test_a_tree_without_functional_data_says_what_there_is(grow):
    root = grow("sub-01/anat/sub-01_desc-preproc_T1w.nii.gz", "sub-01/anat/sub-01_dseg.nii.gz")
    with pytest.raises(TableError, match=r"suffix: T1w.*--level minimal"):
        stage(scan(root), bold={"suffix": "bold", "desc": "preproc"})
