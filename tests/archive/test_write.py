import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import npy_tables
import numpy as np
import polars as pl
import pytest
from lying import files

from entense.archive import finish, locks, open_archive, register_format
from entense.archive import table as table_module
from entense.archive.formats import Format, formats
from entense.archive.manifest import sealed, unsealed
from entense.archive.repair import repair
from entense.archive.table import to_parquet
from entense.archive.write import write
from entense.errors import ArchiveError, EntenseError, RecordError, StaleError
from entense.files import version_of
from entense.geometry import Mask
from entense.ops.core import ops
from entense.plan.rows import Rows

COLUMNS = ["age", "visit", "sex", "left"]
SMALL = "9kB"  # three shards of train


def contents(folder):
    """Return the files, but for the note of what was asked, which may be asked in two ways."""
    return {name: one for name, one in files(folder).items() if "begun.json" not in name}


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def _stop(*_):
    raise KeyboardInterrupt


def break_input(tmp_path, number):
    path = tmp_path / "inputs" / f"clean-{number}.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    return path, whole


@pytest.mark.parametrize("fmt", ["webdataset", "tfrecord"])
def test_what_was_written_is_what_is_read(records, tmp_path, fmt):
    archive = write(records.lazy(), tmp_path / "out", format=fmt, columns=COLUMNS, shard_size=6000)
    assert len(archive) == 9
    assert len({s.split for s in archive.manifest.shards}) == 2 < len(archive.manifest.shards)
    for i in range(9):
        sample = archive[i]
        for name in ("clean", "fc"):
            due = np.load(tmp_path / "inputs" / f"{name}-{i}.npy")
            np.testing.assert_array_equal(sample[name], due)
            assert sample[name].dtype == due.dtype
        assert {k: sample[k] for k in COLUMNS} == records.select(COLUMNS).row(i, named=True)
        assert sample["record"] == f"ds_sub-{i:02}"
    assert archive.verify().records == 9


def test_records_parquet_has_the_table_and_where_things_are(records, tmp_path):
    archive = write(records, tmp_path / "out", columns=["age"], shard_size=SMALL)
    table = archive.records
    assert table.columns[:3] == ["record", "dataset", "subject"]
    assert table["sex"].to_list() == records["sex"].to_list()
    assert table["bold"].to_list() == [f"sub-{i}_bold.nii.gz" for i in range(9)]
    assert table["error"].null_count() == 9
    place = table["clean"][4]
    shard = archive.folder / archive.manifest.shards[table["shard"][4]].path
    data = shard.read_bytes()[place["offset"] :][: place["size"]]
    assert np.frombuffer(data, "f4").tolist() == archive[4]["clean"].ravel().tolist()
    assert place["nonfinite"] == 0
    assert place["absent"] is None


def test_the_order_of_the_table_does_not_matter(records, tmp_path):
    write(records, tmp_path / "a", columns=COLUMNS, shard_size=SMALL)
    write(records.sample(fraction=1, shuffle=True, seed=1).sort("split", descending=True),
          tmp_path / "b", columns=COLUMNS, shard_size=SMALL)  # fmt: skip
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_column_with_some_paths_in_it_keeps_their_names(records, tmp_path):
    notes = pl.Series(["/data/ds/a.txt", "n/a", None] * 3)
    table = records.with_columns(note=notes, notes=pl.concat_list(notes))
    found = write(table, tmp_path / "out").records
    assert found["note"].to_list() == ["a.txt", "n/a", None] * 3
    assert found["notes"].to_list() == [["a.txt"], ["n/a"], [None]] * 3


def test_nothing_in_an_archive_says_where_it_or_its_inputs_lie(records, tmp_path):
    write(records, tmp_path / "out", columns=COLUMNS)
    for content in files(tmp_path / "out").values():
        assert str(tmp_path).encode() not in content
        assert b"somewhere" not in content


def test_a_rerun_touches_nothing(records, tmp_path, monkeypatch):
    write(records, tmp_path / "out", columns=COLUMNS, shard_size=SMALL)
    before = times(tmp_path / "out")
    monkeypatch.setattr(npy_tables, "load", lambda *_: pytest.fail("a record was computed"))
    write(records, tmp_path / "out", columns=COLUMNS, shard_size=SMALL)
    assert times(tmp_path / "out") == before


