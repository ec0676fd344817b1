"""Damage to shards: every kind, in every region of both core formats, and what must be said of it.

An archive is prepared once; each case spoils one of its shards, asks `verify` and the readers, and
puts the shard back.
"""

import struct
import tarfile
from dataclasses import dataclass
from functools import cached_property

import npy_tables
import numpy as np
import pytest
from hypothesis import strategies as st

from entense.archive.read import Archive
from entense.archive.verify import DamagedError
from entense.archive.write import write
from entense.errors import ArchiveError

SIZES = {"webdataset": 9000, "tfrecord": 3000}  # two or three records a shard


@dataclass(frozen=True)
class Shard:
    """A shard of the prepared archive: its bytes as written, and what lies where in them."""

    archive: Archive
    number: int

    @property
    def path(self):
        return self.archive.folder / self.archive.manifest.shards[self.number].path

    @cached_property
    def whole(self):
        return self.path.read_bytes()

    @cached_property
    def regions(self):
        """Kind of bytes to where they are: a list of (start, stop)."""
        look = {".tar": tar_regions, ".tfrecord": tfrecord_regions}[self.path.suffix]
        found = {"data": [(start, stop) for _, _, start, stop in self.tensors]}
        for name, start, stop in look(self.path):
            if stop > start:
                found.setdefault(name, []).append((start, stop))
        return found

    @cached_property
    def rows(self):
        return (self.archive.records["shard"] == self.number).arg_true().to_list()

    @cached_property
    def tensors(self):
        """(row, name, start, stop) of each tensor."""
        places = [(row, name) for row in self.rows for name in self.archive.schema]
        tables = {name: self.archive.records[name].struct.unnest() for name in self.archive.schema}
        at = [tables[name].row(row, named=True) for row, name in places]
        return [
            (row, name, one["offset"], one["offset"] + one["size"])
            for (row, name), one in zip(places, at, strict=True)
        ]


def tar_regions(path):
    with tarfile.open(path) as tar:
        members = tar.getmembers()
    for member in members:
        stop = member.offset_data + member.size
        yield "header", member.offset, member.offset_data
        if member.name.endswith(".npy"):
            yield "npy header", member.offset_data, member.offset_data + 128
        else:
            yield "json", member.offset_data, stop
        yield "padding", stop, -(-stop // 512) * 512
    last = -(-stop // 512) * 512
    yield "trailer", last, path.stat().st_size
    yield from (("sample", m.offset, last) for m in members if ".clean." in m.name)


def tfrecord_regions(path):
    whole, at = path.read_bytes(), 0
    while at < len(whole):
        (size,) = struct.unpack_from("<Q", whole, at)
        yield "length", at, at + 8
        yield "length's checksum", at + 8, at + 12
        yield "payload", at + 12, at + 12 + size
        yield "payload's checksum", at + 12 + size, at + 16 + size
        yield "sample", at, at + 16 + size
        at += 16 + size


def prepared(folder, fmt):
    """Return the shards of an archive of nine records in two splits."""
    rng = np.random.default_rng(0)
    arrays = {
        "clean": [rng.normal(size=(12, 20)).astype("f4") for _ in range(9)],
        "fc": [rng.normal(size=(4, 4)).astype("f4") for _ in range(9)],
    }
    columns = {"age": [20.0 + i for i in range(9)], "split": ["train"] * 6 + ["test"] * 3}
    table = npy_tables.table(folder / "inputs", arrays, **columns)
    with pytest.MonkeyPatch.context() as patch:
        npy_tables.install(patch)
        archive = write(table, folder / "out", format=fmt, columns=["age"], shard_size=SIZES[fmt])
    return [Shard(archive, number) for number in range(len(archive.manifest.shards))]


KINDS = (
    "bit",
    "zeros",
    "noise",
    "cut",
    "cut before a sample",
    "lost",
    "more",
    "moved",
    "another's",
)


@st.composite
def damages(draw, shards):
    """Draw a shard and what it is spoilt to; None where it is deleted."""
    shard = draw(st.sampled_from(shards))
    region = draw(st.sampled_from(sorted(shard.regions)))
    start, stop = draw(st.sampled_from(shard.regions[region]))
    at = draw(st.integers(start, stop - 1))
    length = draw(st.integers(1, 64))
    kind = draw(st.sampled_from(KINDS))
    content = spoilt(kind, shard, shards, at, length, draw)
    return shard, content


def spoilt(kind, shard, shards, at, length, draw):
    whole = shard.whole
    before, after = whole[:at], whole[at + length :]
    if kind == "bit":
        return before + bytes([whole[at] ^ 1 << length % 8]) + whole[at + 1 :]
    if kind == "zeros":
        return before + bytes(len(whole) - len(before) - len(after)) + after
    if kind == "noise":
        size = len(whole) - len(before) - len(after)
        return before + draw(st.binary(min_size=size, max_size=size)) + after
    if kind == "cut":
        return before
    if kind == "cut before a sample":
        return whole[: draw(st.sampled_from(shard.regions["sample"]))[0]]
    if kind == "lost":
        return before + after
    if kind == "more":
        return before + draw(st.binary(min_size=1, max_size=length)) + whole[at:]
    if kind == "moved":
        there = draw(st.integers(0, len(whole) - 1))
        rest = before + after
        return rest[:there] + whole[at : at + length] + rest[there:]
    return draw(st.sampled_from([None, *(s.whole for s in shards if s is not shard)]))


def check(shard, content):
    """Spoil a shard: verify names it and no other, and readers give right values or an error."""
    try:
        shard.path.unlink() if content is None else shard.path.write_bytes(content)
        check_verify(shard, content)
        check_readers(shard, content)
    finally:
        shard.path.write_bytes(shard.whole)


def touched(shard, content):
    """Return (row, tensor) of every tensor whose bytes are not where and what they were."""
    content = content or b""
    return {
        (row, name)
        for row, name, start, stop in shard.tensors
        if content[start:stop] != shard.whole[start:stop]
    }


def check_verify(shard, content):
    with pytest.raises(DamagedError) as error:
        shard.archive.verify()
    (damage,) = error.value.damage
    spoilt = {row for row, _ in touched(shard, content)} or set(shard.rows)
    assert damage.file == shard.archive.manifest.shards[shard.number].path
    assert damage.records == tuple(shard.archive.records["record"][sorted(spoilt)])


def check_readers(shard, content):
    archive, wrong = shard.archive, touched(shard, content)
    for row, name, start, stop in shard.tensors:
        if (row, name) not in wrong:
            assert archive.read(row, name).tobytes() == shard.whole[start:stop]
            continue
        with pytest.raises(ArchiveError, match=archive.records["record"][row]) as error:
            archive.read(row, name)
        assert shard.path.name in str(error.value)
        with pytest.raises(ArchiveError):
            archive[row]
    split = archive.manifest.shards[shard.number].split
    for name in archive.schema:
        loader = archive.loader(split, batch_size=2, tensors=[name])
        if any(tensor == name for _, tensor in wrong):
            with pytest.raises(ArchiveError, match=shard.path.name):
                list(loader)
        else:
            assert sum(len(batch[name]) for batch in loader) == archive.manifest.splits[split]
