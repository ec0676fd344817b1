"""Disks that are full, read-only or gone."""

import errno
import os

import pytest

from entense.archive import open_archive
from entense.archive.write import write
from entense.errors import ArchiveError


def full_after(allowed, whole):
    """Return an `os.writev` for a disk that has room for so many bytes more."""

    def writev(fd, views):
        nonlocal allowed
        taken = []
        for view in views:
            taken.append(view[:allowed])
            allowed -= len(taken[-1])
        if not any(map(len, taken)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return whole(fd, taken)

    return writev


def left(folder):
    files = [path.name for path in folder.rglob("*") if path.is_file()]
    return sorted(name for name in files if name != "lock")


@pytest.mark.parametrize("room", [0, 100, 2000, 6000, 15_000, 30_000])
def test_a_full_disk_leaves_no_half_file_and_a_rerun_finishes(records, tmp_path, monkeypatch, room):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", full_after(room, os.writev))
        with pytest.raises(ArchiveError, match=r"disk of the folder .*out.* is full; free"):
            write(records, out, shard_size="3kB")
    assert not [name for name in left(out) if "partial" in name]
    shards = [name for name in left(out) if name.endswith(".tar")]
    receipts = [
        name
        for name in left(out)
        if name.startswith(("train-", "test-")) and name.endswith(".json")
    ]
    # one may be on its way to the disk while the next is appended
    assert len(shards) - len(receipts) in (0, 1, 2)
    with pytest.raises(ArchiveError, match=r"unfinished"):
        open_archive(out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.tar")}
    archive = write(records, out, shard_size="3kB")
    assert archive.verify().records == 9
    kept = [path for path, time in before.items() if path.stat().st_mtime_ns == time]
    assert len(kept) == len(receipts)


@pytest.mark.parametrize("call", ["fsync", "replace", "writev"])
def test_a_disk_that_fails_is_an_error_in_words(records, tmp_path, monkeypatch, call):
    def fail(*_args, **_kwargs):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(ArchiveError, match=r"cannot be written \(Input/output error\)"):
            write(records, tmp_path / "out")
    assert left(tmp_path / "out") == []
    assert write(records, tmp_path / "out").verify().records == 9