def test_a_replaced_input_rewrites_only_its_shard(records, tmp_path):
    write(records, tmp_path / "out", shard_size=SMALL)
    before = times(tmp_path / "out")
    value = np.ones((12, 20), "f4")
    np.save(tmp_path / "inputs" / "clean-4.npy", value)
    archive = write(records, tmp_path / "out", shard_size=SMALL)
    np.testing.assert_array_equal(archive[4]["clean"], value)
    shard = archive.manifest.shards[archive.records["shard"][4]].path
    changed = {p.name for p, t in times(archive.folder).items() if p.is_file() and before[p] != t}
    receipt = f"{Path(shard).stem}.json"
    assert changed == {
        Path(shard).name,
        receipt,
        "records.parquet",
        "croissant.json",
        "entense.json",
    }
    write(records, tmp_path / "fresh", shard_size=SMALL)
    assert files(tmp_path / "fresh") == files(tmp_path / "out")


class TestHashedInputs:
    """Inputs that are known again by what they hold."""

    OPTIONS: ClassVar = {"shard_size": SMALL, "hash_inputs": True}

    def test_touched_files_are_the_same_and_changed_ones_are_not(
        self, records, tmp_path, monkeypatch
    ):
        out, inputs = tmp_path / "out", tmp_path / "inputs"
        write(records, out, **self.OPTIONS)
        before = times(out)
        for path in inputs.iterdir():
            os.utime(path, ns=(1, 1))
        with monkeypatch.context() as patch:
            patch.setattr(npy_tables, "load", lambda *_: pytest.fail("a record was computed"))
            write(records, out, **self.OPTIONS)
        assert times(out) == before
        np.save(inputs / "clean-4.npy", np.ones((12, 20), "f4"))
        os.utime(inputs / "clean-4.npy", ns=(1, 1))
        archive = write(records, out, **self.OPTIONS)
        np.testing.assert_array_equal(archive[4]["clean"], np.ones((12, 20), "f4"))

    def test_repair_asks_for_them_too(self, records, tmp_path):
        archive = write(records, tmp_path / "out", **self.OPTIONS)
        good = files(archive.folder)
        for path in (tmp_path / "inputs").iterdir():
            os.utime(path, ns=(1, 1))
        (archive.folder / archive.manifest.shards[0].path).unlink()
        assert len(archive.repair(records).shards) == 1
        assert files(archive.folder) == good

    def test_the_archive_is_the_same_and_shards_made_without_are_kept(self, records, tmp_path):
        out = write(records, tmp_path / "out", shard_size=SMALL).folder
        before = times(out)
        write(records, out, **self.OPTIONS)
        after = times(out)
        assert {p.name for p, t in before.items() if after[p] != t and p.is_file()} == {
            "begun.json"
        }
        hashed = write(records, tmp_path / "hashed", **self.OPTIONS).folder
        ours = ".entense/"
        one, two = (
            {name: text for name, text in files(folder).items() if not name.startswith(ours)}
            for folder in (out, hashed)
        )
        assert one == two

    def test_a_file_that_is_replaced_meanwhile_is_noticed(self, records, tmp_path, monkeypatch):
        load, replaced = npy_tables.load, tmp_path / "inputs" / "clean-8.npy"

        def replacing(path, dtype):
            value = load(path, dtype)
            if path == str(replaced):
                np.save(replaced, np.ones((12, 20), "f4"))
            return value

        monkeypatch.setattr(npy_tables, "load", replacing)
        with pytest.raises(ArchiveError, match=r"clean-8.npy: changed while"):
            write(records, tmp_path / "out", **self.OPTIONS)


def test_a_changed_label_rewrites_only_its_shard(records, tmp_path):
    write(records, tmp_path / "out", columns=["age"], shard_size=SMALL)
    before = times(tmp_path / "out")
    older = pl.when(pl.col("subject") == "04").then(99.0).otherwise("age").alias("age")
    archive = write(
        records.with_columns(older), tmp_path / "out", columns=["age"], shard_size=SMALL
    )
    assert archive[4]["age"] == 99.0
    changed = {p for p, t in times(archive.folder).items() if p.is_file() and before[p] != t}
    assert len([p for p in changed if p.suffix == ".tar"]) == 1


def test_a_value_that_moves_to_another_slot_is_seen(records, tmp_path, monkeypatch):
    """Slots that hold one value are bound once; which they are must count."""
    survey = npy_tables.survey

    def swapped(*args, **options):
        found = survey(*args, **options)
        turned = [replace(r.bound, roots=r.bound.roots[:1]) for r in found.rows]
        rows = [replace(r, bound=b) for r, b in zip(found.rows, turned, strict=True)]
        return replace(found, rows=Rows(rows))

    write(records, tmp_path / "out")
    before = times(tmp_path / "out")
    monkeypatch.setattr("entense.plan.survey.survey", swapped)
    write(records, tmp_path / "out")
    assert all(t != before[p] for p, t in times(tmp_path / "out").items() if p.suffix == ".tar")


