"""Reading many small files, whatever they turn out to be."""

import os
import tracemalloc
from pathlib import Path

import pytest

from entense.errors import RecordError
from entense.records import contents

POINTER = "/annex/objects/MD5E-s20--0a1b.json\n"


def read(*paths):
    return list(contents.read_files(map(str, paths), lambda path, content: content).values())


def test_each_distinct_file_is_read_once_in_their_order(tmp_path, monkeypatch):
    paths = [tmp_path / f"{i}.json" for i in (2, 1, 2, 0)]
    for path in paths:
        path.write_text(path.stem)
    monkeypatch.setattr(contents, "_or_why", pytest.fail)  # what is plainly here is not asked
    assert read(*paths) == [b"2", b"1", b"0"]


def test_an_empty_file_may_have_a_meaning(tmp_path):
    (tmp_path / "a.json").touch()
    assert read(tmp_path / "a.json") == [b""]


def test_what_only_begins_like_a_pointer_is_a_file(tmp_path):
    text = POINTER.ljust(40_000)
    (tmp_path / "a.json").write_text(text)
    assert read(tmp_path / "a.json") == [text.encode()]


def test_no_more_is_kept_than_is_taken(tmp_path):
    paths = [str(tmp_path / f"{i}.json") for i in range(200)]
    for path in paths:
        Path(path).write_text(" " * 100_000)
    tracemalloc.start()
    assert (
        sum(contents.read_files(paths, lambda path, content: len(content)).values()) == 20_000_000
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "there is no such file"),
        (lambda path: path.mkdir(), "cannot be read (Is a directory"),
        (lambda path: path.symlink_to("nowhere"), "is a link to nowhere, which does not exist"),
        (os.mkfifo, "the file is empty"),  # and is not waited for
        (lambda path: path.write_text(POINTER), "the content is not here (a git-annex pointer)"),
    ],
)
def test_what_cannot_be_read_is_said_of_its_file(tmp_path, make, said, monkeypatch):
    monkeypatch.setenv("PATH", "")
    make(tmp_path / "a.json")
    here, bad = tmp_path / "b.json", tmp_path / "a.json"
    here.write_text("{}")
    error, content = read(bad, here)
    assert isinstance(error, RecordError)
    assert f"{bad}: {said}" in " ".join(str(error).split()).replace("[Errno 21] ", "")
    assert content == b"{}"
