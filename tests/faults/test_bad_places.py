"""Places that cannot be written to: full, read-only, or holding something else."""

import os
import resource
import shutil
import subprocess
from contextlib import contextmanager

import pytest
from spoil import cleaned, cleaned_of, said, staged

import entense as et
from entense.errors import ArchiveError, EntenseError


@contextmanager
def small_disk(folder, size):
    """Mount a disk of `size` on a folder; skip the test where this machine does not let us."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting a small disk takes rights that this user lacks")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(root, tmp_path):
    with small_disk(tmp_path / "small", "64k") as disk:
        with pytest.raises(ArchiveError) as raised:
            cleaned(root).entense.write(disk / "out", shard_size=1)
        said(raised, str(disk / "out"), "is full", "free some space and write again")
        left = [path.name for path in disk.rglob("*") if path.is_file()]
        assert not [name for name in left if name.endswith(".partial")]
        shards = list(disk.rglob("*.tar"))
        kept = {path: path.stat().st_mtime_ns for path in shards}
        assert 0 < len(kept) < 3
        with pytest.raises(ArchiveError, match="unfinished; run the same write again"):
            et.open(disk / "out")
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        archive = cleaned(root).entense.write(disk / "out", shard_size=1)
        assert archive.verify().records == 3
        assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_may_not_grow(root, tmp_path):
    """What stands in for a full disk where none can be mounted."""
    table = cleaned(root)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        with pytest.raises(ArchiveError) as raised:
            table.entense.write(tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said(raised, str(tmp_path / "out"), "cannot be written (File too large)", "choose another")
    assert table.entense.write(tmp_path / "out").verify().records == 3


def test_an_output_folder_that_holds_something_else(root, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(ArchiveError) as raised:
            cleaned(root).entense.write(out, overwrite=overwrite)
        said(raised, f"{out} holds something else", "choose another folder")
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]
    with pytest.raises(ArchiveError) as raised:
        cleaned(root).entense.write(out / "thesis.tex")
    said(raised, "is a file, not a folder", "choose another")


def test_another_archive_in_the_output_folder(root, tmp_path):
    cleaned(root).entense.write(tmp_path / "out")
    other = cleaned_of(staged(root))
    with pytest.raises(ArchiveError) as raised:
        other.entense.write(tmp_path / "out")
    said(
        raised,
        str(tmp_path / "out"),
        "differs in the recipe of 'clean' (and 2 more)",
        "overwrite=True",
    )
    assert list(et.open(tmp_path / "out").schema) == ["clean", "ts"]
    assert list(other.entense.write(tmp_path / "out", overwrite=True).schema) == ["x"]


def test_an_output_that_cannot_be_written(root, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveError) as raised:
        cleaned(root).entense.write(tmp_path / "file" / "out")
    said(raised, str(tmp_path / "file" / "out"), "cannot be written", "choose another")
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(ArchiveError, match=r"cannot be written \(Permission denied\)"):
            cleaned(root).entense.write(tmp_path / "locked" / "out")


def test_a_read_only_disk(root, tmp_path):
    with small_disk(tmp_path / "small", "1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(ArchiveError) as raised:
            cleaned(root).entense.write(disk / "out")
        said(raised, str(disk / "out"), "cannot be written (Read-only file system)", "choose")
        with pytest.raises(EntenseError) as raised:
            staged(root).entense.group_mask("mask", to=disk / "brain.nii.gz")
        said(raised, str(disk / "brain.nii.gz"), "choose")
