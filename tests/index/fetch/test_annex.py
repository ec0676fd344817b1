"""DataLad, the real program, on datasets made here."""

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import polars as pl
import pytest
from datalad_here import run

import entense as et
from entense.archive.inputs import Inputs
from entense.errors import RecordError
from entense.files import MISSING, head, is_remote, local, opening, version_of
from entense.index.fetch import annex
from entense.plan.bind import Bound
from entense.plan.rows import Row

NAMES = [f"sub-0{number}/func/sub-0{number}_bold.nii.gz" for number in range(1, 7)]


def said(path):
    """Return what a receipt says of a file."""
    return Inputs([Row(Bound((), (path,), ("file",)))], {path: version_of(path) or MISSING}).said(
        0
    )["file"]


@pytest.fixture
def source(tmp_path):
    """A dataset with six files of content."""
    run("datalad", "create", "source", cwd=tmp_path)
    for name in NAMES:
        place = tmp_path / "source" / name
        place.parent.mkdir(parents=True)
        place.write_bytes(name.encode() * 3000)
    run("datalad", "save", "-m", "content", cwd=tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def clone(source, tmp_path):
    """A clone of it, without content."""
    run("datalad", "clone", str(source), "clone", cwd=tmp_path)
    return tmp_path / "clone"


@pytest.fixture
def calls(monkeypatch):
    """The paths of each call of datalad."""
    calls, whole = [], annex.subprocess.run

    def recorded(words, **options):
        calls.append(words[words.index("get") + 1 :])
        return whole(words, **options)

    monkeypatch.setattr(annex.subprocess, "run", recorded)
    return calls


def test_content_that_is_not_here_is_got(clone, calls):
    path = clone / NAMES[0]
    assert path.is_symlink()
    assert not path.exists()
    assert is_remote(path)
    before = version_of(path)
    assert before[0] == len(NAMES[0]) * 3000
    with opening(path) as place:
        assert place == path
        assert place.read_bytes() == NAMES[0].encode() * 3000
    assert not is_remote(path)
    assert version_of(path) == before  # an archive made before it came needs no second one
    assert said(str(path)) == [path.name, *before]
    assert head(clone / NAMES[1], 6) == b"sub-02"
    with local(path):
        pass
    assert calls == [[str(path)], [str(clone / NAMES[1])]]


def test_threads_that_want_one_file_get_it_once_and_others_go_along(clone, calls):
    gate = threading.Barrier(8)

    def read(name):
        gate.wait()
        with local(clone / name) as place:
            return place.read_bytes()

    wanted = [NAMES[0]] * 3 + NAMES[1:]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, wanted)) == [name.encode() * 3000 for name in wanted]
    asked = [path for call in calls for path in call]
    assert sorted(asked) == sorted(str(clone / name) for name in NAMES)
    assert len(calls) < len(NAMES)


def test_content_that_is_gone_from_the_source(clone, source):
    for folder, _, _ in os.walk(source / ".git" / "annex" / "objects"):
        Path(folder).chmod(0o755)
    shutil.rmtree(source / ".git" / "annex" / "objects")
    with pytest.raises(RecordError) as raised, opening(clone / NAMES[0]):
        pass
    said = str(raised.value)
    assert said.startswith(f"{clone / NAMES[0]}: the content is not here (a git-annex link), and ")
    assert "DataLad cannot get it (" in said
    assert "origin" in said
    assert said.endswith(f"try: datalad get {clone / NAMES[0]}")


def test_a_pointer_file(clone):
    run("git", "annex", "adjust", "--unlock", cwd=clone)
    path = clone / NAMES[0]
    assert not path.is_symlink()
    assert path.read_bytes().startswith(b"/annex/objects/")
    with opening(path) as place:
        assert place.read_bytes() == NAMES[0].encode() * 3000


def test_a_record_whose_file_is_a_pointer(tmp_path, monkeypatch):
    """It is known as it is once it was got: else it would be cut short, or have changed."""
    image = nib.Nifti1Image(np.random.default_rng(0).random((20, 20, 10, 50)), np.eye(4))
    path = tmp_path / "bold.nii.gz"
    path.write_text("/annex/objects/MD5E-s1234--0a1b.nii.gz\n")
    monkeypatch.setattr(annex, "get", image.to_filename)
    table = pl.DataFrame({"record": ["a"], "bold": [str(path)]})
    archive = et.write(table.entense.transform(raw=et.volume("bold")), tmp_path / "out")
    assert archive[0]["raw"].shape == (50, 4000)


def test_threads_share_the_queue_of_a_dataset(tmp_path, monkeypatch):
    """Two would ask DataLad for one file at the same time, of which one fails."""
    (tmp_path / ".git").mkdir()
    path, made = tmp_path / "bold.nii.gz", []
    path.symlink_to(".git/annex/objects/MD5E-s1--0a1b.nii.gz")

    begin = annex._Queue.__init__

    def slow(queue):
        begin(queue)
        time.sleep(0.1)

    monkeypatch.setattr(annex._Queue, "__init__", slow)
    monkeypatch.setattr(annex.shutil, "which", lambda *_, **__: "datalad")
    monkeypatch.setattr(annex, "_get_all", lambda *given: made.append(given[-1]))

    def get(_):
        with pytest.raises(RecordError, match="DataLad cannot get it"):
            annex.get(path)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(get, range(4)))
    assert len({id(queue) for queue in made}) == 1


def test_without_the_program(clone, monkeypatch):
    monkeypatch.setattr(annex, "_search", lambda: "/nowhere")
    said = r"\(a git-annex link\); fetch it with: datalad get "
    with pytest.raises(RecordError, match=said), opening(clone / NAMES[0]):
        pass


def test_a_program_that_fails_is_quoted(clone, monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "datalad"
    monkeypatch.setattr(annex, "_search", lambda: str(tmp_path / "bin"))
    for script, said in [
        ("echo oh no >&2; exit 3", "oh no"),
        ("exit 3", "it ended with 3"),
        ("echo not json; echo '[1]'", "it ended with 0"),
    ]:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        with pytest.raises(RecordError, match=rf"DataLad cannot get it \({said}\)"):
            annex.get(clone / NAMES[0])


def test_a_link_into_an_annex_outside_any_dataset(tmp_path):
    target = Path(".git/annex/objects/a/b/MD5E-s3--0.nii/MD5E-s3--0.nii")
    (tmp_path / "a.nii").symlink_to(target)
    assert version_of(tmp_path / "a.nii") == (3, "MD5E-s3--0.nii")
    with pytest.raises(RecordError, match="fetch it with: datalad get"), local(tmp_path / "a.nii"):
        pass
    (tmp_path / "b.nii").symlink_to("none")
    with pytest.raises(RecordError, match="is a link to none, which"), opening(tmp_path / "b.nii"):
        pass
