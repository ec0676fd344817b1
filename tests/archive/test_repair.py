"""Repair: only what is damaged is computed again, and nothing else is written."""

import npy_tables
import numpy as np
import polars as pl
import pytest

from entense.archive import locks, open_archive
from entense.archive.manifest import sealed, unsealed
from entense.archive.repair import repair
from entense.archive.write import write
from entense.errors import ArchiveError

OPTIONS = {
    "format": "tfrecord",
    "columns": ["age", "sex"],
    "shard_size": "3kB",
    "dtype": {"clean": "float16"},
    "on_error": "skip",
}


@pytest.fixture
def archive(records, tmp_path, computed):
    archive = write(records, tmp_path / "out", **OPTIONS)
    computed.clear()
    return archive


def files(folder):
    return {p: (p.read_bytes(), p.stat().st_ino) for p in folder.rglob("*") if p.is_file()}


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def test_only_damaged_shards_are_computed_and_written_again(archive, records, computed):
    before = files(archive.folder)
    first, *_, last = (archive.folder / shard.path for shard in archive.manifest.shards)
    flip(first, 500)
    last.unlink()
    done = archive.repair(records.sample(fraction=1, shuffle=True, seed=0))
    spoilt = archive.records["shard"].is_in([0, len(archive.manifest.shards) - 1])
    assert computed == spoilt.arg_true().to_list()
    assert done.shards == (str(first.relative_to(archive.folder)), f"test/{last.name}")
    assert (done.files, done.kept) == ((), len(archive.manifest.shards) - 2)
    after = files(archive.folder)
    assert {path: one for path, (one, _) in after.items()} == {
        p: one for p, (one, _) in before.items()
    }
    anew = {path for path in after if after[path][1] != before[path][1]}
    assert {path for path in anew if path.suffix == ".tfrecord"} <= {first, last}
    assert archive.verify().records == 9


def test_an_archive_that_is_whole_is_left_alone(archive, records, computed):
    before = files(archive.folder)
    done = archive.repair(records)
    assert (done.shards, done.files, computed) == ((), (), [])
    assert files(archive.folder) == before
    assert "nothing written again" in str(done)


@pytest.mark.parametrize("name", ["records.parquet", "entense.json", "masks"])
@pytest.mark.parametrize("lost", [False, True])
def test_other_files_are_mended_without_computing(archive, records, computed, name, lost):
    before = {path: one for path, (one, _) in files(archive.folder).items()}
    file = archive.folder / name
    file = next(file.iterdir()) if file.is_dir() else file
    if lost:
        file.unlink()
    else:
        flip(file, 30)
    done = repair(records, archive.folder)
    assert (done.shards, done.files) == ((), (str(file.relative_to(archive.folder)),))
    assert computed == []
    assert {path: one for path, (one, _) in files(archive.folder).items()} == before


def test_a_table_that_does_not_fit_is_refused_and_nothing_is_touched(archive, records, tmp_path):
    flip(archive.folder / archive.manifest.shards[0].path, 500)
    before = files(archive.folder)
    wrong = {
        r"differs in the recipe of 'fc': it is there and not here": records.drop("fc"),
        r"has 1 records that this table has not, such as ds_sub-08": records.head(8),
        r"has not 1 records of this table, such as ds_sub-99": pl.concat(
            [records, records.tail(1).with_columns(subject=pl.lit("99"))]
        ),
        r"of \d shards .*such as train-.*have changed": records.with_columns(age=1.0),
        r"in its records another column 'left'": records.drop("left"),
        r"in its records another column 'more'": records.with_columns(more=1),
        r"in its records another column .left": records.with_columns(left=pl.lit(9)),
    }
    for words, table in wrong.items():
        with pytest.raises(ArchiveError, match=words):
            archive.repair(table)
    np.save(tmp_path / "inputs" / "clean-8.npy", np.ones((12, 20), "f4"))
    with pytest.raises(ArchiveError, match=r"of 1 shards .*such as test-.*have changed"):
        archive.repair(records)
    assert files(archive.folder) == before


