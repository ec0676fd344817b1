import inspect
import os
import threading
from collections import Counter
from functools import partial

import npy_tables
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entense.archive import Archive
from entense.archive.loaders.table import loader
from entense.archive.write import write
from entense.errors import ArchiveError, EntenseError, RecordError, TableError
from entense.threads import in_order


@pytest.fixture(params=["archive", "table"])
def load(request, records, tmp_path):
    """Make loaders of the same records: from an archive, and straight from the table."""
    if request.param == "table":
        return lambda **options: loader(records, columns=["age", "visit", "sex"], **options)
    return write(records, tmp_path / "out", columns=["age", "visit", "sex"]).loader


def items(batches):
    """Return (record, start) of each item, in order."""
    return [pair for b in batches for pair in zip(b["record"], b["start"].tolist(), strict=True)]


def test_whole_records_in_order(load, tmp_path):
    batches = list(load(batch_size=4))
    assert [len(b["record"]) for b in batches] == [4, 4, 1]
    assert [key for b in batches for key in b["record"]] == [f"ds_sub-{i:02}" for i in range(9)]
    for i in range(9):
        for name in ("clean", "fc"):
            due = np.load(tmp_path / "inputs" / f"{name}-{i}.npy")
            np.testing.assert_array_equal(batches[i // 4][name][i % 4], due)
            assert batches[0][name].dtype == due.dtype


def test_scalars_come_along(load, records):
    batch = next(iter(load(batch_size=9)))
    np.testing.assert_array_equal(batch["age"], records["age"].cast(float).to_numpy())
    np.testing.assert_array_equal(batch["visit"], records["visit"].cast(float).to_numpy())
    assert np.isnan(batch["visit"][2])
    assert batch["sex"] == records["sex"].to_list()


def test_windows_are_slices_of_their_records(load, tmp_path):
    batches = list(load(batch_size=5, window=4, windows_per_record=3, seed=0))
    assert Counter(key for key, _ in items(batches)) == {f"ds_sub-{i:02}": 3 for i in range(9)}
    for batch in batches:
        assert batch["clean"].shape[1:] == (4, 20)
        for key, start, clean, fc in zip(
            *(batch[n] for n in ("record", "start", "clean", "fc")), strict=True
        ):
            whole = np.load(tmp_path / "inputs" / f"clean-{int(key[-2:])}.npy")
            np.testing.assert_array_equal(clean, whole[start : start + 4])
            np.testing.assert_array_equal(fc, np.load(tmp_path / f"inputs/fc-{int(key[-2:])}.npy"))


def test_the_seed_decides_and_epochs_differ(load):
    options = {"batch_size": 2, "window": 4, "windows_per_record": 2, "seed": 7}
    one, two = load(**options), load(**options)
    epochs = [items(one), items(one)]
    assert epochs == [items(two), items(two)]
    assert epochs[0] != epochs[1]
    assert sorted(k for k, _ in epochs[0]) == sorted(k for k, _ in epochs[1])
    again = load(**options)
    again.epoch = 1
    assert items(again) == epochs[1]
    assert items(load(**{**options, "seed": 8})) != epochs[0]


def test_every_start_is_drawn_and_the_last_frame_reached(load):
    starts = Counter(
        start
        for batch in load(batch_size=10, window=10, windows_per_record=40, seed=1)
        for start in batch["start"].tolist()
    )
    assert set(starts) == {0, 1, 2}
    assert min(starts.values()) > 60  # of 360; a fair draw gives 120


def test_without_a_seed_windows_are_evenly_spaced(load):
    assert items(load(batch_size=4, window=4, windows_per_record=3))[:4] == [
        ("ds_sub-00", 0), ("ds_sub-00", 4), ("ds_sub-00", 8), ("ds_sub-01", 0)
    ]  # fmt: skip
    assert {start for _, start in items(load(batch_size=4, window=4))} == {0}


def test_drop_last_and_length(load):
    for options, count in [({}, 3), ({"drop_last": True}, 2)]:
        batches = load(batch_size=4, **options)
        assert len(batches) == len(list(batches)) == count


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 1, "window": 0}, "window=0"),
        ({"batch_size": 1, "window": 13}, "ds_sub-00 has 12 frames.*window=13"),
        ({"batch_size": 1, "windows_per_record": 2}, "needs a window"),
        ({"batch_size": 1, "window": -3}, "window=-3 is no count; give 1 or more"),
        ({"batch_size": 1, "window": 4, "windows_per_record": 0}, "windows_per_record=0 is no"),
        ({"batch_size": 1, "rank": 2, "world": 2}, "rank=2 is none of world=2"),
        ({"batch_size": 1, "tensors": []}, "names no tensor; name some, or leave it out for all"),
        ({"batch_size": 1, "short": "skip"}, "short needs a window"),
        (
            {"batch_size": 1, "window": 4, "short": "drop"},
            "'drop' is none of 'raise', 'skip', 'pad'",
        ),
    ],
)
def test_options_that_cannot_be(load, options, words):
    with pytest.raises(ArchiveError, match=words):
        load(**options)