def test_masks_are_made_once_and_mended(tmp_path, monkeypatch):
    values = [np.arange(4 * n, dtype="f4").reshape(4, n) for n in (5, 9)]
    table = npy_tables.table(tmp_path / "in", {"clean": values})
    archive = write(table, tmp_path / "out")
    good = files(archive.folder)
    path = archive.folder / next(iter(archive.manifest.masks.values())).path
    path.write_bytes(path.read_bytes()[:-1])
    write(table, tmp_path / "out")
    assert files(archive.folder) == good
    monkeypatch.setattr(Mask, "to_bytes", lambda _: pytest.fail("made again"))
    write(table, tmp_path / "out")


def test_an_unknown_tr_is_null(records, tmp_path, monkeypatch):
    spec = npy_tables.spec
    monkeypatch.setattr(npy_tables, "spec", lambda *a: replace(spec(*a), tr=float("nan")))
    archive = write(records, tmp_path / "out")
    assert archive.schema["clean"].tr is None
    assert archive.records["clean"].struct.field("tr").null_count() == 9
    for name, content in files(archive.folder).items():
        assert name.endswith((".tar", ".parquet", ".gz")) or b"NaN" not in content


def test_records_of_different_dimensions_are_refused_in_words(tmp_path):
    table = npy_tables.table(tmp_path, {"x": [np.zeros(3, "f4"), np.zeros((2, 3), "f4")]})
    with pytest.raises(ArchiveError, match=r"differ in the dimensions of 'x' .*'time', 'voxel'"):
        write(table, tmp_path / "out")


def test_another_sharding_is_refused_or_leaves_no_old_shards(records, tmp_path):
    write(records, tmp_path / "out", shard_size="3kB")
    with pytest.raises(ArchiveError, match=r"differs in shard_size: .*overwrite=True"):
        write(records, tmp_path / "out", shard_size="1MB")
    write(records, tmp_path / "out", shard_size="1MB", overwrite=True)
    write(records, tmp_path / "fresh", shard_size="1MB")
    assert files(tmp_path / "fresh") == files(tmp_path / "out")


def test_a_damaged_shard_or_receipt_is_mended_by_a_rerun(records, tmp_path):
    folder = write(records, tmp_path / "out", shard_size=SMALL).folder
    good = files(folder)
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in ("begun.json", "lock"):
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
            write(records, folder, shard_size=SMALL)
            assert files(folder) == good, path


