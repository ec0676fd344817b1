import os

import pytest

from entense.errors import TableError
from entense.index.walk import walk

NAME = "sub-01_task-rest_bold.nii.gz"


def test_yields_every_file_below_the_folder(grow):
    root = grow("a", "x/b", "x/y/z/c")
    assert sorted(walk(str(root))) == ["a", "x/b", "x/y/z/c"]


def test_leaves_out_hidden_names_and_skipped_folders(grow):
    root = grow(
        f"func/{NAME}",
        f"func/.{NAME}.rqy4V5",
        f".datalad/{NAME}",
        f"sub-01/figures/{NAME}",
        f"sourcedata/freesurfer/{NAME}",
        "deep/figures",  # a file of that name is a file
    )
    found = sorted(walk(str(root), skip={"figures", "sourcedata"}))
    assert found == ["deep/figures", f"func/{NAME}"]


def test_a_dangling_link_is_a_file(grow):
    root = grow()
    (root / NAME).symlink_to("../.git/annex/objects/MD5E-s1--0")
    (root / "README").symlink_to("nowhere")
    assert sorted(walk(str(root))) == ["README", NAME]


def test_a_link_named_as_data_is_not_asked_what_it_is(grow):
    root, elsewhere = grow(), grow("inner", root="store")
    (root / "sub-01_meg.ds").symlink_to(elsewhere)
    assert list(walk(str(root))) == ["sub-01_meg.ds"]


def test_links_to_folders_are_followed(grow):
    root, elsewhere = grow("own"), grow("func/file", root="store/sub-01")
    (root / "sub-01").symlink_to(elsewhere)
    (root / "sub-02.old").symlink_to(elsewhere / "func")
    assert sorted(walk(str(root))) == ["own", "sub-01/func/file"]


def test_a_root_that_is_a_link(grow, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(grow("x/a"))
    assert list(walk(str(link))) == ["x/a"]


@pytest.mark.parametrize("target", [".", "..", "../a", "../..", "../b"])
def test_a_cycle_of_links_ends(grow, target):
    root = grow("a/file", "b/file")
    (root / "a" / "back").symlink_to(target)
    (root / "b" / "over").symlink_to("../a")
    assert sorted(walk(str(root))) == ["a/file", "b/file"]


def test_a_cycle_outside_the_folder_ends(grow):
    root, store = grow("own"), grow("x/file", "y/file", root="store")
    (store / "x" / "to").symlink_to("../y")
    (store / "y" / "to").symlink_to("../x")
    (root / "in").symlink_to(store / "x")
    assert sorted(walk(str(root))) == ["in/file", "in/to/file", "own"]


def test_a_folder_that_cannot_be_read_is_named(grow, monkeypatch):
    root = grow("sub-01/file", "sub-02/file")
    scandir = os.scandir

    def refuse(folder):
        if "sub-02" in str(folder):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(TableError, match=r"sub-02/? cannot be read \(Permission denied\)"):
        list(walk(str(root)))


def test_a_link_to_itself_is_named(grow):
    root = grow("file")
    (root / "loop").symlink_to("loop")
    with pytest.raises(TableError, match="loop cannot be read"):
        list(walk(str(root)))


def test_a_link_to_a_folder_with_a_version_in_its_name_is_followed(grow):
    target = grow("sub-01/func/sub-01_task-rest_bold.nii.gz", root="elsewhere")
    root = grow("README")
    (root / "ds_v1.0").symlink_to(target)
    assert "ds_v1.0/sub-01/func/sub-01_task-rest_bold.nii.gz" in set(walk(str(root)))
