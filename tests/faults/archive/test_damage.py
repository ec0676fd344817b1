"""Bytes that changed, files that were cut, lost or swapped: `verify` and the readers see it."""

import shutil

import damages
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from entense.archive import open_archive
from entense.archive.manifest import sealed, unsealed
from entense.archive.store import checksum
from entense.archive.table import PLACEMENT, to_parquet
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


def of_clean(**values):
    cast = {k: pl.lit(v, dtype=PLACEMENT.to_schema()[k]).alias(k) for k, v in values.items()}
    return pl.col("clean").struct.with_fields(*cast.values())


@pytest.mark.parametrize(
    "forged",
    [
        {"shard": pl.lit(99, pl.Int64)},
        {"shard": pl.lit(-1, pl.Int64)},
        {"shard": pl.col("shard") * 0},
        {"shard": pl.col("shard").cast(pl.String)},
        {"record": pl.lit(3)},
        {"clean": pl.lit(None)},
        {"clean": pl.lit(None, PLACEMENT)},
        {"clean": of_clean(offset=-5)},
        {"clean": of_clean(offset=2**62)},
        {"clean": of_clean(size=-960)},
        {"clean": of_clean(size=2**40)},
        {"clean": of_clean(shape=[2**40, 2**40])},
        {"clean": of_clean(shape=[-12, -20])},
        {"clean": of_clean(shape=[240])},
        {"clean": of_clean(frames_per_block=0)},
        {"clean": of_clean(frames_per_block=1)},
        {"clean": of_clean(crc32c=b"")},
    ],
)
def test_records_in_which_something_is_out_of_place_are_refused(archive, forged):
    table = archive.records.with_columns(**forged)
    file = archive.folder / "records.parquet"
    file.write_bytes(to_parquet(table))
    path = archive.folder / "entense.json"
    body = unsealed(path.read_bytes(), dict)
    body["records"] |= {"bytes": file.stat().st_size, "crc32c": checksum(file)[1]}
    path.write_bytes(sealed(body))
    with pytest.raises(ArchiveError, match=r"records.parquet is not what its manifest says"):
        open_archive(archive.folder)


def test_a_dtype_that_no_archive_has_is_refused(archive):
    path = archive.folder / "entense.json"
    body = unsealed(path.read_bytes(), dict)
    body["tensors"]["clean"]["dtype"] = "object"
    path.write_bytes(sealed(body))
    with pytest.raises(ArchiveError, match=r"archives hold no 'object'"):
        open_archive(archive.folder)


@pytest.fixture(scope="module", params=["webdataset", "tfrecord"])
def shards(request, tmp_path_factory):
    return damages.prepared(tmp_path_factory.mktemp(request.param), request.param)


@settings(max_examples=60)
@given(data=st.data())
def test_damage_anywhere_is_found_by_verify_and_by_the_readers_it_concerns(shards, data):
    """Some of what `slow_damage.py` does."""
    shard, content = data.draw(damages.damages(shards))
    assume(content != shard.whole)
    damages.check(shard, content)


def test_the_regions_of_a_shard_are_all_its_bytes(shards):
    for shard in shards:
        covered = {at for spans in shard.regions.values() for span in spans for at in range(*span)}
        assert covered == set(range(len(shard.whole)))