class TestFailures:
    def test_raise_lists_every_one_and_a_repair_resumes(self, records, tmp_path):
        broken = [break_input(tmp_path, number) for number in (1, 7)]
        (tmp_path / "inputs" / "fc-3.npy").rename(tmp_path / "fc-3.npy")
        with pytest.raises(ArchiveError, match=r"3 of 9 records") as error:
            write(records, tmp_path / "out", shard_size="3kB")
        for name in ("ds_sub-01", "ds_sub-03", "ds_sub-07", "clean-1.npy", "clean-7.npy"):
            assert name in str(error.value)
        with pytest.raises(ArchiveError, match=r"unfinished"):
            open_archive(tmp_path / "out")
        kept = times(tmp_path / "out")
        assert len([p for p in kept if p.suffix == ".tar"]) == 6
        for path, whole in broken:
            path.write_bytes(whole)
        (tmp_path / "fc-3.npy").rename(tmp_path / "inputs" / "fc-3.npy")
        write(records, tmp_path / "out", shard_size="3kB")
        now = times(tmp_path / "out")
        assert all(now[p] == t for p, t in kept.items() if p.suffix == ".tar")
        write(records, tmp_path / "fresh", shard_size="3kB")
        assert files(tmp_path / "out") == files(tmp_path / "fresh")

    def test_skip_finishes_without_them(self, records, tmp_path, caplog):
        path, whole = break_input(tmp_path, 1)
        archive = write(records, tmp_path / "out", shard_size=SMALL, on_error="skip")
        assert "1 of 9 records are left out, as ds_sub-01: clean-1.npy" in caplog.text
        assert (len(archive), archive.manifest.failures) == (9, 1)
        assert archive.manifest.splits == {"train": 5, "test": 3}
        assert path.name in archive.records["error"][1]
        with pytest.raises(RecordError, match=r"ds_sub-01.*clean-1.npy"):
            archive[1]
        assert archive.verify().records == 8
        seen = [key for batch in archive.loader(batch_size=2) for key in batch["record"]]
        assert seen == [f"ds_sub-{i:02}" for i in range(9) if i != 1]
        with pytest.raises(ArchiveError, match=r"1 of 9 records"):
            write(records, tmp_path / "out", shard_size=SMALL)
        path.write_bytes(whole)
        assert write(records, tmp_path / "out", shard_size=SMALL).manifest.failures == 0
        write(records, tmp_path / "fresh", shard_size=SMALL)
        assert files(tmp_path / "out") == files(tmp_path / "fresh")

    def test_a_record_that_fails_while_it_runs_spares_its_neighbours(
        self, records, tmp_path, monkeypatch
    ):
        load = npy_tables.load

        def fail(path, dtype):
            if path.endswith("clean-4.npy"):
                raise OSError("the disk fell off")
            return load(path, dtype)

        monkeypatch.setattr(npy_tables, "load", fail)
        with pytest.raises(ArchiveError, match=r"1 of 9 .*on_error") as error:
            write(records, tmp_path / "out", shard_size=SMALL)
        assert "the disk fell off" in str(error.value)
        archive = write(records, tmp_path / "out", shard_size=SMALL, on_error="skip")
        assert archive.verify().records == 8
        assert archive.records["clean"].null_count() == 1

    def test_what_fails_is_in_the_error_and_its_paths_are_not_in_the_archive(
        self, records, tmp_path
    ):
        path, _ = break_input(tmp_path, 1)
        with pytest.raises(ArchiveError) as error:
            write(records, tmp_path / "out")
        assert list(error.value.failures) == ["ds_sub-01"]
        assert str(path) in error.value.failures["ds_sub-01"]
        archive = write(records, tmp_path / "out", on_error="skip")
        assert archive.records["error"][1].startswith(f"{path.name}: ")
        for content in files(tmp_path / "out").values():
            assert str(tmp_path).encode() not in content

    @pytest.mark.parametrize("on_error", ["raise", "skip"])
    def test_an_input_that_is_replaced_meanwhile_is_an_error_of_its_records(
        self, records, tmp_path, monkeypatch, on_error
    ):
        """What was read may be of both, and the receipt would say that it is of the first."""
        load, replaced = npy_tables.load, tmp_path / "inputs" / "clean-4.npy"

        def replacing(path, dtype):
            if path == str(replaced) and not replaced.with_suffix(".new").exists():
                np.save(replaced, np.ones((12, 20), "f4"))
                replaced.with_suffix(".new").touch()
            return load(path, dtype)

        monkeypatch.setattr(npy_tables, "load", replacing)
        options = {"shard_size": SMALL, "on_error": on_error}
        if on_error == "raise":
            with pytest.raises(ArchiveError) as error:
                write(records, tmp_path / "out", **options)
            failures = error.value.failures
        else:
            table = write(records, tmp_path / "out", **options).records
            failures = dict(table.drop_nulls("error").select("record", "error").iter_rows())
        assert list(failures) == ["ds_sub-04"]
        assert "clean-4.npy: changed while" in failures["ds_sub-04"]
        archive = write(records, tmp_path / "out", **options)
        np.testing.assert_array_equal(archive[4]["clean"], np.ones((12, 20), "f4"))
        write(records, tmp_path / "fresh", **options)
        assert files(archive.folder) == files(tmp_path / "fresh")

    def test_an_input_that_is_not_seen_for_a_while_is_no_error_of_its_records(
        self, records, tmp_path, monkeypatch
    ):
        """A receipt would keep it, and a rerun leave the record out."""
        options = {"shard_size": SMALL, "on_error": "skip"}
        lost = str(tmp_path / "inputs" / "clean-4.npy")
        with monkeypatch.context() as patch:
            patch.setattr(
                "entense.archive.inputs.version_of",
                lambda path: None if path == lost else version_of(path),
            )
            with pytest.raises(ArchiveError, match=r"clean-4.npy: is not to be seen any more"):
                write(records, tmp_path / "out", **options)
        archive = write(records, tmp_path / "out", **options)
        assert archive.records["error"].null_count() == len(archive)

    def test_skip_resumes_and_tries_again_only_what_has_changed(
        self, records, tmp_path, monkeypatch
    ):
        load, seen = npy_tables.load, []

        def fail(path, dtype):
            seen.append(Path(path).name)
            if path.endswith("clean-4.npy") and np.load(path).any():
                raise OSError("the disk fell off")
            return load(path, dtype)

        monkeypatch.setattr(npy_tables, "load", fail)
        options = {"shard_size": SMALL, "on_error": "skip"}
        write(records, tmp_path / "out", **options)
        before, _ = files(tmp_path / "out"), seen.clear()
        write(records, tmp_path / "out", **options)
        assert seen == []
        assert files(tmp_path / "out") == before
        np.save(tmp_path / "inputs" / "clean-4.npy", np.zeros((12, 20), "f4"))
        assert write(records, tmp_path / "out", **options).manifest.failures == 0
        assert 0 < len(seen) < 9

    def test_a_shard_all_of_whose_records_failed_is_resumed_and_a_file_that_came_is_seen(
        self, records, tmp_path, monkeypatch
    ):
        path = tmp_path / "inputs" / "clean-8.npy"
        path.rename(tmp_path / "away.npy")
        options = {"shard_size": "3kB", "on_error": "skip"}
        assert write(records, tmp_path / "out", **options).manifest.failures == 1
        before = times(tmp_path / "out")
        write(records, tmp_path / "out", **options)
        assert times(tmp_path / "out") == before
        (tmp_path / "away.npy").rename(path)
        assert write(records, tmp_path / "out", **options).manifest.failures == 0

    @pytest.mark.parametrize("on_error", ["raise", "skip"])
    def test_when_all_fail_there_is_no_archive(self, records, tmp_path, on_error):
        for number in range(9):
            break_input(tmp_path, number)
        with pytest.raises(ArchiveError, match=r"9 of 9 records"):
            write(records, tmp_path / "out", on_error=on_error)
        assert not (tmp_path / "out" / "entense.json").exists()

    def test_a_split_whose_records_all_fail_has_no_shard(self, records, tmp_path):
        for number in (6, 7, 8):
            break_input(tmp_path, number)
        archive = write(records, tmp_path / "out", on_error="skip")
        assert archive.manifest.splits == {"train": 6, "test": 0}
        with pytest.raises(ArchiveError, match=r"'test' is empty .*'train' \(6 records\)"):
            archive.loader("test", batch_size=2)
        assert not (archive.folder / "test").exists() or not any(
            (archive.folder / "test").iterdir()
        )