@pytest.fixture
def ragged(tmp_path):
    values = [np.arange(3 * n, dtype="f4").reshape(n, 3) for n in (5, 8, 6)]
    return npy_tables.table(tmp_path / "in", {"clean": values}), values


def test_ragged_records(ragged, tmp_path):
    table, values = ragged
    archive = write(table, tmp_path / "out")
    with pytest.raises(ArchiveError, match=r"differ in the shape of 'clean'.*window="):
        archive.loader(batch_size=2)
    for batch, value in zip(archive.loader(batch_size=1), values, strict=True):
        np.testing.assert_array_equal(batch["clean"][0], value)
    for batches in (archive.loader, lambda **o: loader(table, **o)):
        for batch in batches(batch_size=3, window=5, windows_per_record=4, seed=0):
            for key, start, window in zip(
                batch["record"], batch["start"], batch["clean"], strict=True
            ):
                np.testing.assert_array_equal(window, values[int(key[-2:])][start : start + 5])


def test_tensors_of_different_lengths_share_no_window(tmp_path):
    values = {"a": [np.zeros((4, 2))], "b": [np.zeros((5, 2))]}
    archive = write(npy_tables.table(tmp_path / "in", values), tmp_path / "out")
    with pytest.raises(
        ArchiveError, match=r"ds_sub-00 have different numbers of frames \(\[4, 5\]"
    ):
        archive.loader(batch_size=1, window=2)
    assert len(list(archive.loader(batch_size=1))) == 1


def test_only_the_blocks_that_hold_a_window_are_read(tmp_path, monkeypatch):
    value = np.random.default_rng(0).normal(size=(40, 100_000)).astype("f4")  # 2 frames a block
    archive = write(npy_tables.table(tmp_path / "in", {"x": [value]}), tmp_path / "out")
    read, sizes = os.preadv, []
    monkeypatch.setattr(os, "preadv", lambda *a: sizes.append(n := read(*a)) or n)
    batches = iter(archive.loader(batch_size=1, window=4, windows_per_record=3, seed=1))
    for batch in batches:
        start = int(batch["start"][0])
        np.testing.assert_array_equal(batch["x"][0], value[start : start + 4])
    assert sum(sizes) <= 3 * 6 * 400_000


def test_a_damaged_record_is_an_error_in_the_loader(records, tmp_path):
    archive = write(records, tmp_path / "out")
    shard = archive.folder / archive.manifest.shards[0].path
    content = bytearray(shard.read_bytes())
    content[archive.records["clean"][2]["offset"] + 5] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"train-000000.tar.*ds_sub-02"):
        list(archive.loader("train", batch_size=2))


def test_a_record_of_a_table_that_fails_is_named(records, tmp_path, monkeypatch):
    monkeypatch.setattr(npy_tables, "load", lambda path, _: (_ for _ in ()).throw(OSError(path)))
    with pytest.raises(RecordError, match=r"ds_sub-00 .*clean-0.npy"):
        next(iter(loader(records, batch_size=1)))
    (tmp_path / "inputs" / "clean-3.npy").unlink()
    with pytest.raises(RecordError, match=r"ds_sub-03"):
        loader(records, batch_size=1)


def test_a_table_computes_each_record_once_an_epoch(records, monkeypatch):
    computed = Counter()
    load = npy_tables.load
    monkeypatch.setattr(npy_tables, "load", lambda p, d: computed.update([p]) or load(p, d))
    list(loader(records, batch_size=4, window=4, windows_per_record=5, seed=0))
    assert set(computed.values()) == {1}


