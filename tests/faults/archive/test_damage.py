"""Bytes that changed, files that were cut, lost or swapped: `verify` and the readers see it."""

import shutil

import pytest

from entense.archive import open_archive
from entense.archive.write import write
from entense.errors import ArchiveError


@pytest.fixture(params=["webdataset", "tfrecord"])
def archive(request, records, tmp_path):
    size = {"webdataset": 9000, "tfrecord": 3000}[request.param]  # two records a shard
    return write(records, tmp_path / "out", format=request.param, columns=["age"], shard_size=size)


def flipped(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << place % 8
    path.write_bytes(content)


def test_a_changed_byte_anywhere_is_found(archive):
    """Header, padding, tensor, scalars, trailer: every kind of byte of every kind of file."""
    files = [path for path in archive.folder.rglob("*") if path.is_file()]
    files = [path for path in files if ".entense" not in path.parts]
    for path in files:
        whole = path.read_bytes()
        for place in range(0, len(whole), max(1, len(whole) // 23)):
            flipped(path, place)
            with pytest.raises(ArchiveError, match=path.name):
                open_archive(archive.folder).verify()
            path.write_bytes(whole)
    assert open_archive(archive.folder).verify().records == 9


def test_verify_names_the_record_that_is_damaged_and_no_other(archive):
    shard = archive.folder / archive.manifest.shards[0].path
    for row in (0, 1):
        flipped(shard, archive.records["clean"][row]["offset"] + 40)
    other = archive.folder / archive.manifest.shards[-1].path
    flipped(other, 0)
    with pytest.raises(ArchiveError) as error:
        archive.verify()
    lines = str(error.value).splitlines()[1:]
    assert lines[0].endswith(f"{shard.name} has changed bytes; records ds_sub-00, ds_sub-01")
    assert lines[1].startswith(f"  test/{other.name}")
    assert "around the tensors" in lines[1]
    assert len(lines) == 2
    with pytest.raises(ArchiveError, match=r"ds_sub-00"):
        archive[0]
    assert archive[3]["record"] == "ds_sub-03"


@pytest.mark.parametrize("cut", [0, 1, 512, 1500, -1])
def test_a_cut_shard_is_found(archive, cut):
    shard = archive.folder / archive.manifest.shards[0].path
    shard.write_bytes(shard.read_bytes()[:cut])
    with pytest.raises(ArchiveError, match=rf"{shard.name} has \d+ bytes where \d+ were written"):
        archive.verify()


def test_a_lost_shard_is_found(archive):
    (archive.folder / archive.manifest.shards[1].path).unlink()
    with pytest.raises(ArchiveError, match=r"train-000001.* is missing; records ds_sub-0"):
        archive.verify()
    row = archive.records["shard"].to_list().index(1)
    with pytest.raises(ArchiveError, match=r"train-000001.* cannot be opened"):
        archive[row]


def test_a_shard_that_was_replaced_by_another_is_found(archive):
    first, second = (archive.folder / s.path for s in archive.manifest.shards[:2])
    shutil.copy(first, second)
    with pytest.raises(ArchiveError, match=r"train-000001"):
        archive.verify()


@pytest.mark.parametrize("cut", [0, 10, -1])
def test_records_parquet_that_was_cut_is_refused_on_opening(archive, cut):
    path = archive.folder / "records.parquet"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ArchiveError, match=r"records.parquet is missing, cut or damaged"):
        open_archive(archive.folder)
    path.unlink()
    with pytest.raises(ArchiveError, match=r"records.parquet is missing, cut or damaged"):
        open_archive(archive.folder)


def test_a_mask_that_was_lost_is_found(archive):
    next((archive.folder / "masks").iterdir()).unlink()
    with pytest.raises(ArchiveError, match=r"nii.gz is missing"):
        archive.verify()


def test_records_that_contradict_the_manifest_are_found(archive):
    shifted = archive.records.with_columns(shard=archive.records["shard"] * 0)
    forged = type(archive)(archive.folder, archive.manifest, shifted)
    with pytest.raises(ArchiveError, match=r"other records than records.parquet says"):
        forged.verify()
