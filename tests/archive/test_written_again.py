"""What an archive says when it is written again: under a reader, or into other splits."""

import threading

import polars as pl
import pytest

from entense.archive import open_archive
from entense.archive.here import Here
from entense.archive.write import write
from entense.errors import ArchiveError


def moved(records):
    """Return the records with their splits changed about."""
    return records.with_columns(split=pl.lit(pl.Series(["test", "train", "test"] * 3)))


@pytest.mark.parametrize("check", [True, False])
def test_a_reader_is_told_and_never_given_another_records_data(records, tmp_path, check):
    archive = write(records, tmp_path / "out", shard_records=1)
    batches = iter(archive.loader("train", batch_size=1, check=check, on_error="skip"))
    next(batches)
    write(moved(records), tmp_path / "out", shard_records=1, overwrite=True)
    with pytest.raises(ArchiveError, match=r"was written again since it was opened.*et\.open"):
        list(batches)
    again = open_archive(tmp_path / "out")
    assert len(list(again.loader("train", batch_size=1, check=check))) == 3


def test_records_do_not_change_split_unless_asked(records, tmp_path):
    before = write(records, tmp_path / "out")
    with pytest.raises(ArchiveError, match=r"\d records in another split, such as .*; "):
        write(moved(records), tmp_path / "out")
    assert before.verify()
    after = write(moved(records), tmp_path / "out", overwrite=True)
    assert after.records["split"].to_list() == moved(records)["split"].to_list()


def test_finished_shards_are_checked_several_at_once(records, tmp_path, monkeypatch):
    """Else one process reads a whole archive before many begin."""
    write(records, tmp_path / "out", shard_records=1)
    (tmp_path / "out" / ".entense" / "receipts" / "test-000002.json").unlink()
    two, check = threading.Barrier(2, timeout=10), Here.is_whole

    def meet(home, file, *said):
        if file.path.endswith(".tar"):
            two.wait()  # which breaks where nobody else comes
        return check(home, file, *said)

    monkeypatch.setattr(Here, "is_whole", meet)
    assert write(records, tmp_path / "out", shard_records=1).verify().records == 9
