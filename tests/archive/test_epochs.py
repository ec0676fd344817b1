"""Epochs of the loader: by any number of workers, from any batch on, of ragged records."""

import json
import threading
import tracemalloc
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import islice

import jax
import npy_tables
import numpy as np
import polars as pl
import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from entense.archive.loaders.table import loader
from entense.archive.write import write
from entense.errors import ArchiveError, RecordError

LENGTHS = (5, 8, 6, 8, 5, 8, 7)


@pytest.fixture(scope="module")
def ragged(tmp_path_factory):
    """A table of records of several lengths, its archive, and their values."""
    root = tmp_path_factory.mktemp("ragged")
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(n, 3)).astype("f4") for n in LENGTHS]
    with pytest.MonkeyPatch.context() as patch:
        npy_tables.install(patch)
        table = npy_tables.table(root / "in", {"x": values})
        return table, write(table, root / "out"), values


@pytest.fixture(scope="module", params=["archive", "table"])
def load(request, ragged):
    """Make loaders of the same ragged records."""
    table, archive, _ = ragged
    return archive.loader if request.param == "archive" else partial(loader, table)


def plain(batch):
    """Return a batch as Python's values, which compare."""
    return {k: v if isinstance(v, list) else (str(v.dtype), v.tolist()) for k, v in batch.items()}


def spoil(archive, row, tensor="x"):
    """Change a byte of a tensor of a record."""
    at = archive.records[tensor][row]
    shard = archive.folder / archive.manifest.shards[archive.records["shard"][row]].path
    content = bytearray(shard.read_bytes())
    content[at["offset"] + 1] ^= 1
    shard.write_bytes(content)


options = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 5),
        "seed": st.none() | st.integers(0, 9),
        "ragged": st.sampled_from(["pad", "bucket"]),
    },
    optional={"window": st.just(4), "drop_last": st.booleans()},
)


@given(options=options, each=st.integers(1, 3))
def test_the_order_is_the_same_for_any_number_of_workers(load, options, each):
    if "window" in options:
        options = options | {"windows_per_record": each}
    loaders = [load(**options, workers=workers) for workers in (1, 2, 7)]
    for _ in range(2):
        one, two, seven = ([plain(batch) for batch in batches] for batches in loaders)
        assert one == two == seven
        assert len(one) == len(loaders[0])
        if not options.get("drop_last"):
            seen = Counter(record for batch in one for record in batch["record"])
            expected = each if "window" in options else 1
            assert seen == {f"ds_sub-{i:02}": expected for i in range(len(LENGTHS))}


@given(
    options=options,
    step=st.integers(0, 20),
    workers=st.sampled_from([1, 7]),
    world=st.integers(1, 2),
)
def test_a_resume_after_any_step_continues_with_the_next_batch(load, options, step, workers, world):
    options |= {"rank": world - 1, "world": world}
    whole = load(**options, workers=workers)
    state, due = whole.state_dict(), []
    for _ in range(3):
        for batch in whole:
            due.append(plain(batch))
            if len(due) == step:
                state = json.loads(json.dumps(whole.state_dict()))
    if step > len(due):
        step = 0
    again = load(**options)
    again.load_state_dict(state)
    assert [plain(b) for _ in range(3) for b in again][: len(due) - step] == due[step:]


def test_what_was_read_ahead_is_not_taken_for_given(load):
    batches = load(batch_size=1, workers=7)
    next(iter(batches))
    assert batches.state_dict()["batch"] == 1


def test_a_state_before_and_after_an_epoch(load):
    batches = load(batch_size=3, ragged="pad", seed=0)
    assert (batches.state_dict()["epoch"], batches.state_dict()["batch"]) == (0, 0)
    iter(batches)
    assert batches.state_dict()["epoch"] == 0
    list(batches)
    assert (batches.state_dict()["epoch"], batches.state_dict()["batch"]) == (2, 0)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"seed": 1}, "seed=0, and this one has seed=1"),
        ({"batch_size": 3}, "batch_size=2, and this one has batch_size=3"),
        ({"world": 2}, "world=1, and this one has world=2"),
        ({"window": 3}, "window=None"),
    ],
)
def test_the_state_of_another_loader_is_refused(load, other, words):
    options = {"batch_size": 2, "seed": 0, "ragged": "pad"}
    state = load(**options).state_dict()
    with pytest.raises(ArchiveError, match=words):
        load(**(options | other)).load_state_dict(state)


