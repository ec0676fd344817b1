"""What catalogues read, as their own validators see it."""

import json
import logging

import mlcroissant
import npy_tables
import numpy as np
import polars as pl
import pytest

import entense
from entense.archive.write import write
from entense.errors import ArchiveError

BESIDE = {"croissant.json", "dataset_description.json"}


@pytest.fixture
def archive(records, tmp_path):
    odd = pl.Series("how old? (y/n)", range(9))
    return write(records.with_columns(odd), tmp_path / "out", columns=["age"], shard_size="3kB")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_croissant_is_valid_and_reads_the_records(archive, caplog):
    with caplog.at_level(logging.WARNING):
        described = mlcroissant.Dataset(jsonld=archive.folder / "croissant.json")
    assert "not standard" not in caplog.text  # its @context
    assert not described.metadata.issues.errors
    assert described.metadata.name == "entense archive of ds"
    found = list(described.records("records"))
    assert [row["records/record"].decode() for row in found] == archive.records["record"].to_list()
    fields = {field.name for field in described.metadata.record_sets[0].fields}
    simple = {name for name, kind in archive.records.schema.items() if not kind.is_nested()}
    assert fields == simple
    (table, *sets) = described.metadata.distribution
    assert table.content_url == "records.parquet"
    listed = {str(path) for one in sets for path in archive.folder.glob(one.includes[0])}
    assert listed == {str(archive.folder / shard.path) for shard in archive.manifest.shards}


def test_bids_knows_what_made_it(archive):
    import bidsschematools.schema

    found = json.loads((archive.folder / "dataset_description.json").read_text())
    known = bidsschematools.schema.load_schema().objects.metadata
    assert set(found) <= {known[name]["name"] for name in known}
    assert (found["Name"], found["DatasetType"]) == ("entense archive of ds", "derivative")
    assert found["GeneratedBy"] == [{"Name": "entense", "Version": entense.__version__}]


def test_they_hold_no_place_and_no_time_and_are_the_same_each_time(archive, records, tmp_path):
    for name in BESIDE:
        before = archive.folder / name
        text, time = before.read_bytes(), before.stat().st_mtime_ns
        assert str(tmp_path).encode() not in text
        assert b"date" not in text.lower()
    again = write(records, tmp_path / "other", columns=["age"], shard_size="3kB")
    name = "dataset_description.json"
    assert (again.folder / name).read_bytes() == (archive.folder / name).read_bytes()
    write(records, tmp_path / "other", columns=["age"], shard_size="3kB")
    assert before.stat().st_mtime_ns == time


def test_verify_finds_what_changed_and_a_rerun_mends_it(records, tmp_path):
    archive = write(records, tmp_path / "out")
    for name in BESIDE:
        (archive.folder / name).write_text("{}")
    with pytest.raises(ArchiveError, match=r"croissant.json has 2 bytes") as raised:
        archive.verify()
    assert "dataset_description.json has 2 bytes" in str(raised.value)
    assert write(records, tmp_path / "out").verify().records == 9


def test_overwriting_takes_them_away_and_nothing_else(records, tmp_path):
    from entense.archive.folder import _remove, begun_in
    from entense.archive.here import Here

    write(records, tmp_path / "out", index=["energon", "dali", "wids"])
    (tmp_path / "out" / "notes.txt").write_text("mine")
    home = Here(tmp_path / "out")
    _remove(home, begun_in(home).parts)
    left = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*")}
    assert left == {"notes.txt", ".entense", ".entense/lock"}


def test_a_table_without_a_dataset(tmp_path):
    table = npy_tables.table(tmp_path / "in", {"fc": [np.zeros((2, 2), "f4")]}, dataset=[None])
    found = write(table, tmp_path / "out")
    text = json.loads((found.folder / "croissant.json").read_text())
    assert text["name"] == "entense archive"