class TestFolder:
    def test_something_else_is_left_alone(self, records, tmp_path):
        (tmp_path / "thesis.doc").write_text("chapter 1")
        for overwrite in (False, True):
            with pytest.raises(ArchiveError, match=r"holds something else"):
                write(records, tmp_path, overwrite=overwrite)
        with pytest.raises(ArchiveError, match=r"is a file"):
            write(records, tmp_path / "thesis.doc")

    def test_another_recipe_is_refused_unless_it_may_replace(self, records, tmp_path):
        small = {"shard_size": SMALL}
        write(records, tmp_path / "out", columns=["age"], **small)
        (tmp_path / "out" / "notes.txt").write_text("mine")
        for other, words in (
            (
                {"dtype": {"clean": "float16"}},
                "the recipe of 'clean': .* astype.dtype=float16. here",
            ),
            ({"columns": []}, "the column 'age': it is there and not here"),
            ({"format": "tfrecord"}, "format: 'webdataset' there, 'tfrecord' here"),
        ):
            with pytest.raises(ArchiveError, match=f"differs in {words}; .*overwrite=True"):
                write(records, tmp_path / "out", **{"columns": ["age"], **small, **other})
        assert open_archive(tmp_path / "out").verify().records == 9
        write(records, tmp_path / "out", format="tfrecord", overwrite=True)
        write(records, tmp_path / "fresh", format="tfrecord")
        left = files(tmp_path / "out")
        assert left.pop("notes.txt") == b"mine"
        assert left == files(tmp_path / "fresh")

    def test_a_table_that_lacks_records_is_refused_unless_it_may_replace(self, records, tmp_path):
        write(records.head(7), tmp_path / "out", shard_size=SMALL)
        before = times(tmp_path / "out")
        with pytest.raises(ArchiveError, match=r"2 records .*such as ds_sub-00; .*overwrite=True"):
            write(records.tail(7), tmp_path / "out", shard_size=SMALL)
        assert times(tmp_path / "out") == before
        grown = write(records, tmp_path / "out", shard_size=SMALL)
        assert len(grown) == 9
        assert grown.verify().records == 9
        kept = [p for p, t in times(tmp_path / "out").items() if before.get(p) == t]
        assert len([p for p in kept if p.suffix == ".tar"]) == 3
        assert len(write(records.tail(7), tmp_path / "out", overwrite=True)) == 7

    def test_other_code_is_another_archive(self, records, tmp_path, monkeypatch):
        write(records, tmp_path / "out")
        changed = replace(ops["npy"], function=lambda x: x + 1)
        with monkeypatch.context() as patch:
            patch.setitem(ops._things, "npy", changed)
            with pytest.raises(ArchiveError, match=r"differs in the code of npy;"):
                write(records, tmp_path / "out")
        tar = formats["webdataset"]

        def layout(*args):
            return [*tar.layout(*args), b""]

        changed = replace(tar, layout=layout)
        monkeypatch.setitem(formats._things, "webdataset", changed)
        with pytest.raises(ArchiveError, match=r"differs in the code of format webdataset;"):
            write(records, tmp_path / "out")

    @pytest.mark.parametrize(
        "name", ["formats/webdataset.py", "formats/base.py", "formats/hdf5.py", "checksum.py"]
    )
    def test_other_code_of_ours_is_another_archive(self, records, tmp_path, monkeypatch, name):
        write(records, tmp_path / "out")
        read = Path.read_bytes

        def changed(path):
            return read(path) + b"#" * str(path).endswith(f"archive/{name}")

        monkeypatch.setattr(Path, "read_bytes", changed)
        finish._entense.cache_clear()
        try:
            with pytest.raises(ArchiveError, match=r"differs in the code of entense;"):
                write(records, tmp_path / "out")
        finally:
            finish._entense.cache_clear()

    def test_resuming_on_another_kind_of_machine_is_refused(self, records, tmp_path, monkeypatch):
        write(records, tmp_path / "out")
        made = finish.made_by() | {"device": "abacus"}
        monkeypatch.setattr(finish, "made_by", lambda: made)
        with pytest.raises(
            ArchiveError, match=r"differs in device: .* there, 'abacus' here.*overwrite=True"
        ):
            write(records, tmp_path / "out")
        archive = write(records, tmp_path / "out", overwrite=True)
        assert archive.manifest.made_by["device"] == "abacus"

    def test_a_damaged_note_of_what_was_begun_is_not_guessed_at(self, records, tmp_path):
        write(records, tmp_path / "out")
        begun = tmp_path / "out" / ".entense" / "begun.json"
        begun.write_bytes(begun.read_bytes()[:-9])
        with pytest.raises(ArchiveError, match=r"begun.json is damaged.*overwrite=True"):
            write(records, tmp_path / "out")

    @pytest.mark.parametrize("other", [{"shard_size": "1MB"}, {"format": "tfrecord"}])
    @pytest.mark.parametrize("note", [b"", b"{}", b"\xff", None], ids=str)
    def test_whatever_it_is_may_be_replaced(self, records, tmp_path, note, other):
        out = write(records, tmp_path / "out", shard_size="3kB").folder
        (out / "notes.txt").write_text("mine")
        begun = out / ".entense" / "begun.json"
        body = unsealed(begun.read_bytes(), dict) | {"parts": {"../up": ["../../up"]}}
        begun.write_bytes(sealed(body) if note is None else note)
        write(records, out, overwrite=True, **other)
        write(records, tmp_path / "fresh", **other)
        left = files(out)
        assert left.pop("notes.txt") == b"mine"
        assert left == files(tmp_path / "fresh")

    def test_an_archive_that_lost_its_notes_is_refused_in_words(self, records, tmp_path):
        out = write(records, tmp_path / "out", shard_size=SMALL).folder
        shutil.rmtree(out / ".entense")
        before = files(out)
        for act in (write, repair):
            with pytest.raises(ArchiveError, match=r"lost its notes .*cp -r.*overwrite=True"):
                act(records, out)
        assert files(out) == before
        assert open_archive(out).verify().records == 9

    @pytest.mark.parametrize("killed", [False, True])
    def test_it_may_be_replaced_and_nothing_else_is(self, records, tmp_path, monkeypatch, killed):
        out = write(records, tmp_path / "out", shard_size=SMALL, index=["wids"]).folder
        shutil.rmtree(out / ".entense")
        for mine in ("notes.txt", "train/train-000999.tar", "masks/my mask.nii.gz"):
            (out / mine).write_text("mine")
        if killed:
            with monkeypatch.context() as patch:
                patch.setattr("entense.archive.folder.remove_masks", _stop)
                with pytest.raises(KeyboardInterrupt):
                    write(records, out, overwrite=True)
        write(records, out, format="tfrecord", overwrite=True)
        write(records, tmp_path / "fresh", format="tfrecord")
        left = files(out)
        assert [left.pop(name) for name in [*left] if left[name] == b"mine"] == [b"mine"] * 3
        assert left == files(tmp_path / "fresh")

    def test_without_notes_a_damaged_manifest_removes_nothing(self, records, tmp_path):
        out = write(records, tmp_path / "out").folder
        shutil.rmtree(out / ".entense")
        (out / "entense.json").write_bytes((out / "entense.json").read_bytes()[:-9])
        before = files(out)
        with pytest.raises(ArchiveError, match=r"entense.json is damaged.*remove them yourself"):
            write(records, out, overwrite=True)
        assert files(out) == before | {".entense/lock": b""}

    def test_a_receipt_that_names_a_file_elsewhere_removes_nothing(self, records, tmp_path):
        out = write(records, tmp_path / "out").folder
        (tmp_path / "thesis.doc").write_text("chapter 1")
        (out / ".entense" / "begun.json").write_bytes(b"")
        receipt = out / ".entense" / "receipts" / "train-000000.json"
        body = unsealed(receipt.read_bytes(), dict)
        body["files"][0]["path"] = "../thesis.doc"
        receipt.write_bytes(sealed(body))
        with pytest.raises(ArchiveError, match=r"'../thesis.doc', which is outside its folder"):
            write(records, out, overwrite=True)
        assert (tmp_path / "thesis.doc").exists()

    def test_a_folder_in_which_nothing_was_begun_yet_is_free(self, records, tmp_path):
        (tmp_path / "out" / ".entense").mkdir(parents=True)
        assert write(records, tmp_path / "out").verify().records == 9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"on_error": "ignore"}, "neither"),
        ({"columns": ["bmi"]}, "names 'bmi'"),
        ({"columns": ["clean"]}, "in the samples anyway"),
        ({"shard_size": "big"}, "is no size"),
        ({"memory": "big"}, "is no size"),
        ({"format": "zip"}, "there is no format 'zip'"),
        ({"dtype": {"clean": "bfloat16"}}, 'format="tfrecord"'),
    ],
)
def test_options_that_cannot_be_are_refused_and_nothing_is_written(
    records, tmp_path, options, words
):
    with pytest.raises(EntenseError, match=words):
        write(records, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [9e3, 9000.0, np.float64(9000)])