def test_the_state_of_other_records_is_refused(ragged):
    table, archive, _ = ragged
    state = archive.loader(batch_size=1).state_dict()
    loader(table, batch_size=1).load_state_dict(state)  # the same records, of the same shapes
    with pytest.raises(ArchiveError, match="records="):
        loader(table.head(3), batch_size=1).load_state_dict(state)


def test_the_state_of_another_order_is_refused(ragged):
    table, archive, _ = ragged
    options = {"batch_size": 2, "seed": 0, "window": 4, "windows_per_record": 3}
    state = archive.loader(**options).state_dict()
    with pytest.raises(ArchiveError, match="together=False, and this one has together=True"):
        loader(table, **options).load_state_dict(state)


@pytest.mark.parametrize(
    "change", [{"epoch": -1}, {"epoch": "1"}, {"batch": True}, {"batch": 7}, {"of": None}]
)
def test_a_state_that_is_none(load, change):
    batches = load(batch_size=1)
    for state in ({**batches.state_dict(), **change}, {}):
        with pytest.raises(ArchiveError, match="the state is"):
            batches.load_state_dict(state)


def test_threads_end_when_an_epoch_is_left(load):
    before = threading.active_count()
    batches = iter(load(batch_size=1, workers=7))
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_padding(load, ragged):
    _, _, values = ragged
    for batch in load(batch_size=4, ragged="pad", seed=0):
        rows = [values[int(record[-2:])] for record in batch["record"]]
        assert batch["x"].shape == (len(rows), max(map(len, rows)), 3)
        for padded, shape, value in zip(batch["x"], batch["x_shape"], rows, strict=True):
            assert tuple(shape) == value.shape
            np.testing.assert_array_equal(padded[: len(value)], value)
            assert not padded[len(value) :].any()


def test_padding_of_every_axis(tmp_path):
    values = [np.full(shape, i + 1, "i4") for i, shape in enumerate([(2, 3), (3, 1), (0, 2)])]
    archive = write(npy_tables.table(tmp_path / "in", {"x": values}), tmp_path / "out")
    (batch,) = archive.loader(batch_size=3, ragged="pad")
    assert batch["x"].shape == (3, 3, 3)
    for padded, (rows, columns), value in zip(batch["x"], batch["x_shape"], values, strict=True):
        np.testing.assert_array_equal(padded[:rows, :columns], value)
        assert padded.sum() == value.sum()


def test_buckets(load, ragged):
    _, _, values = ragged
    for batch in load(batch_size=2, ragged="bucket", seed=0):
        due = np.stack([values[int(record[-2:])] for record in batch["record"]])
        np.testing.assert_array_equal(batch["x"], due)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ragged": "stack"}, "ragged='stack' is none of 'error', 'pad', 'bucket'"),
        ({"on_error": "ignore"}, "on_error='ignore'"),
        ({"to": "torch"}, "to='torch' is none of 'numpy', 'jax'"),
        ({"workers": 0}, "workers=0"),
        ({"world": 2, "rank": 2}, "rank=2"),
    ],
)
def test_choices_that_are_none(load, options, words):
    with pytest.raises(ArchiveError, match=words):
        load(batch_size=1, **options)


def test_a_name_that_padding_needs(tmp_path):
    values = {"x": [np.zeros((2, 2))], "x_shape": [np.zeros((2, 2))]}
    archive = write(npy_tables.table(tmp_path / "in", values), tmp_path / "out")
    with pytest.raises(ArchiveError, match="'x_shape', which is there already"):
        archive.loader(batch_size=2, ragged="pad")


def test_arrays_of_jax(load):
    batch = next(iter(load(batch_size=2, window=4, to="jax")))
    assert isinstance(batch["x"], jax.Array)
    assert isinstance(batch["start"], jax.Array)
    assert batch["record"] == ["ds_sub-00", "ds_sub-01"]
    same = next(iter(load(batch_size=2, window=4)))
    np.testing.assert_array_equal(batch["x"], same["x"])