def test_tables_that_cannot_be_loaded(records):
    for table, words in [
        (records.head(0), "no records"),
        (records.select("age"), "no lazy tensor"),
    ]:
        with pytest.raises(EntenseError, match=words):
            loader(table, batch_size=1)
    with pytest.raises(ArchiveError, match=r"rename"):
        loader(records.rename({"clean": "start"}), batch_size=1)


class TestInOrder:
    @given(st.lists(st.integers()), st.integers(1, 7), st.integers(0, 8))
    def test_it_gives_the_same_in_the_same_order(self, values, threads, ahead):
        assert list(in_order([partial(int, v) for v in values], threads, ahead)) == values

    def test_an_error_comes_where_it_happened(self):
        def fail():
            raise ArchiveError("damaged")

        done = in_order([lambda: 1, lambda: 2, fail, lambda: 4], threads=3, ahead=2)
        assert [next(done), next(done)] == [1, 2]
        with pytest.raises(ArchiveError, match=r"damaged"):
            next(done)

    @pytest.mark.parametrize("threads", [1, 7])
    def test_it_runs_no_further_ahead_than_told_and_stops_when_left(self, threads):
        made = []
        running = threading.active_count()
        done = in_order((partial(made.append, n) for n in range(100)), threads, ahead=3)
        next(done)
        next(done)
        done.close()
        assert len(made) <= 5
        assert threading.active_count() == running


def test_scalars_without_nulls_keep_their_dtype(records):
    table = records.with_columns(pl.lit(True).alias("ok"), pl.lit(3, pl.Int8).alias("n"))
    batch = next(iter(loader(table, batch_size=2, columns=["ok", "n"])))
    assert (batch["ok"].dtype, batch["n"].dtype) == (bool, np.int64)


@pytest.mark.parametrize("kind", ["archive", "table"])
def test_a_column_has_one_dtype_in_every_batch_and_split(records, tmp_path, kind):
    archive = write(records, tmp_path / "out", columns=["visit", "left"])
    load = (
        archive.loader if kind == "archive" else partial(loader, records, columns=["visit", "left"])
    )
    for batch in load(batch_size=1):
        assert (batch["visit"].dtype, batch["left"].dtype) == (np.float64, np.float64)
    if kind == "archive":  # the null is in train; test is read alike
        assert next(iter(load("test", batch_size=1)))["visit"].dtype == np.float64


def test_a_split_of_a_table(records, tmp_path):
    archive = write(records, tmp_path / "out")
    for ours, theirs in zip(
        loader(records, "test", batch_size=2), archive.loader("test", batch_size=2), strict=True
    ):
        assert ours["record"] == theirs["record"]
    with pytest.raises(TableError, match=r"'val' is not in .*'test' \(3 records\), 'train' \(6"):
        loader(records, "val", batch_size=2)
    with pytest.raises(TableError, match=r"no column 'split'"):
        loader(records.drop("split"), "val", batch_size=2)


def test_both_loaders_are_called_alike():
    ours, theirs = (
        list(inspect.signature(f).parameters.values()) for f in (loader, Archive.loader)
    )
    alike = [(p.name, p.kind, p.default, p.annotation) for p in theirs[1:] if p.name != "check"]
    assert alike[-1][-1] == "Unpack[Asked]"
    assert {(p.name, p.kind, p.default, p.annotation) for p in ours} >= set(alike)


def test_what_is_not_asked_for_is_refused(load):
    with pytest.raises(TypeError, match="windows"):
        load(batch_size=1, windows=3)


def test_only_the_tensors_that_are_asked_for(records, tmp_path):
    archive = write(records, tmp_path / "out")
    for batches in (archive.loader, partial(loader, records)):
        batch = next(iter(batches(batch_size=2, tensors=["fc"])))
        assert "fc" in batch
        assert "clean" not in batch
        with pytest.raises(EntenseError, match="did you mean 'fc'"):
            batches(batch_size=2, tensors=["fcc"])


def test_lists_are_asked_for_where_one_name_is_given(records, tmp_path):
    with pytest.raises(ArchiveError, match=r"columns='age' is one name, .*\[\"age\"\]"):
        write(records, tmp_path / "out", columns="age")
    with pytest.raises(ArchiveError, match=r"dtype='float16' says no tensor"):
        write(records, tmp_path / "out", dtype="float16")


def test_records_go_by_any_integer_but_not_by_slices(records, tmp_path):
    archive = write(records, tmp_path / "out")
    assert archive[np.int64(2)]["record"] == archive[2]["record"]
    with pytest.raises(TypeError, match="one record at a time"):
        archive[0:2]


