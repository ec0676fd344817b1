import os
import sys
from pathlib import Path

import polars as pl
import pytest

from entense.errors import EntenseError, TableError
from entense.index import ENTITIES, FILE_SCHEMA, Layout, scan

BOLD = "sub-01/func/sub-01_task-rest_desc-preproc_bold.nii.gz"
MASK = "sub-01/func/sub-01_task-rest_desc-brain_mask.nii.gz"


def paths(lf: pl.LazyFrame) -> list[str]:
    return lf.collect()["path"].to_list()


def test_the_file_table(grow):
    root = grow(BOLD, MASK, "sub-01/figures/sub-01_task-rest_desc-carpet_bold.svg", "README")
    lf = scan(root)
    assert isinstance(lf, pl.LazyFrame)
    assert lf.collect_schema() == pl.Schema(FILE_SCHEMA)
    names = ("dataset", "root", "path", *ENTITIES, "suffix", "extension", "datatype", "others")
    assert names == tuple(FILE_SCHEMA)
    assert paths(lf) == [f"{root}/{MASK}", f"{root}/{BOLD}"]
    row = lf.collect().row(1, named=True)
    assert {key: value for key, value in row.items() if value is not None} == {
        "dataset": "ds",
        "root": str(root),
        "path": f"{root}/{BOLD}",
        "subject": "01",
        "task": "rest",
        "desc": "preproc",
        "suffix": "bold",
        "extension": ".nii.gz",
        "datatype": "func",
    }


@pytest.mark.parametrize(
    ("root", "label"),
    [
        ("ds01-fmriprep", "ds01-fmriprep"),
        ("ds01/fmriprep", "ds01"),
        ("ds01/derivatives/fmriprep", "ds01"),
        ("ds01/derivatives", "ds01"),
    ],
)
def test_the_dataset_is_named_after_its_folder(grow, root, label):
    folder = grow(BOLD, root=root)
    assert scan(folder).collect()["dataset"].unique().to_list() == [label]
    assert scan(folder, dataset="other").collect()["dataset"].unique().to_list() == ["other"]


def test_the_output_folder_or_its_child(grow):
    root = grow(f"fmriprep/{BOLD}", "freesurfer/sub-01/sub-01_task-rest_bold.nii.gz")
    assert paths(scan(root)) == paths(scan(root / "fmriprep")) == [f"{root}/fmriprep/{BOLD}"]


def test_several_folders_are_one_dataset(grow):
    first, second = grow(BOLD, root="a"), grow(MASK, root="b")
    lf = scan([first, str(second), first])
    assert paths(lf) == [f"{first}/{BOLD}", f"{second}/{MASK}"]
    assert lf.collect()["dataset"].to_list() == ["a", "a"]


def test_a_relative_root_gives_absolute_paths(grow, monkeypatch):
    root = grow(BOLD)
    monkeypatch.chdir(root.parent)
    assert paths(scan("ds")) == paths(scan("./ds/")) == [f"{root}/{BOLD}"]
    monkeypatch.chdir(root)
    assert scan(".").collect()["dataset"].to_list() == ["ds"]


def test_an_annexed_file_is_indexed(grow):
    root = grow(MASK)
    (root / BOLD).symlink_to("../../.git/annex/objects/x/MD5E-s3--0.nii.gz")
    assert len(paths(scan(root))) == 2


def test_files_that_name_no_subject_are_in_it(grow):
    root = grow(BOLD, "task-rest_bold.json", "dwi.json", "dataset_description.json")
    assert paths(scan(root)) == [
        f"{root}/{name}" for name in ("dwi.json", BOLD, "task-rest_bold.json")
    ]


def test_a_folder_without_a_subject_is_no_dataset(grow):
    with pytest.raises(TableError, match=r"it holds task-rest_bold\.json, and nothing named"):
        scan(grow("task-rest_bold.json"))


def test_a_layout_of_ones_own(grow):
    root = grow("sub-01/sub-01_fmri.nii", "old/sub-01_fmri.nii")
    mine = Layout("mine", expected="…", skip=frozenset({"old"}), renames=((r"_fmri\.", "_bold."),))
    table = scan(root, layout=mine).collect()
    assert table["suffix"].to_list() == ["bold"]
    assert table["path"].to_list() == [f"{root}/sub-01/sub-01_fmri.nii"]


def test_no_such_folder(tmp_path):
    with pytest.raises(TableError, match=r"there is no folder .*nowhere"):
        scan(tmp_path / "nowhere")
    with pytest.raises(TableError, match="empty list"):
        scan([])


def test_a_file_is_not_a_folder(grow):
    with pytest.raises(TableError, match="there is no folder"):
        scan(grow("file") / "file")


def test_an_empty_folder(grow):
    root = grow()
    with pytest.raises(TableError, match=f"{root} holds no files"):
        scan(root)


def test_another_kind_of_folder(grow):
    root = grow("holiday/1.jpg", "holiday/2.jpg", "holiday/3.jpg", "notes.txt")
    with pytest.raises(TableError) as error:
        scan(root)
    assert f"{root} does not look like a BIDS derivative" in str(error.value)
    assert "holiday/1.jpg, holiday/2.jpg, holiday/3.jpg and 1 more" in str(error.value)
    assert "desc-preproc_bold.nii.gz" in str(error.value)


def test_a_copy_that_was_cut_off(grow):
    root = grow(f"sub-01/func/.{Path(BOLD).name}.rqy4V5", ".datalad/config")
    with pytest.raises(TableError, match=r"only hidden files, such as .*; copy the dataset again"):
        scan(root)


def test_an_unknown_layout(grow):
    with pytest.raises(EntenseError, match="there is no layout 'hpc'"):
        scan(grow(BOLD), layout="hpc")


@pytest.mark.parametrize("backwards", [False, True])
def test_the_order_does_not_depend_on_the_disk(grow, monkeypatch, backwards):
    root = grow(BOLD, MASK, "sub-02/func/sub-02_bold.nii", "sub-10/func/sub-10_bold.nii")

    def listing(folder):
        return sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=backwards)

    monkeypatch.setattr(sys.modules["entense.index.walk"], "_entries", listing)
    assert paths(scan(root)) == sorted(paths(scan(root)))