@pytest.mark.parametrize("workers", [1, 7])
def test_damaged_records_are_skipped_and_counted(records, tmp_path, workers):
    archive = write(records, tmp_path / "out")
    for row in (2, 6, 7):
        spoil(archive, row, "clean")
    batches = archive.loader(batch_size=2, on_error="skip", workers=workers)
    given = [batch["record"] for batch in batches]
    assert given == [[f"ds_sub-{i:02}" for i in part] for part in ([0, 1], [3], [4, 5], [8])]
    assert [record for record, _ in batches.skipped] == [f"ds_sub-{i:02}" for i in (2, 6, 7)]
    assert all("damaged" in reason for _, reason in batches.skipped)
    for batch in batches:
        for record, value in zip(batch["record"], batch["clean"], strict=True):
            np.testing.assert_array_equal(value, archive[record]["clean"])
    assert len(batches.skipped) == 6


def test_padding_holds_nothing_of_a_record_that_was_skipped(tmp_path):
    values = [np.full((4, 2), 7, "f4"), np.full((1, 2), 1, "f4"), np.full((4, 2), 2, "f4")]
    archive = write(npy_tables.table(tmp_path / "in", {"x": values}), tmp_path / "out")
    spoil(archive, 0)
    (batch,) = archive.loader(batch_size=3, ragged="pad", on_error="skip")
    assert batch["x"].sum(axis=(1, 2)).tolist() == [2, 16]
    assert batch["x_shape"].tolist() == [[1, 2], [4, 2]]


def test_without_the_check_a_changed_byte_passes_and_a_cut_shard_does_not(records, tmp_path):
    archive = write(records, tmp_path / "out")
    spoil(archive, 2, "clean")
    with pytest.raises(ArchiveError, match="damaged"):
        list(archive.loader(batch_size=9))
    (batch,) = archive.loader(batch_size=9, check=False)
    assert (batch["clean"] != np.stack([np.load(f) for f in files(tmp_path)])).sum() == 1
    shard = archive.folder / archive.manifest.shards[0].path
    shard.write_bytes(shard.read_bytes()[:3000])
    with pytest.raises(ArchiveError, match="cut short"):
        list(archive.loader(batch_size=9, check=False))


def files(folder):
    return [folder / "inputs" / f"clean-{i}.npy" for i in range(9)]


def test_records_of_a_table_that_fail_are_skipped_and_counted(records, tmp_path, monkeypatch):
    (tmp_path / "inputs" / "clean-3.npy").unlink()  # found by the survey
    batches = loader(records, batch_size=4, on_error="skip", window=4, windows_per_record=2)
    assert [record for record, _ in batches.skipped] == ["ds_sub-03"]
    (tmp_path / "inputs" / "clean-5.npy").unlink()  # not found before it is read
    given = Counter(record for batch in batches for record in batch["record"])
    assert given == {f"ds_sub-{i:02}": 2 for i in range(9) if i not in (3, 5)}
    assert [record for record, _ in batches.skipped[1:]] == ["ds_sub-05"] * 2
    with pytest.raises(RecordError, match="ds_sub-03"):
        loader(records[[3]], batch_size=1, on_error="skip")


@pytest.fixture
def computed(monkeypatch):
    """Count the records that are computed."""
    counts = Counter()
    load = npy_tables.load

    def count(path, dtype):
        counts[path.rpartition("/")[2]] += "clean" in path
        return load(path, dtype)

    monkeypatch.setattr(npy_tables, "load", count)
    return counts


@pytest.mark.parametrize(("cache", "kept"), [(None, 0), ("2GB", 9), (4 * 1024, 4), (100, 0)])
@pytest.mark.parametrize("seed", [None, 3])
def test_a_cache_saves_what_fits(records, computed, cache, kept, seed):
    batches = loader(records, batch_size=4, seed=seed, cache=cache)  # 960 + 64 bytes a record
    due = [plain(batch) for _ in range(3) for batch in loader(records, batch_size=4)]
    computed.clear()
    given = [plain(batch) for _ in range(3) for batch in batches]
    assert computed.total() == 9 + 2 * (9 - kept)
    if seed is None:
        assert given == due