def test_where_nothing_was_written_nothing_is_repaired(records, tmp_path):
    with pytest.raises(ArchiveError, match="says how its archive was written"):
        repair(records, tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_repair_that_was_interrupted_goes_on(archive, records, monkeypatch):
    before = {path: one for path, (one, _) in files(archive.folder).items()}
    for shard in archive.manifest.shards:
        flip(archive.folder / shard.path, 500)

    def stop(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("entense.archive.folder.keep", stop)
        with pytest.raises(KeyboardInterrupt):
            archive.repair(records)
    with pytest.raises(ArchiveError, match="is damaged"):
        open_archive(archive.folder).verify()
    repair(records, archive.folder)
    assert {path: one for path, (one, _) in files(archive.folder).items()} == before


def test_memory_is_passed_on(archive, records, monkeypatch):
    seen, run = [], npy_tables.run

    def noting(survey, rows, *, memory):
        seen.append(memory)
        return run(survey, rows, memory=memory)

    monkeypatch.setattr("entense.execute.serial.run", noting)
    flip(archive.folder / archive.manifest.shards[0].path, 500)
    archive.repair(records, memory="2GB")
    assert seen == [2 * 10**9]


def test_the_same_records_in_other_splits_are_refused(archive, records):
    before = files(archive.folder)
    for splits in ({"train": "tr", "test": "te"}, {"train": "test", "test": "train"}):
        table = records.with_columns(pl.col("split").replace(splits))
        with pytest.raises(ArchiveError, match=r"in another split"):
            archive.repair(table)
        assert files(archive.folder) == before


def test_renamed_splits_do_not_pass_where_the_receipts_are_lost(archive, records):
    for receipt in (archive.folder / ".entense" / "receipts").iterdir():
        receipt.unlink()
    before = files(archive.folder)
    table = records.with_columns(pl.col("split").replace({"train": "tr", "test": "te"}))
    with pytest.raises(ArchiveError, match=r"in another split"):
        archive.repair(table)
    assert files(archive.folder) == before


@pytest.mark.parametrize("fmt", ["tfrecord", "parquet", "nifti"])
def test_a_changed_input_whose_receipt_is_lost_does_not_get_in(records, tmp_path, fmt):
    """What is compared is the bytes that the manifest knows; a shard that is right stays."""
    archive = write(records.drop("fc"), tmp_path / "out", **OPTIONS | {"format": fmt, "dtype": {}})
    (archive.folder / ".entense" / "receipts" / "train-000000.json").unlink()
    np.save(tmp_path / "inputs" / "clean-0.npy", np.ones((12, 20), "f4"))
    before = files(archive.folder)
    for _ in range(2):  # a second time, too
        with pytest.raises(ArchiveError, match=r"train.* would not be what was written"):
            archive.repair(records.drop("fc"))
        assert files(archive.folder) == before
    assert archive.verify().records == 9
    anew = write(records.drop("fc"), archive.folder, **OPTIONS | {"format": fmt, "dtype": {}})
    np.testing.assert_array_equal(anew[0]["clean"], np.ones((12, 20), "f4"))


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_record_that_fails_now_leaves_its_file_as_it_was(records, tmp_path, on_error):
    options = {"format": "nifti", "shard_size": "9kB", "on_error": on_error}
    archive = write(records.drop("fc"), tmp_path / "out", **options)
    (archive.folder / ".entense" / "receipts" / "train-000000.json").unlink()
    file = tmp_path / "inputs" / "clean-0.npy"
    file.write_bytes(file.read_bytes()[:-9])
    before = files(archive.folder)
    words = (
        "1 of 9 records" if on_error == "raise" else "train-000000 .*would not be what was written"
    )
    with pytest.raises(ArchiveError, match=words):
        archive.repair(records.drop("fc"))
    assert files(archive.folder) == before


def test_lost_receipts_are_written_again_and_the_bytes_are_what_they_were(
    archive, records, computed
):
    before = {path: one for path, (one, _) in files(archive.folder).items()}
    for receipt in (archive.folder / ".entense" / "receipts").iterdir():
        receipt.unlink()
    assert len(archive.repair(records).shards) == len(archive.manifest.shards)
    assert sorted(computed) == list(range(9))
    assert {path: one for path, (one, _) in files(archive.folder).items()} == before


def test_what_another_version_was_asked_is_an_error_in_words(archive, records):
    note = archive.folder / ".entense" / "begun.json"
    body = unsealed(note.read_bytes(), dict)
    body["options"] |= {"compress": True}
    note.write_bytes(sealed(body))
    with pytest.raises(ArchiveError, match="another version of entense"):
        archive.repair(records)


def test_workers_of_a_killed_run_are_waited_for(archive, records, monkeypatch):
    runs = archive.folder / ".entense" / "run"
    runs.mkdir()
    flip(archive.folder / archive.manifest.shards[0].path, 500)
    monkeypatch.setattr(locks, "PATIENCE", -1)
    with locks.sharing(runs), pytest.raises(ArchiveError, match=r"workers .* still write into"):
        archive.repair(records)
    assert len(archive.repair(records).shards) == 1
    assert not runs.exists()
