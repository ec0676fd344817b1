"""What is a URL, and which of them are let through."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entense.archive.table import names_of_files
from entense.errors import EntenseError, RecordError
from entense.files import local
from entense.index.fetch import (
    around,
    fetch_of,
    is_url,
    name_of,
    register_fetch,
    register_storage,
)
from entense.index.fetch.storage import ALLOWED, options_for
from entense.index.fetch.urls import ending_of, protocols

URLS = [
    "http://host/a.nii.gz",
    "s3://bucket/a.nii.gz",
    "zip://d/a.nii.gz::https://host/b.zip",
    "tar://a.nii.gz::/data/b.tar",
    "memory://a.nii.gz",
    "file:///data/a.nii.gz",
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_has_a_name_an_ending_and_a_fetch(url):
    assert is_url(url)
    assert name_of(url) == "a.nii.gz"
    assert ending_of(url) == ".nii.gz"
    assert fetch_of(url) is not None
    table = pl.DataFrame({"bold": [url], "many": [[url, None]]})
    assert names_of_files(table).row(0) == ("a.nii.gz", ["a.nii.gz", None])


@pytest.mark.parametrize("path", ["/a:b/c.nii", "a.nii", "./a:b.nii", "/a::b.nii", r"C:\a.nii", ""])
def test_a_path_is_no_url(path):
    assert not is_url(path)


def test_a_key_in_a_url_does_not_reach_an_archive():
    table = pl.DataFrame({"bold": ["https://me:secret@host/a.nii?key=secret#x"]})
    assert names_of_files(table).row(0) == ("a.nii",)
    assert name_of(table["bold"][0]) == "a.nii"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("pipe:cat /etc/passwd", "pipe"),
        ("pipe://cat", "pipe"),
        ("cmd:ls", "cmd"),
        ("reference://x", "reference"),
        ("data:text/plain,a", "data"),
        ("async_wrapper://x", None),
        ("simplecache::http://host/a", "simplecache"),
        ("zip://a.nii::reference://x", "reference"),
        ("zip://a.nii::async_wrapper", "async_wrapper"),
        ("zip://a.nii::filecache::http://host/a.zip", "filecache"),
        ("zip://a.nii::", ""),
        ("S3://bucket/a", "S3"),
    ],
)
def test_what_could_run_something_is_refused(url, kind):
    if kind is None:
        assert not is_url(url)  # a path that is not there
        return
    with pytest.raises(RecordError, match=r"register_fetch\(") as raised:
        fetch_of(url)
    assert f"fetches {kind!r} URLs" in str(raised.value)


@given(st.lists(st.sampled_from([*sorted(ALLOWED), "pipe", "reference", "x_y"]), min_size=1))
def test_every_part_of_a_chain_must_be_allowed(kinds):
    url = "::".join(f"{kind}://a" for kind in kinds)
    assert protocols(url) == kinds
    if set(kinds) <= ALLOWED:
        fetch_of(url)
    else:
        with pytest.raises(RecordError):
            fetch_of(url)


@given(st.text("abc/:.%?*$ \\\n\u00e9", max_size=30))
def test_an_ending_never_leads_out_of_a_folder(text):
    ending = ending_of(f"s3://bucket/{text}")
    assert "/" not in ending
    assert ".." not in ending
    assert len(ending) <= 39


def test_a_path_object_that_was_a_url_is_named():
    with pytest.raises(RecordError, match="give it as a string"):
        fetch_of("https:/host/a.nii")


def test_options_are_for_whole_folders_and_the_longest_prefix():
    register_storage("s3://place", {"key": "a"})
    register_storage("s3://place/in", {"key": "b"})
    assert options_for("s3://place/x") == {"key": "a"}
    assert options_for("s3://place/in/x") == {"key": "b"}
    assert options_for("s3://place/inner/x") == {"key": "a"}
    assert options_for("s3://placebo/x") == {}
    assert options_for("https://s3://place/x") == {}
    register_storage("s3://place/", {"key": "c"})
    assert options_for("s3://place") == {"key": "c"}
    options_for("s3://place")["key"] = "spoilt"
    assert options_for("s3://place") == {"key": "c"}
    with pytest.raises(EntenseError, match="is no URL"):
        register_storage("/data", {})


def test_a_function_of_ones_own(tmp_path):
    (tmp_path / "a.txt").write_text("own")
    asked = []

    def fetch(url):
        asked.append(url)
        return tmp_path / url.removeprefix("own-store://")

    register_fetch("own-store", fetch)
    with local("own-store://a.txt") as place:
        assert place.read_text() == "own"
    assert asked == ["own-store://a.txt"]
    assert fetch_of("own-store://a.txt").version("own-store://a.txt")[0] == 3
    assert fetch_of("own-store://a.txt").head("own-store://a.txt", 2) == b"ow"
    with pytest.raises(RecordError, match=r"which is no file\); mend"), local("own-store://b.txt"):
        pass
    with pytest.raises(RecordError, match="cannot be part of a chain"):
        fetch_of("zip://a::own-store://b")
    with pytest.raises(EntenseError, match="already registered"):
        register_fetch("own-store", fetch)
    with pytest.raises(EntenseError, match="already registered"):
        register_fetch("s3", fetch)
    for bad in ("", "a::b", "own://"):
        with pytest.raises(EntenseError, match="is no protocol"):
            register_fetch(bad, fetch)


def test_what_a_function_raises_is_the_records_error(tmp_path, kept):
    tries = []

    def fetch(url):
        tries.append(url)
        if len(tries) < 3:
            raise ConnectionError("gone")
        raise KeyError("no such scan")

    register_fetch("broken-store", fetch)
    said = r"broken-store://a: cannot be fetched \('no such scan'\)"
    with pytest.raises(RecordError, match=said), local("broken-store://a"):
        pass
    assert len(tries) == 3


def test_around_joins_a_relative_path():
    for url, whole in [
        ("http://h/ds", "http://h/ds/x"),
        ("http://h/ds/", "http://h/ds/x"),
        ("zip://::/a.zip", "zip://x::/a.zip"),
        ("memory://", "memory://x"),
    ]:
        before, after = around(url)
        assert f"{before}x{after}" == whole