def test_a_size_may_be_any_number_of_bytes(records, tmp_path, size):
    write(records, tmp_path / "out", shard_size=size)
    write(records, tmp_path / "due", shard_size=9000)
    assert contents(tmp_path / "out") == contents(tmp_path / "due")


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([object()] * 9, dtype=pl.Object),
        pl.Series([{}] * 9, dtype=pl.Struct({})),
        pl.Series([2**70] * 9, dtype=pl.Int128),
    ],
    ids=["object", "empty struct", "wide"],
)
def test_a_column_that_parquet_cannot_hold_is_refused_before_anything_is_computed(
    records, tmp_path, column, monkeypatch
):
    monkeypatch.setattr(npy_tables, "load", lambda *_: pytest.fail("a record was computed"))
    with pytest.raises(ArchiveError, match=r"the column 'odd' is .* cannot hold; .*drop it"):
        write(records.with_columns(column.alias("odd")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_table_that_opening_would_take_for_a_bomb_is_refused(records, tmp_path, monkeypatch):
    """Before anything is computed, where it is a column of the table; else before it is done."""
    zeros = pl.repeat(0, 2_000_000, dtype=pl.Int64, eager=True).implode()
    with monkeypatch.context() as patch:
        patch.setattr(npy_tables, "load", lambda *_: pytest.fail("a record was computed"))
        with pytest.raises(ArchiveError, match=r"the column 'zeros' is so long and so even"):
            write(records.with_columns(zeros=pl.lit(zeros).first()), tmp_path / "out")
    monkeypatch.setattr(table_module, "PACKED", 0)
    monkeypatch.setattr("entense.archive.write.check_storable", lambda _: None)
    with pytest.raises(ArchiveError, match=r"what is known of the tensors is so long"):
        write(records, tmp_path / "out")
    assert not (tmp_path / "out/entense.json").exists()


def test_what_write_returns_is_of_one_archive(records, tmp_path, monkeypatch):
    """Though another process that waited begins as soon as it may."""

    @contextmanager
    def another(folder):
        with held(folder):
            yield
        monkeypatch.undo()
        npy_tables.install(monkeypatch)
        write(records.head(4), folder, overwrite=True)

    held = locks.locked
    monkeypatch.setattr(locks, "locked", another)
    archive = write(records, tmp_path / "out")
    assert len(archive) == sum(archive.manifest.splits.values()) == len(records)
    with pytest.raises(StaleError, match="was written again"):
        archive[len(records) - 1]


ODD = {
    pl.Categorical: ["b", None, "a"],
    pl.Enum(["b", "a"]): ["a", None, "b"],
    pl.Duration("ms"): [1, None, 2],
    pl.Duration("ns"): [1, None, 2],
    pl.Datetime("us", "Europe/Berlin"): [1, None, 2],
    pl.Date: [1, None, 2],
    pl.Time: [1, None, 2],
    pl.Decimal(9, 2): [1, None, 2],
    pl.Null: [None] * 3,
    pl.UInt64: [2**63, None, 0],
    pl.Float32: [0.1, None, float("nan")],
    pl.Array(pl.Int8, 2): [[1, 2], None, [3, 4]],
    pl.List(pl.Categorical): [["a"], None, []],
    pl.Struct({"a": pl.Int8}): [{"a": 1}, None, {"a": None}],
    pl.Binary: [b"", None, b"a"],
}


def test_what_is_written_has_the_records_that_opening_it_finds(records, tmp_path):
    """Of every kind of column, though what `write` returns has not read them."""
    odd = [pl.Series(f"odd {dtype}", values * 3, dtype) for dtype, values in ODD.items()]
    written = write(records.with_columns(odd), tmp_path / "out")
    again = open_archive(tmp_path / "out")
    assert written.records.schema == again.records.schema
    assert written.records.equals(again.records)
    assert written.manifest == again.manifest
    assert written.seen == again.seen is not None


def test_a_number_too_large_for_a_format_is_refused_before_anything_is_computed(records, tmp_path):
    table = records.with_columns(age=pl.lit(1e300))
    with pytest.raises(ArchiveError, match=r"ds_sub-00.*age|age.*ds_sub-00"):
        write(table, tmp_path / "out", format="tfrecord", columns=["age"])
    assert not (tmp_path / "out").exists()
    assert write(table, tmp_path / "out", columns=["age"])[0]["age"] == 1e300


def test_the_same_table_gives_the_same_bytes_however_it_lies_in_memory():
    table = pl.DataFrame({"shape": [[n, 3] for n in range(70_000)]})  # more than a row group
    pieces = pl.concat([table.head(30_000), table.tail(40_000)], rechunk=False)
    within = pl.concat([table.head(3), table, table.tail(5)]).slice(3, 70_000)
    due = to_parquet(table)
    assert pl.read_parquet(due).equals(table)
    assert all(to_parquet(one) == due for one in (table, pieces, pieces.rechunk(), within))


def test_tables_that_cannot_be_written_are_refused(records, tmp_path):
    for table, words in [
        (records.head(0), "no records"),
        (records.drop("clean", "fc"), "no lazy tensor"),
        (records.with_columns(shard=1), "rename"),
        (records.rename({"clean": "record"}), "rename"),
        (records.rename({"clean": "start"}), "rename"),
        (records.with_columns(split=None), "9 records have no split"),
        (pl.concat([records, records]), "ds_sub-00"),
    ]:
        with pytest.raises(EntenseError, match=words):
            write(table, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_records_of_different_dtypes_are_refused_with_the_remedy(tmp_path):
    table = npy_tables.table(tmp_path, {"x": [np.zeros((2, 3), "f4"), np.zeros((2, 3), "i2")]})
    with pytest.raises(ArchiveError, match=r'dtype={"x": "float32"}'):
        write(table, tmp_path / "out")
    assert write(table, tmp_path / "out", dtype={"x": "float32"}).schema["x"].dtype == np.float32


@pytest.mark.parametrize("fmt", ["webdataset", "tfrecord"])
@pytest.mark.parametrize(
    "value",
    [np.float32(3.5), np.zeros(0, "i8"), np.zeros((0, 4)), np.ones((2, 3, 4, 5, 2), "u1"),
     np.array([True, False]), np.arange(300_000, dtype="f8").reshape(-1, 100)],
    ids=lambda value: str(value.shape),
)  # fmt: skip
def test_any_shape_comes_back(tmp_path, fmt, value):
    table = npy_tables.table(tmp_path / "in", {"x": [np.asarray(value)] * 2})
    archive = write(table, tmp_path / "out", format=fmt)
    np.testing.assert_array_equal(archive[1]["x"], value)
    assert archive[1]["x"].dtype == value.dtype
    assert archive.verify().records == 2


def test_a_format_of_ones_own(records, tmp_path):
    def layout(sample):
        head = json.dumps([sample.key, sample.scalars])
        return [head.encode() + b"\n", *sorted(sample.arrays)]

    if "plain" not in formats:
        register_format(Format("plain", ".bin", layout, trailer=b"end"))
    archive = write(records, tmp_path / "out", format="plain", columns=["age"])
    shard = archive.folder / archive.manifest.shards[0].path
    assert shard.read_bytes().startswith(b'["ds_sub-00", {"age": null}]\n')
    assert shard.read_bytes().endswith(b"end")
    assert archive.verify().records == 9
    np.testing.assert_array_equal(archive[8]["fc"], np.load(tmp_path / "inputs" / "fc-8.npy"))
