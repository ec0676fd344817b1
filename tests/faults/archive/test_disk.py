"""Disks that are full, read-only or gone."""

import errno
import os
import shutil

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


def at_call(number, action):
    """Return stand-ins for the calls that change a disk, of which the Nth acts first."""
    seen = []

    def watch(call):
        def watching(*args, **kwargs):
            seen.append(call)
            if len(seen) == number:
                action()
            return call(*args, **kwargs)

        return watching

    calls = ("writev", "fsync", "replace", "mkdir", "unlink")
    return seen, {name: watch(getattr(os, name)) for name in calls}


def written(records, out, number, action, monkeypatch):
    """Write while something happens at the Nth call; return how many calls there were."""
    seen, calls = at_call(number, action)
    with monkeypatch.context() as patch:
        for name, call in calls.items():
            patch.setattr(os, name, call)
        write(records, out, shard_size="3kB")
    return len(seen)


def shards_of(out):
    return {path.name: path.read_bytes() for path in out.rglob("*.tar")}


@pytest.mark.parametrize("emptied", [False, True], ids=["gone", "unmounted"])
def test_a_folder_that_vanishes_is_an_error_and_a_rerun_finishes(
    records, tmp_path, monkeypatch, emptied
):
    """At every call: the folder is moved away; where a disk was unmounted an empty one is left."""
    calls = written(records, tmp_path / "whole", 0, None, monkeypatch)
    due = shards_of(tmp_path / "whole")
    out, away = tmp_path / "out", tmp_path / "away"

    def vanish():
        out.rename(away)
        if emptied:
            out.mkdir()

    for number in range(4, calls, 13):
        with pytest.raises(ArchiveError, match=r"cannot be written|have gone from|no archive") as e:
            written(records, out, number, vanish, monkeypatch)
        assert str(out) in str(e.value)
        with pytest.raises(ArchiveError, match=r"unfinished|no archive"):
            open_archive(out)
        shutil.rmtree(out, ignore_errors=True)
        away.rename(out)  # the disk is back
        assert write(records, out, shard_size="3kB").verify().records == 9
        assert shards_of(out) == due
        shutil.rmtree(out)


@pytest.mark.parametrize("kind", [errno.EROFS, errno.EACCES], ids=["EROFS", "EACCES"])
@pytest.mark.parametrize("after", [0, 5, 20])
def test_a_folder_that_becomes_read_only_is_an_error(records, tmp_path, monkeypatch, kind, after):
    out, opened, whole, mkdir = tmp_path / "out", [], os.open, os.mkdir

    def refuse():
        opened.append(1)
        if len(opened) > after:
            raise OSError(kind, os.strerror(kind))

    def open_(path, flags, *args, **kwargs):
        if flags & os.O_CREAT and str(path).startswith(str(out)):
            refuse()
        return whole(path, flags, *args, **kwargs)

    def mkdir_(*args, **kwargs):
        refuse()
        return mkdir(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_)
        patch.setattr(os, "mkdir", mkdir_)
        with pytest.raises(ArchiveError, match=rf"{out}.* cannot be written \({os.strerror(kind)}"):
            write(records, out, shard_size="3kB")
    with pytest.raises(ArchiveError, match=r"unfinished|no archive"):
        open_archive(out)
    assert not list(tmp_path.rglob("*.partial"))
    assert write(records, out, shard_size="3kB").verify().records == 9