class TestShortRecords:
    """Of 5, 8 and 6 frames."""

    @pytest.fixture(params=["archive", "table"])
    def load(self, request, ragged, tmp_path):
        table, _ = ragged
        if request.param == "table":
            return partial(loader, table)
        return write(table, tmp_path / "out").loader

    def test_the_error_names_the_way_on(self, load):
        words = r'ds_sub-00 has 5 frames.*window=6; pass short="skip".*short="pad"'
        with pytest.raises(ArchiveError, match=words):
            load(batch_size=2, window=6)

    @pytest.mark.parametrize("each", [1, 3])
    def test_they_are_left_out_and_told(self, load, ragged, caplog, each):
        batches = load(batch_size=2, window=6, short="skip", windows_per_record=each, seed=0)
        seen = items(batches)
        assert Counter(key for key, _ in seen) == {"ds_sub-01": each, "ds_sub-02": each}
        assert len(batches) == each
        for batch in batches:
            for key, start, window in zip(
                batch["record"], batch["start"], batch["clean"], strict=True
            ):
                np.testing.assert_array_equal(window, ragged[1][int(key[-2:])][start : start + 6])
        assert batches.skipped == [("ds_sub-00", "it has 5 frames, fewer than window=6")]
        assert "1 of 3 records are left out" in caplog.text

    def test_nothing_is_told_where_none_is_short(self, load, caplog):
        assert load(batch_size=2, window=5, short="skip").skipped == []
        assert not caplog.text

    def test_all_of_them_is_an_error(self, load):
        with pytest.raises(ArchiveError, match=r"no record has window=9 frames, the longest has 8"):
            load(batch_size=2, window=9, short="skip")

    @pytest.mark.parametrize("ragged_as", ["error", "pad", "bucket"])
    def test_they_are_padded(self, load, ragged, ragged_as):
        batches = load(batch_size=3, window=7, short="pad", ragged=ragged_as)
        (batch,) = batches
        assert batch["clean_shape"].tolist() == [[5, 3], [7, 3], [6, 3]]
        assert batch["start"].tolist() == [0, 0, 0]
        for window, value in zip(batch["clean"], ragged[1], strict=True):
            due = np.zeros((7, 3), "f4")
            due[: len(value)] = value[:7]
            np.testing.assert_array_equal(window, due)
        assert batches.skipped == []

    def test_other_records_have_the_windows_that_they_had(self, load):
        options = {"batch_size": 1, "window": 5, "windows_per_record": 4, "seed": 3}
        due = items(load(**options))
        for short in ("skip", "pad"):
            assert items(load(**options, short=short)) == due

    def test_a_place_in_an_epoch_is_found_again(self, load):
        options = {"batch_size": 1, "window": 6, "windows_per_record": 3, "seed": 0}
        batches = load(**options, short="skip")
        rest = iter(batches)
        next(rest)
        state = batches.state_dict()
        due = [(b["record"], b["start"].tolist()) for b in rest]
        again = load(**options, short="skip")
        again.load_state_dict(state)
        assert [(b["record"], b["start"].tolist()) for b in again] == due
        with pytest.raises(ArchiveError, match="short='skip', and this one has short='pad'"):
            load(**options, short="pad").load_state_dict(state)

    def test_a_name_that_is_taken_is_refused(self, tmp_path):
        values = {"x": [np.zeros((3, 2), "f4")], "x_shape": [np.zeros((3, 2), "f4")]}
        table = npy_tables.table(tmp_path / "in", values)
        with pytest.raises(ArchiveError, match="'x_shape', which is there already"):
            loader(table, batch_size=1, window=4, short="pad")


def test_batches_that_are_kept_keep_their_values(records, tmp_path):
    loader = write(records, tmp_path / "out").loader(batch_size=2, window=4, seed=3)
    kept = list(loader)
    copies = [batch["clean"].copy() for batch in kept]
    for _ in range(3):
        for batch in loader:
            batch["clean"][...] = 0  # it is the user's
    for batch, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(batch["clean"], copy)


def test_an_epoch_takes_the_memory_of_few_batches(records, tmp_path):
    loader = write(records, tmp_path / "out").loader(
        batch_size=1, window=4, windows_per_record=50, tensors=["clean"]
    )
    assert len({batch["clean"].ctypes.data for batch in loader}) <= 5  # of 450
