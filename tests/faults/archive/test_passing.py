"""Errors that pass, or that nobody's data is to blame for: nothing good is thrown away for them."""

import builtins
import errno
import io
import os
from pathlib import Path

import pytest

from entense.archive import open_archive
from entense.archive.store import sums_of
from entense.archive.write import write
from entense.errors import ArchiveError

PASSING = [errno.EMFILE, errno.EIO, errno.ESTALE, errno.EACCES]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def unreadable(monkeypatch):
    """Make reading files of some ending fail, until it is told to stop."""
    opened = io.open

    def refuse(ending, kind):
        def opening(file, *args, **kwargs):
            if str(file).endswith(ending):
                raise OSError(kind, os.strerror(kind), str(file))
            return opened(file, *args, **kwargs)

        monkeypatch.setattr(io, "open", opening)
        monkeypatch.setattr(builtins, "open", opening)

    yield refuse
    monkeypatch.undo()


@pytest.mark.parametrize("kind", PASSING, ids=errno.errorcode.get)
@pytest.mark.parametrize("ending", ["train-000000.tar", "train-000000.json", "begun.json"])
def test_a_rerun_that_cannot_read_what_is_there_keeps_it(
    records, tmp_path, unreadable, ending, kind
):
    archive = write(records, tmp_path / "out")
    before = contents(archive.folder)
    unreadable(ending, kind)
    with pytest.raises(ArchiveError, match=rf"{ending} cannot be read \({os.strerror(kind)}\)"):
        write(records, archive.folder)
    unreadable("never", kind)
    assert contents(archive.folder) == before


def test_verify_and_open_do_not_call_missing_what_cannot_be_read(records, tmp_path, unreadable):
    archive = write(records, tmp_path / "out")
    unreadable("train-000000.tar", errno.EIO)
    with pytest.raises(ArchiveError, match=r"train-000000.tar cannot be read \(Input/output"):
        archive.verify()
    unreadable("records.parquet", errno.EMFILE)
    with pytest.raises(ArchiveError, match=r"records.parquet cannot be read \(Too many open"):
        open_archive(archive.folder)


def test_a_folder_in_the_place_of_a_file_is_named(records, tmp_path):
    archive = write(records, tmp_path / "out")
    shard = archive.folder / archive.manifest.shards[0].path
    shard.unlink()
    shard.mkdir()
    with pytest.raises(ArchiveError, match=rf"{shard.name} cannot be read \(Is a directory\)"):
        archive.verify()


@pytest.mark.parametrize("lost", [FileNotFoundError, NotADirectoryError])
def test_a_shard_whose_bytes_cannot_be_read_back_has_no_receipt(
    records, tmp_path, monkeypatch, lost
):
    """A library wrote it, so its checksum is that of the file: a file that has gone has none."""

    def gone(path):
        sums_of(path)
        raise lost(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("entense.archive.part.sums_of", gone)
        with pytest.raises(ArchiveError, match="cannot be written"):
            write(records, tmp_path / "out", format="parquet")
    assert not list((tmp_path / "out").rglob("train-*"))


def test_every_folder_that_is_made_lasts(records, tmp_path, monkeypatch):
    """The names of new folders are synced too: in each of those that hold them."""
    synced, sync = set(), os.fsync

    def note(fd):
        synced.add(Path(f"/proc/self/fd/{fd}").readlink())
        sync(fd)

    monkeypatch.setattr(os, "fsync", note)
    write(records, tmp_path / "new" / "out", disaggregate="tensor")
    made = [path for path in tmp_path.joinpath("new").rglob("*") if path.is_dir()]
    assert {path.parent for path in made} | {tmp_path} <= synced
