"""A table that others made reads only below the roots that were given."""

import polars as pl
import pytest

import entense as et
from entense.errors import TableError
from entense.records.confine import confine


def reading(path):
    cells = pl.DataFrame({"ts": [path]}, schema={"ts": pl.String})
    return et.transform(cells, x=et.array("ts"))


@pytest.fixture
def data(tmp_path):
    """Folders data and other; links from the one to the other, and to a file in it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "data" / "annexed.npy").symlink_to(tmp_path / "other" / "a.npy")
    return tmp_path / "data"


INSIDE = ["{}/a.npy", "{}/deep/er/a.npy", "{}/x/../a.npy", "file://{}/a.npy", "{}/annexed.npy"]
INSIDE += ["zip://a.npy::{}/b.zip", "tar://../../a.npy::file://{}/b.tar", "{}-2/../data/a.npy"]
OUTSIDE = ["/etc/passwd", "{}/../other/a.npy", "{}/linked/a.npy", "{}-2/a.npy", "a.npy", "{}/.."]
OUTSIDE += ["file:///etc/passwd", "file:/etc/passwd", "file://file://{}/a.npy", "local:///etc/a"]
OUTSIDE += ["zip://a.npy::/etc/b.zip", "s3://bucket/a::{}/b.zip", "pipe:cat {}/a", "https://h/{}"]
OUTSIDE += ["zip://a.npy::", "::{}/a.npy", "https://host/data-2/a.npy", "https://host.org/data/a"]
OUTSIDE += ["https://host/data/../a", "https://host/data/%2e%2e/a", "https://host/data/..\\a"]


@pytest.mark.parametrize("path", INSIDE)
def test_what_lies_below_a_root_may_be_read(data, path):
    table = reading(path.format(data))
    assert confine(table, [data]) is table
    assert confine(table.lazy(), ["/nowhere", f"{data}/"]).collect().height == 1


@pytest.mark.parametrize("path", OUTSIDE)
def test_what_does_not_is_named(data, path):
    path = path.format(data)
    with pytest.raises(TableError, match=r"'x' reads .* below none of the roots") as error:
        confine(reading(path), [data, "https://host/data"])
    assert path in str(error.value)


def test_urls_and_a_root_that_is_a_link(data):
    confine(reading("https://host/data/x/a.npy?key=1"), ["https://host/data"])
    confine(reading("zip://a::https://host/data/b.zip"), ["https://host/data/"])
    confine(reading(f"{data.parent}/other/a.npy"), [data / "linked"])
    with pytest.raises(TableError):
        confine(reading("/etc/passwd"), ["simplecache::file:///etc"])


def test_lists_structs_and_what_is_no_file():
    lists = pl.DataFrame({"ts": [["/a/x.npy", "/a/y.npy"], None]})
    lists = et.transform(lists, x=et.array("ts").concat())
    confine(lists, ["/a"])
    with pytest.raises(TableError, match=r"/a/x\.npy"):
        confine(lists, ["/a/y.npy"])
    pairs = pl.DataFrame({"bold": [{"L": "/a/l.func.gii", "R": "/b/r.func.gii"}], "tr": 2.0})
    pairs = et.transform(pairs, x=et.surface("bold", tr="tr"))
    confine(pairs, ["/a", "/b"])
    with pytest.raises(TableError, match=r"/b/r.func.gii"):
        confine(pairs, ["/a"])
    confine(pl.DataFrame({"bold": ["/etc/passwd"]}), [])
