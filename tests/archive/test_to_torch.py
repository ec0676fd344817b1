import multiprocessing
import pickle
import sys
from collections import Counter
from itertools import chain
from types import SimpleNamespace

import npy_tables
import numpy as np
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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"style": "table"}, "style='table' is none of 'iterable', 'map'"),
        ({"rank": 3}, "rank=3 is none of world=1"),
        ({"windows_per_record": 2}, "needs a window"),
        ({"window": 99}, "fewer than window=99"),
        ({"tensors": ["y"]}, "no tensor 'y'"),
        ({"tensors": "x"}, "is one name"),
    ],
)
def test_options_that_cannot_be(archive, options, words):
    with pytest.raises(ArchiveError, match=words):
        archive.to_torch(**options)


def test_without_torch(archive, monkeypatch):
    monkeypatch.setitem(sys.modules, "entense.archive.loaders.torch", None)
    with pytest.raises(ArchiveError, match=r"entense\[torch\]"):
        archive.to_torch()
