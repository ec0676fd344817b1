"""Indexes for others' readers, held to what a reading of the shards gives."""

import json
import struct
import tarfile
from itertools import groupby

import npy_tables
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from entense.archive.manifest import sealed, unsealed
from entense.archive.write import write
from entense.errors import ArchiveError

ALL = ["dali", "wids", "energon"]


def tar_samples(path):
    """Return what tarfile finds: the members of each sample, and where the last one ends."""
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        end = tar.offset
    grouped = groupby(members, key=lambda member: member.name.partition(".")[0])
    return [list(found) for _, found in grouped], end


def as_wds2idx(samples):
    lines = [
        " ".join(f"{m.name.partition('.')[2]} {m.offset_data} {m.size} {m.name}" for m in sample)
        for sample in samples
    ]
    return f"v1.2 {len(samples)}\n" + "".join(f"{line}\n" for line in lines)


def as_tfrecord2idx(data):
    at, lines = 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        lines.append(f"{at} {length + 16}\n")
        at += length + 16
    return "".join(lines)


def check(archive):
    """Hold every index of tar shards to what tarfile finds."""
    folder, counts = archive.folder, {}
    for shard in archive.manifest.shards:
        path = folder / shard.path
        samples, end = tar_samples(path)
        assert path.with_suffix(".idx").read_text() == as_wds2idx(samples)
        offsets = [sample[0].offset for sample in samples] + [end]
        assert np.fromfile(f"{path}.idx", "<u8").tolist() == offsets
        counts[shard.path] = len(samples)
    meta = {name: (folder / ".nv-meta" / name).read_text() for name in (".info.yaml", "split.yaml")}
    assert json.loads(meta[".info.yaml"]) == {"shard_counts": counts}
    parts = json.loads(meta["split.yaml"])["split_parts"]
    assert [path for part in parts.values() for path in part] == list(counts)
    for split, paths in parts.items():
        listed = json.loads((folder / split / "shardindex.json").read_text())
        assert listed["wids_version"] == 1
        for entry, path in zip(listed["shardlist"], paths, strict=True):
            assert f"{split}/{entry['url']}" == path
            assert entry["nsamples"] == counts[path]
            assert entry["filesize"] == (folder / path).stat().st_size


def test_tar_shards_with_a_record_that_failed(records, tmp_path):
    (tmp_path / "inputs" / "clean-4.npy").unlink()
    (tmp_path / "inputs" / "clean-7.npy").write_bytes(b"none")
    options = {"columns": ["age", "sex"], "shard_size": "5kB", "on_error": "skip"}
    archive = write(records, tmp_path / "out", index=ALL, **options)
    assert len(archive.manifest.shards) > 2
    check(archive)
    assert archive.verify().records == 7


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shapes=st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=3),
    text=st.text("ab c", max_size=600),
    count=st.integers(1, 4),
)
@example(shapes=[[384], [3]], text="", count=2)  # with its header it fills blocks up
def test_any_shapes_and_scalars(tmp_path_factory, shapes, text, count):
    folder = tmp_path_factory.mktemp("any")
    arrays = {f"t{n}": [np.zeros(shape, "u1")] * count for n, shape in enumerate(shapes)}
    table = npy_tables.table(folder / "in", arrays, text=[text] * count)
    check(write(table, folder / "out", index=ALL, columns=["text"], shard_size=3000))


def test_tfrecord_shards(records, tmp_path):
    archive = write(
        records,
        tmp_path / "out",
        format="tfrecord",
        index=["dali"],
        columns=["sex"],
        shard_size=5000,
    )
    assert len(archive.manifest.shards) > 2
    for shard in archive.manifest.shards:
        path = archive.folder / shard.path
        assert path.with_suffix(".idx").read_text() == as_tfrecord2idx(path.read_bytes())


def test_yaml_reads_them(records, tmp_path):
    yaml = pytest.importorskip("yaml")
    folder = write(records, tmp_path / "out", index=["energon"]).folder / ".nv-meta"
    found = {path.name: yaml.safe_load(path.read_text()) for path in folder.iterdir()}
    assert found[".info.yaml"]["shard_counts"] == {
        "test/test-000000.tar": 3, "train/train-000000.tar": 6
    }  # fmt: skip
    assert found["dataset.yaml"]["__class__"] == "CrudeWebdataset"


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_rerun_keeps_adds_and_removes_them(records, tmp_path):
    out = tmp_path / "out"
    archive = write(records, out, index=ALL)
    before = times(out)
    assert write(records, out, index=ALL).verify() == archive.verify()
    assert times(out) == before
    write(records, out, index=["wids"]).verify()
    left = {path.name for path in out.rglob("*") if path.is_file()}
    assert "shardindex.json" in left
    assert not [name for name in left if name.endswith(".idx")]
    assert not (out / ".nv-meta").exists()
    check(write(records, out, index=ALL))
    shards = {path: time for path, time in before.items() if path.suffix == ".tar"}
    assert {path: times(out)[path] for path in shards} == shards


def test_verify_finds_a_damaged_index_and_a_rerun_mends_it(records, tmp_path):
    archive = write(records, tmp_path / "out", index=["dali"])
    index = tmp_path / "out" / "train" / "train-000000.idx"
    index.write_bytes(index.read_bytes().replace(b"v1.2", b"v1.1"))
    with pytest.raises(ArchiveError, match=r"train-000000.idx has changed bytes"):
        archive.verify()
    write(records, tmp_path / "out", index=["dali"]).verify()


def test_the_note_of_what_is_ours_removes_nothing_outside(records, tmp_path):
    write(records, tmp_path / "out", index=["dali"])
    note = tmp_path / "out" / ".entense" / "beside.json"
    (tmp_path / "precious").write_text("mine")
    body = unsealed(note.read_bytes(), dict)
    note.write_bytes(sealed({"paths": [*body["paths"], "../precious"]}))
    with pytest.raises(ArchiveError, match="outside its folder"):
        write(records, tmp_path / "out")
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index": ["dalli"]}, r"no index 'dalli'; did you mean 'dali'"),
        ({"index": "dali"}, r'index=\["dali"\]'),
        ({"index": ["wids"], "format": "tfrecord"}, "'wids' is none of tfrecord shards"),
    ],
)
def test_what_cannot_be_indexed(records, tmp_path, options, message):
    with pytest.raises(ArchiveError, match=message):
        write(records, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
