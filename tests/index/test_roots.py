"""Roots that are not walked: inventories, and URLs."""

import sys
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from entense.errors import TableError
from entense.index import scan

BOLD = "sub-01/func/sub-01_task-rest_desc-preproc_bold.nii.gz"
MASK = "sub-01/func/sub-01_task-rest_desc-brain_mask.nii.gz"
INVENTORIES = {
    "relative": [BOLD, MASK],
    "with a dot": [f"./{MASK}", f"./{BOLD}"],
    "absolute": [f"/data/ds/{BOLD}", MASK],
    "paths": [Path(BOLD), Path("/data/ds", MASK)],
    "repeated": [BOLD, MASK, f"/data/ds/{BOLD}"],
    "a series": pl.Series([BOLD, MASK]),
    "a generator": (name for name in (BOLD, MASK)),
    "with what a walk leaves out": [
        *(BOLD, MASK, f"logs/{BOLD}", f"sub-01/.x/{BOLD}", f"sub-01/func/.{Path(BOLD).name}.x"),
        *("sub-01/func", "sub-01/func/", "", "README"),
    ],
}


@pytest.mark.parametrize("files", INVENTORIES.values(), ids=INVENTORIES)
def test_an_inventory(files):
    table = scan("/data/ds", files=files).collect()
    assert table["path"].to_list() == [f"/data/ds/{MASK}", f"/data/ds/{BOLD}"]
    assert table.select("dataset", "root").unique().rows() == [("ds", "/data/ds")]


def test_an_inventory_is_read_as_a_walk_is(grow):
    root = grow(BOLD, MASK, "figures/sub-01_x.svg", "sub-01/anat/sub-01_T1w.nii", ".hidden/a")
    names = [str(path.relative_to(root)) for path in root.rglob("*")]
    for layout in (None, "bids", "fmriprep"):
        walked = scan(root, layout).collect()
        assert scan(root, layout, files=names).collect().equals(walked)


def test_nothing_is_walked(monkeypatch):
    monkeypatch.setattr(sys.modules["entense.index.tree"], "walk", None)
    assert scan("/nowhere/ds", files=[BOLD]).collect().height == 1


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (BOLD, "is one path: give a list"),
        (Path(BOLD), "is one path: give a list"),
        ([BOLD, "/other/a"], "files has /other/a, which is no path below /data/ds"),
        (["../a"], "files has ../a, which is no path"),
        (["s3://bucket/a"], "files has s3://bucket/a, which is no path"),
        ([BOLD, None], "files has None, which is no path"),
        ([3], "files has 3, which is no path"),
        (pl.Series([3]), "files has 3, which is no path"),
        ([], "/data/ds holds no files"),
        (["sub-01/func/sub-01_\udcff_bold.nii"], "is not UTF-8"),
    ],
)
def test_an_inventory_that_is_none(files, words):
    with pytest.raises(TableError, match=words):
        scan("/data/ds", files=files)


def test_an_inventory_is_of_one_root():
    with pytest.raises(TableError, match=r"files= lists what is below one folder"):
        scan(["/data/a", "/data/b"], files=[BOLD])


@pytest.fixture
def bucket(monkeypatch):
    """Stand in for the network: what is walked and told is noted, and nothing is fetched."""
    seen = SimpleNamespace(walked=[], told=[], names=[BOLD, MASK])

    def walk_url(url, *, skip):
        seen.walked.append((url, skip))
        return iter(seen.names)

    def told(prefix, options):
        seen.told.append((prefix, options))

    monkeypatch.setattr("entense.index.tree.walk_url", walk_url)
    monkeypatch.setattr("entense.index.tree.register_storage", told)
    return seen


@pytest.mark.parametrize(
    ("root", "url", "label"),
    [
        ("s3://bucket/ds", "s3://bucket/ds", "ds"),
        ("s3://bucket/ds/", "s3://bucket/ds", "ds"),
        (Path("s3://bucket/ds/derivatives"), "s3://bucket/ds/derivatives", "ds"),
        ("https://x.org/ds/fmriprep", "https://x.org/ds/fmriprep", "ds"),
        ("memory://ds", "memory://ds", "ds"),
    ],
)
def test_a_url(bucket, root, url, label):
    table = scan(root, "fmriprep").collect()
    assert table["path"].to_list() == [f"{url}/{MASK}", f"{url}/{BOLD}"]
    assert table["dataset"].unique().to_list() == [label]
    assert len(bucket.walked) == 1
    assert "logs" in bucket.walked[0][1]


def test_a_chain_of_urls(bucket):
    root, options = "zip://ds::s3://bucket/ds.zip", {"anon": True}
    table = scan(root, "fmriprep", dataset="x", storage_options=options).collect()
    assert bucket.told == [("s3://bucket/ds.zip", options)]
    assert table["path"][1] == f"zip://ds/{BOLD}::s3://bucket/ds.zip"


def test_a_url_is_walked_once_for_bids_and_fmriprep(bucket):
    assert scan("s3://bucket/ds").collect().height == 2
    assert len(bucket.walked) == 1


def test_a_url_with_an_inventory_is_not_walked(bucket):
    scan("s3://bucket/ds", files=[f"s3://bucket/ds/{BOLD}"], storage_options={"anon": True})
    assert not bucket.walked
    assert bucket.told == [("s3://bucket/ds", {"anon": True})]


def test_a_folder_and_a_url_are_one_dataset(bucket, grow):
    root = grow("sub-01/func/sub-01_task-rest_events.tsv")
    lf = scan([root, "s3://bucket/deriv"], storage_options={"anon": True})
    assert lf.collect()["root"].unique(maintain_order=True).to_list() == [
        str(root),
        "s3://bucket/deriv",
    ]
    assert bucket.told == [("s3://bucket/deriv", {"anon": True})]


def test_storage_options_without_a_url(grow):
    with pytest.raises(TableError, match=r"storage_options= are for URLs"):
        scan(grow(BOLD), storage_options={"anon": True})


def test_an_empty_url(bucket):
    bucket.names = []
    with pytest.raises(TableError, match=r"s3://bucket/ds holds no files"):
        scan("s3://bucket/ds")