def test_a_cache_holds_what_was_made_when_an_epoch_was_left(records, computed):
    batches = loader(records, batch_size=1, cache="1MB")
    list(islice(batches, 2))
    assert len(list(batches)) == 9
    assert computed.total() <= 9


def check_values(batches, values):
    """Compare each item with the record and the window that it says it is; return their number."""
    count = 0
    for batch in batches:
        for record, start, x in zip(
            *(batch[name] for name in ("record", "start", "x")), strict=True
        ):
            np.testing.assert_array_equal(x, values[int(record[-2:])][start : start + len(x)])
            count += 1
    return count


@pytest.mark.parametrize("cache", [None, "1MB", 200])
def test_a_record_that_buckets_part_is_read_right_whatever_is_cached(tmp_path, cache):
    values = [np.full((8, 3 + i % 2), i, "f4") for i in range(12)]
    table = npy_tables.table(tmp_path / "in", {"x": values})
    options = {"window": 4, "windows_per_record": 4, "seed": 0, "ragged": "bucket"}
    batches = loader(table, batch_size=3, cache=cache, **options)
    assert [check_values(batches, values) for _ in range(3)] == [48] * 3


@pytest.mark.parametrize("cache", [None, "1MB", 200])
def test_iterators_that_share_a_cache_give_their_own_records(ragged, cache):
    table, _, values = ragged
    batches = loader(table, batch_size=1, seed=0, cache=cache)
    both = list(zip(batches, batches, strict=True))
    assert check_values((batch for pair in both for batch in pair), values) == 2 * len(LENGTHS)


def test_fewer_records_than_ranks_and_an_empty_split(records, tmp_path):
    archive = write(records, tmp_path / "out")
    shares = [list(archive.loader("test", batch_size=2, rank=r, world=7)) for r in range(7)]
    assert [len(share) for share in shares] == [1, 1, 1, 0, 0, 0, 0]
    empty = replace(archive, manifest=replace(archive.manifest, splits={"train": 9, "val": 0}))
    for read in (partial(empty.loader, batch_size=1), empty.to_torch, empty.to_grain):
        with pytest.raises(ArchiveError, match=r"the split 'val' is empty in .*'train' \(9"):
            read("val")
    with pytest.raises(ArchiveError, match=r"the split 'val' is empty"):
        empty.to_webdataset("val")
    with pytest.raises(ArchiveError, match=r"the split 'val' is empty"):
        empty.to_tf("val")


def test_a_window_of_a_record_larger_than_4_gib(tmp_path):
    frames, voxels, at = 1400, 1_000_000, 1380
    table = npy_tables.table(tmp_path / "in", {"x": [np.zeros((1, 30), "f4")]})
    small = write(table, tmp_path / "out")
    size = frames * voxels * 4
    offset, shard = small.records["x"][0]["offset"], small.folder / small.manifest.shards[0].path
    frame = np.arange(voxels, dtype="f4")
    with shard.open("r+b") as file:
        file.truncate(offset + size)  # sparse: no disk holds it
        file.seek(offset + at * voxels * 4)
        file.write(frame)
    crcs = np.full(frames, crc32c(bytes(voxels * 4)), "<u4")
    crcs[at] = crc32c(frame)
    place = small.records["x"][0] | {
        "size": size,
        "shape": [frames, voxels],
        "frames_per_block": 1,
        "crc32c": crcs.tobytes(),
    }
    column = pl.Series("x", [place], small.records.schema["x"])
    archive = replace(small, records=small.records.with_columns(column))
    tracemalloc.start()
    try:
        batches = archive.loader(batch_size=1, window=2, windows_per_record=1399)
        batches.load_state_dict({**batches.state_dict(), "batch": at})
        batch = next(iter(batches))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert batch["start"].tolist() == [at]
    assert (offset + at * voxels * 4) > 5 * 2**30
    np.testing.assert_array_equal(batch["x"][0], [frame, np.zeros(voxels, "f4")])
    assert peak < 2**26
