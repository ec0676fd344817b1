"""The files below a URL, beside those below the folder that it serves."""

import zipfile

import fsspec
import pytest

from entense.errors import TableError
from entense.files import local
from entense.index.fetch import around, walk_url
from entense.index.walk import walk

NAMES = [
    "dataset_description.json",
    "sub-01/func/sub-01_task-rest_bold.nii.gz",
    "sub-01/func/sub-01_task-rest_bold.json",
    "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
    "sub-02/sub-02_T1w.nii",
    "figures/sub-01.svg",
    "sub-02/figures/deep/a.svg",
    ".datalad/config",
    "sub-02/.sub-02_T1w.nii.x4",
]


def grow(root):
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


@pytest.mark.parametrize("skip", [frozenset(), frozenset({"figures"})])
def test_every_store_lists_what_a_folder_holds(site, kept, tmp_path, skip):
    (site.root / "ds").mkdir()
    grow(site.root / "ds")
    due = sorted(walk(str(site.root / "ds"), skip=skip))
    memory = fsspec.filesystem("memory")
    with zipfile.ZipFile(tmp_path / "ds.zip", "w") as archive:
        for name in NAMES:
            memory.pipe_file(f"/listed/{name}", b"")
            archive.writestr(name, "")
            archive.writestr(f"in/{name}", "")
    whole = sorted({*due, *(f"in/{name}" for name in due)})
    for url, names in [
        (f"{site.url}/ds", due),
        (f"{site.url}/ds/", due),
        ("memory://listed", due),
        (f"file://{site.root}/ds", due),
        (f"zip://::{tmp_path}/ds.zip", whole),
        (f"zip://in::{tmp_path}/ds.zip", due),
    ]:
        assert sorted(walk_url(url, skip=skip)) == names
        before, after = around(url)
        with local(before + names[0] + after) as place:
            assert place.is_file()
    if skip:
        assert not [path for _, path in site.requests if "figures" in path]


def test_folders_are_listed_at_once_and_again_where_a_request_is_cut(site, kept):
    for number in range(30):
        (site.root / f"sub-{number:02}" / "func").mkdir(parents=True)
        (site.root / f"sub-{number:02}" / "func" / "a.nii").touch()
    site.drop = 3
    site.delay = 0.01
    assert len(set(walk_url(site.url))) == 30
    assert site.cut >= 30
    assert 4 <= site.most_at_once <= 8


def test_a_folder_that_is_not_there_or_not_ours(site, kept, tmp_path):
    with pytest.raises(TableError, match=r"/none: cannot be listed \(HTTP 404|no such file"):
        list(walk_url(f"{site.url}/none"))
    site.status["/shut/"] = 403
    with pytest.raises(TableError, match=r"HTTP 403 .*register_storage"):
        list(walk_url(f"{site.url}/shut"))
    assert site.count(path="/shut/") == 1
    with pytest.raises(TableError, match="there is no such file"):
        list(walk_url("memory://no/such/folder"))
    with pytest.raises(TableError, match="fetches 'pipe' URLs"):
        list(walk_url("pipe://ls"))
    with pytest.raises(TableError, match="cannot be listed"):
        list(walk_url(f"zip://::{tmp_path}/none.zip"))


def test_a_server_that_is_not_there(kept):
    with pytest.raises(
        TableError, match=r"cannot be listed .*; run again when the network is well"
    ):
        list(walk_url("http://127.0.0.1:9"))


def test_links_in_a_cycle_end(site, kept):
    (site.root / "a.nii").touch()
    (site.root / "loop").symlink_to(site.root)
    with pytest.raises(TableError, match="its folders never end"):
        list(walk_url(site.url))


def test_a_walk_that_is_left_early_ends(site, kept):
    for number in range(50):
        (site.root / f"sub-{number}").mkdir()
        (site.root / f"sub-{number}" / "a.nii").touch()
    names = walk_url(site.url)
    assert next(names).endswith("a.nii")
    names.close()
    assert site.count() < 51
