import gc
import os
import pickle
import resource
import threading
from collections import Counter

import numpy as np
import pytest

from entense.archive import blocks, opened
from entense.archive.opened import Opened
from entense.archive.read import open_archive
from entense.archive.write import write
from entense.errors import ArchiveError, ExecutionError


@pytest.fixture
def archive(records, tmp_path):
    return write(records, tmp_path / "out", columns=["age"])


@pytest.mark.parametrize("fmt", ["webdataset", "hdf5", "zarr", "parquet"])
def test_a_lack_of_descriptors_is_no_shards_fault(records, tmp_path, monkeypatch, fmt):
    """A loader that leaves out what is damaged would else leave out what is good."""
    archive = write(records, tmp_path / "out", format=fmt)
    next(iter(archive.loader("train", batch_size=1, tensors=["clean"])))  # what it imports is there
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    archive = open_archive(archive.folder)
    archive.stored.shapes("clean")
    held = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (held[0] + 1, hard))
    try:
        with pytest.raises(ExecutionError, match="is no fault of the file; allow more open files"):
            archive.read(archive.rows("train")[0], "clean")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(held[0])


@pytest.fixture
def calls(monkeypatch):
    """Count the calls that open, read and close shards."""
    counts = Counter()
    for name in ("open", "preadv", "close"):
        whole = getattr(os, name)

        def counted(*args, name=name, whole=whole):
            counts[name] += 1
            return whole(*args)

        monkeypatch.setattr(os, name, counted)
    return counts


def test_a_window_takes_one_call_and_its_shard_is_open_already(archive, calls):
    windows = list(
        archive.loader(batch_size=1, window=4, windows_per_record=5, seed=0, tensors=["clean"])
    )
    assert len(windows) == 45
    assert calls["preadv"] == 45
    assert calls["open"] == len(archive.manifest.shards) == 2


def test_every_shard_is_closed_in_the_end(archive, calls):
    assert len(list(archive.loader(batch_size=4))) == 3  # its thread is gone now, with its files
    assert calls["open"] == calls["close"] == 2


def test_shards_are_closed_with_the_archive(archive, tmp_path, calls):
    other = open_archive(tmp_path / "out")
    other[0]
    assert calls["open"] == calls["close"] + 1
    del other
    gc.collect()
    assert calls["open"] == calls["close"]


def test_a_replaced_shard_is_read_anew(archive, tmp_path):
    shard = tmp_path / "out" / archive.manifest.shards[0].path
    due = archive[0]["clean"]
    content = bytearray(shard.read_bytes())
    (tmp_path / "good").write_bytes(content)
    content[: len(content) // 2] = bytes(len(content) // 2)
    (tmp_path / "bad").write_bytes(content)
    (tmp_path / "bad").replace(shard)
    with pytest.raises(ArchiveError, match="is damaged"):
        archive[0]
    (tmp_path / "good").replace(shard)
    np.testing.assert_array_equal(archive[0]["clean"], due)
    shard.unlink()
    with pytest.raises(ArchiveError, match="cannot be opened"):
        archive[0]


def test_few_files_stay_open_and_the_one_in_use_among_them(tmp_path, monkeypatch, calls):
    monkeypatch.setattr(opened, "LIMIT", 2)
    paths = [tmp_path / str(number) for number in range(4)]
    for path in paths:
        path.write_bytes(b"x")
    files = Opened()
    calls.clear()
    held = files.descriptor(paths[0])
    for path in paths[1:]:
        files.descriptor(path)
    assert os.pread(held.number, 1, 0) == b"x"
    assert (calls["open"], calls["close"]) == (4, 1)
    del held
    assert calls["close"] == 2


def test_threads_share_no_descriptor_and_take_theirs_along(tmp_path, calls):
    (tmp_path / "a").write_bytes(b"x")
    files = Opened()
    calls.clear()
    seen = []
    files.descriptor(tmp_path / "a")
    thread = threading.Thread(target=lambda: seen.append(files.descriptor(tmp_path / "a").number))
    thread.start()
    thread.join()
    assert seen != [files.descriptor(tmp_path / "a").number]
    assert (calls["open"], calls["close"]) == (2, 1)


def test_descriptors_do_not_travel(archive):
    due = archive[0]["clean"]
    other = pickle.loads(pickle.dumps(archive))
    np.testing.assert_array_equal(other[0]["clean"], due)
    assert other.stored._opened is not archive.stored._opened


@pytest.mark.parametrize("start", [0, 1, 5])
def test_parts_meet_between_blocks(records, tmp_path, monkeypatch, calls, start):
    monkeypatch.setattr("entense.archive.checksum.BLOCK_BYTES", 3 * 80)  # 3 frames
    archive = write(records, tmp_path / "out")
    whole = archive[0]["clean"]
    monkeypatch.setattr(blocks, "PART", 1)
    monkeypatch.setattr(blocks, "CORES", 2)
    calls.clear()
    out = np.empty((11 - start, 20), "f4")
    archive.read_rows(0, "clean", start, 11, out)
    np.testing.assert_array_equal(out, whole[start:11])
    assert calls["preadv"] == len(range(start // 3 * 3, 11, 3))  # a block at a time
    lying = archive.stored.lying(0, "clean")
    assert blocks._parts(lying, start, 11)[1:] == [(6 if start < 5 else 9, 11)]
