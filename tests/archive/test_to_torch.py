import multiprocessing
import pickle
import subprocess
import sys
from collections import Counter
from itertools import chain
from types import SimpleNamespace

import npy_tables
import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, DistributedSampler

from entense.archive.write import write
from entense.errors import ArchiveError

multiprocessing.set_forkserver_preload(["torch"])  # seven processes, and torch imported once
NINE = [f"ds_sub-{i:02}" for i in range(9)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Nine records, ragged, with scalars that may be null."""
    root = tmp_path_factory.mktemp("torch")
    with pytest.MonkeyPatch.context() as patch:
        npy_tables.install(patch)
        values = [np.full((6 + i % 3, 2), i, "f4") for i in range(9)]
        columns = {"age": [None, *range(8)], "sex": ["f", None, "m"] * 3}
        table = npy_tables.table(root / "in", {"x": values}, **columns)
        return write(table, root / "out", columns=["age", "sex"])


def ids(samples):
    return [sample["record"] for sample in samples]


@pytest.mark.parametrize("style", ["iterable", "map"])
def test_a_sample_is_a_dict_of_tensors_and_scalars(archive, style):
    samples = list(archive.to_torch(style=style))
    assert ids(samples) == NINE
    for i, sample in enumerate(samples):
        assert torch.equal(sample["x"], torch.full((6 + i % 3, 2), float(i)))
    assert np.isnan(samples[0]["age"])
    assert [(s["age"], s["sex"], s["start"]) for s in samples[1:3]] == [(0.0, "", 0), (1.0, "m", 0)]


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # of 7 workers
@pytest.mark.parametrize(
    ("workers", "way"),
    [(0, None), (1, "spawn"), (2, "forkserver"), (7, "forkserver")],
)
@pytest.mark.parametrize("style", ["iterable", "map"])
def test_workers_see_each_record_once(archive, workers, way, style):
    data = archive.to_torch(style=style, seed=0)
    batches = DataLoader(data, batch_size=None, num_workers=workers, multiprocessing_context=way)
    for epoch in range(1 if workers else 2):
        data.epoch = epoch
        assert sorted(ids(batches)) == NINE


@given(
    workers=st.sampled_from([0, 1, 2, 7]),
    world=st.sampled_from([1, 2, 3, 11]),
    seed=st.none() | st.integers(0, 5),
    each=st.integers(1, 3),
)
def test_ranks_and_workers_part_the_windows(archive, workers, world, seed, each):
    options = {"window": 4, "windows_per_record": each, "seed": seed, "world": world}
    order = archive.loader(batch_size=1, window=4, windows_per_record=each, seed=seed)
    for epoch in range(2):
        seen = Counter()
        for rank in range(world):
            data = archive.to_torch(rank=rank, **options)
            data.epoch = epoch
            seen.update((s["record"], s["start"]) for s in chain(*shares(data, workers)))
        due = Counter((batch["record"][0], int(batch["start"][0])) for batch in order)
        assert seen == due


def shares(data, workers):
    """Return what each worker of a DataLoader would get, in this process."""
    for worker in range(max(workers, 1)):
        info = SimpleNamespace(id=worker, num_workers=workers) if workers else None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("entense.archive.loaders.torch.get_worker_info", lambda info=info: info)
            yield list(data)


def test_batches_of_windows_are_those_that_the_loader_reads(archive):
    options = {"window": 4, "windows_per_record": 3, "seed": 5}
    ours = archive.loader(batch_size=4, **options)
    data = archive.to_torch(**options)
    for epoch in range(2):
        data.epoch = epoch
        for batch, due in zip(DataLoader(data, batch_size=4), ours, strict=True):
            assert batch["record"] == due["record"]
            np.testing.assert_array_equal(batch["x"], due["x"])
            np.testing.assert_array_equal(batch["start"], due["start"])
            np.testing.assert_array_equal(batch["age"], due["age"])


def test_a_sampler_deals_out_the_map(archive):
    data = archive.to_torch(style="map", window=4)
    seen = Counter()
    for rank in range(3):
        sampler = DistributedSampler(data, 3, rank, shuffle=True)
        for batch in DataLoader(data, batch_size=2, sampler=sampler):
            seen.update(batch["record"])
    assert seen == dict.fromkeys(NINE, 1)
    assert data[-1]["record"] == NINE[-1]
    with pytest.raises(IndexError):
        data[9]


@pytest.mark.parametrize("name", ["bool", "uint8", "uint16", "int64", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 2)])
def test_dtypes(tmp_path, plan, name, shape):
    table = npy_tables.table(tmp_path / "in", {"x": [np.ones(shape, "f4")]})
    archive = write(table, tmp_path / "out", format="tfrecord", dtype={"x": name})
    for style in ("iterable", "map"):
        (sample,) = archive.to_torch(style=style)
        assert sample["x"].dtype == getattr(torch, name)
        assert tuple(sample["x"].shape) == shape
        assert bool((sample["x"] == 1).all())


def test_ranks_are_those_of_torch_distributed(archive, tmp_path):
    pytest.importorskip("torch.testing._internal.distributed.fake_pg")
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.distributed.init_process_group("fake", store=FakeStore(), rank=1, world_size=3)
    try:
        assert ids(archive.to_torch()) == NINE[1::3]
        assert ids(archive.to_torch(rank=0, world=1)) == NINE
    finally:
        torch.distributed.destroy_process_group()
    assert ids(archive.to_torch(rank=2, world=3)) == NINE[2::3]


def test_a_copy_in_another_process_is_the_same_and_small(archive):
    for style in ("iterable", "map"):
        data = archive.to_torch(style=style, seed=1)
        copy = pickle.loads(pickle.dumps(data))
        assert ids(copy) == ids(data)
    assert pickle.loads(pickle.dumps(archive))[3]["record"] == NINE[3]


def test_a_damaged_record_is_an_error(archive, tmp_path, plan):
    table = npy_tables.table(tmp_path / "in", {"x": [np.zeros((4, 2), "f4")] * 3})
    other = write(table, tmp_path / "out")
    shard = other.folder / other.manifest.shards[0].path
    shard.write_bytes(shard.read_bytes()[:100])
    for style in ("iterable", "map"):
        with pytest.raises(ArchiveError, match="cut short"):
            list(other.to_torch(style=style))


@pytest.fixture
def damaged(tmp_path, plan):
    """Nine records of two frames, of which 2, 6 and 7 are damaged."""
    table = npy_tables.table(tmp_path / "in", {"x": [np.full((2, 2), i, "f4") for i in range(9)]})
    archive = write(table, tmp_path / "out")
    shard = archive.folder / archive.manifest.shards[0].path
    content = bytearray(shard.read_bytes())
    for row in (2, 6, 7):
        content[archive.records["x"][row]["offset"]] ^= 1
    shard.write_bytes(content)
    return archive


LOST = ["ds_sub-02", "ds_sub-06", "ds_sub-07"]
LEFT = [record for record in NINE if record not in LOST]


@pytest.mark.parametrize(("workers", "way"), [(0, None), (2, "forkserver")])
@pytest.mark.parametrize("style", ["iterable", "map"])
def test_damaged_records_are_skipped_and_counted_whichever_worker_reads_them(
    damaged, style, workers, way
):
    data = damaged.to_torch(style=style, on_error="skip")
    options = {"num_workers": workers, "multiprocessing_context": way}
    batches = list(DataLoader(data, batch_size=3, **options))
    assert sorted(chain(*(batch["record"] for batch in batches))) == LEFT
    assert all(len(batch["x"]) == len(batch["record"]) for batch in batches)
    assert sorted(record for record, _ in data.skipped) == LOST
    assert all("is damaged" in reason for _, reason in data.skipped)


def test_items_that_cannot_be_left_out_are_errors(damaged):
    data = damaged.to_torch(style="map", on_error="skip")
    with pytest.raises(ArchiveError, match="is damaged where record ds_sub-02"):
        data[2]
    with pytest.raises(ArchiveError, match="no record of a batch of 2 can be read"):
        list(DataLoader(data, batch_sampler=[[6, 7]]))
    for style in ("iterable", "map"):
        raising = damaged.to_torch(style=style)
        with pytest.raises(ArchiveError, match="is damaged"):
            list(DataLoader(raising, batch_size=3))
        assert raising.skipped == []


def test_the_notes_of_what_was_skipped_go_with_the_dataset(damaged, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = damaged.to_torch(on_error="skip")
    copy = pickle.loads(pickle.dumps(data))
    assert ids(copy) == LEFT
    assert len(data.skipped) == len(copy.skipped) == 3
    packed = pickle.dumps(data)
    (notes,) = tmp_path.glob("entense-skipped-*")
    del data
    assert not notes.exists()
    elsewhere = pickle.loads(packed)
    assert ids(elsewhere) == LEFT
    assert len(elsewhere.skipped) == 3


FORKED = """
import sys, warnings
import entense as et, jax
from torch.utils.data import DataLoader
warnings.simplefilter("ignore")  # of a fork beside JAX's threads
jax.numpy.zeros(3).block_until_ready()
archive = et.open(sys.argv[1])
for style in ("iterable", "map"):
    data = archive.to_torch(style=style, on_error="skip")
    batches = DataLoader(data, batch_size=3, num_workers=2, multiprocessing_context="fork")
    print(*sorted(record for batch in batches for record in batch["record"]))
    print(*sorted(record for record, _ in data.skipped))
"""


def test_a_fork_reads_without_the_threads_it_has_not(damaged):
    script = [sys.executable, "-c", FORKED, str(damaged.folder)]
    out = subprocess.run(script, check=True, capture_output=True, text=True, timeout=100)
    assert out.stdout.splitlines() == [" ".join(LEFT), " ".join(LOST)] * 2


def test_a_fork_needs_no_polars(archive, monkeypatch):
    data = archive.to_torch()
    for kind in (pl.Series, pl.DataFrame):
        monkeypatch.setattr(kind, "__getitem__", lambda *_: pytest.fail("Polars was asked"))
        monkeypatch.setattr(kind, "to_numpy", lambda *_, **__: pytest.fail("Polars was asked"))
    assert ids(data) == NINE


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"on_error": "ignore"}, "on_error='ignore' is none of 'raise', 'skip'"),
        ({"style": "table"}, "style='table' is none of 'iterable', 'map'"),
        ({"rank": 3}, "rank=3 is none of world=1"),
        ({"windows_per_record": 2}, "needs a window"),
        ({"window": 99}, "fewer than window=99"),
        ({"tensors": ["y"]}, "no tensor 'y'"),
        ({"tensors": "x"}, "is one name"),
        ({"tensors": []}, "names no tensor"),
        ({"short": "drop", "window": 2}, "short='drop' is none of"),
    ],
)
def test_options_that_cannot_be(archive, options, words):
    with pytest.raises(ArchiveError, match=words):
        archive.to_torch(**options)


def test_without_torch(archive, monkeypatch):
    monkeypatch.setitem(sys.modules, "entense.archive.loaders.torch", None)
    with pytest.raises(ArchiveError, match=r"entense\[torch\]"):
        archive.to_torch()


def test_records_shorter_than_a_window_are_left_out_or_padded(tmp_path, plan):
    values = [np.arange(1.0, 3 * n + 1, dtype="f4").reshape(n, 3) for n in (5, 8, 6)]
    archive = write(npy_tables.table(tmp_path / "in", {"x": values}), tmp_path / "out")
    for style in ("iterable", "map"):
        data = archive.to_torch(style=style, window=6, short="skip")
        (batch,) = DataLoader(data, batch_size=3)
        assert batch["record"] == ["ds_sub-01", "ds_sub-02"]
        assert data.skipped == [("ds_sub-00", "it has 5 frames, fewer than window=6")]
        (batch,) = DataLoader(archive.to_torch(style=style, window=8, short="pad"), batch_size=3)
        assert batch["x_shape"].tolist() == [[5, 3], [8, 3], [6, 3]]
        assert [int((x != 0).any(1).sum()) for x in batch["x"]] == [5, 8, 6]
