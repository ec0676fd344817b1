import os

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from entense.archive import checksum as module
from entense.archive.blocks import Lying, read_rows
from entense.archive.checksum import Data, add, block_rows
from entense.archive.shard import Shard, Stream, save, writing
from entense.errors import ArchiveError


def test_short_writes_and_many_buffers_lose_nothing(tmp_path, monkeypatch):
    whole = os.writev
    limits = iter([1, 7, 0, 100] * 10_000)
    monkeypatch.setattr(os, "writev", lambda fd, views: whole(fd, _first(views, next(limits))))
    buffers = [bytes([n % 256]) * (n % 13) for n in range(1500)]
    with writing(tmp_path / "a") as file:
        file.append(buffers)
    content = (tmp_path / "a").read_bytes()
    assert content == b"".join(buffers)
    assert (file.bytes, file.crc32c) == (len(content), crc32c(content))


def _first(views, limit):
    """Return what a system that takes `limit` bytes a call would write."""
    taken = []
    for view in views:
        taken.append(view[:limit])
        limit -= len(taken[-1])
    return taken


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=70_000)), max_size=5))
def test_checksums_of_parts_join_to_that_of_the_whole(parts):
    arrays = [Data(np.frombuffer(text, "u1")) if big else text for big, text in parts]
    assert add(0, arrays) == crc32c(b"".join(text for _, text in parts))


def test_an_abandoned_or_failed_shard_leaves_nothing_and_is_not_synced(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("synced"))
    (tmp_path / "train").mkdir()
    shard = Shard(tmp_path / "train" / "a", Stream)
    shard.sink.append([b"abc"])
    shard.abandon()
    with pytest.raises(KeyboardInterrupt), writing(tmp_path / "train" / "b") as file:
        file.append([b"abc"])
        raise KeyboardInterrupt
    assert list((tmp_path / "train").iterdir()) == []


def test_a_link_under_the_name_of_a_file_to_come_is_not_followed_by_a_library(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("thesis")
    (tmp_path / ".a.partial").symlink_to(precious)
    shard = Shard(tmp_path / "a", lambda path: path.open("wb"))
    shard.sink.write(b"abc")
    shard.sink.close()
    shard.finish()
    assert precious.read_text() == "thesis"
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").read_bytes() == b"abc"


def test_a_shard_is_synced_renamed_and_its_folder_synced_in_that_order(tmp_path, monkeypatch):
    seen = []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: seen.append("sync") or sync(fd))
    monkeypatch.setattr(os, "replace", lambda *a, **k: seen.append("rename") or rename(*a, **k))
    save(tmp_path / "a", b"abc")
    assert seen == ["sync", "rename", "sync"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArchiveError, match=r"file.*choose another"):
        save(tmp_path / "file" / "a", b"")


@given(
    array=hnp.arrays("u2", hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9)),
    block=st.sampled_from([1, 7, 20, 1000]),
    data=st.data(),
)
def test_any_rows_are_read_and_any_changed_byte_of_their_blocks_is_seen(
    tmp_path_factory, array, block, data
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_BYTES", block)
        step, crcs = block_rows(array.shape, array.nbytes), Data(array).blocks
    path = tmp_path_factory.getbasetemp() / "rows"
    path.write_bytes(b"xyz" + array.tobytes() + b"xyz")
    lying = Lying(path, 3, array.nbytes, array.shape, step, crcs, "sub-01")
    start = data.draw(st.integers(0, lying.rows))
    stop = data.draw(st.integers(start, lying.rows))
    due = array[start:stop] if array.ndim else array.reshape(1)[start:stop]
    out = np.empty_like(due)
    read_rows(lying, start, stop, out)
    np.testing.assert_array_equal(out, due)
    if not due.nbytes:
        return
    whole, width = path.read_bytes(), array.nbytes // lying.rows
    content = bytearray(whole)
    content[3 + data.draw(st.integers(start * width, stop * width - 1))] ^= 16
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"sub-01"):
        read_rows(lying, start, stop, out)
    path.write_bytes(whole[: 3 + stop * width - 1])
    with pytest.raises(ArchiveError, match=r"cut short"):
        read_rows(lying, start, stop, out)
