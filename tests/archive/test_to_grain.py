import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grain
import npy_tables
import numpy as np
import pytest
from absl import flags

from entense.archive.write import write
from entense.errors import ArchiveError

NINE = [f"ds_sub-{i:02}" for i in range(9)]


@pytest.fixture
def archive(records, tmp_path):
    return write(records, tmp_path / "out", columns=["age", "visit", "sex"])


def test_it_is_a_data_source_of_grain(archive):
    source = archive.to_grain()
    assert isinstance(source, grain.sources.RandomAccessDataSource)
    assert len(source) == 9
    for row in (0, 4, -1):
        sample, due = source[row], archive[row]
        for name in ("clean", "fc"):
            np.testing.assert_array_equal(sample[name], due[name])
        assert sample["record"] == due["record"]
    assert [type(source[2][name]) for name in ("age", "visit", "sex", "start")] == [
        float, float, str, int
    ]  # fmt: skip
    with pytest.raises(IndexError):
        source[9]


def test_grains_own_dataset_shuffles_and_batches(archive):
    source = archive.to_grain("train", window=4, windows_per_record=2, tensors=["clean"])
    batches = list(grain.MapDataset.source(source).shuffle(seed=0).batch(5))
    assert [len(batch["record"]) for batch in batches] == [5, 5, 2]
    seen = Counter(
        (record, int(start))
        for batch in batches
        for record, start in zip(batch["record"].tolist(), batch["start"], strict=True)
    )
    assert seen == dict.fromkeys(((record, start) for record in NINE[:6] for start in (0, 8)), 1)
    for batch in batches:
        for record, start, x in zip(*(batch[n] for n in ("record", "start", "clean")), strict=True):
            np.testing.assert_array_equal(x, archive[str(record)]["clean"][start : start + 4])


@pytest.mark.parametrize("shards", [1, 3])  # of 9: grain itself gives no more than equal shares
def test_grains_own_loader_resumes(archive, shards):
    def make(shard):
        source = archive.to_grain()
        options = grain.sharding.ShardOptions(shard, shards)
        sampler = grain.samplers.IndexSampler(9, options, shuffle=True, num_epochs=1, seed=0)
        return grain.DataLoader(data_source=source, sampler=sampler)

    shares = [[sample["record"] for sample in make(shard)] for shard in range(shards)]
    assert sorted(sum(shares[1:], shares[0])) == NINE
    samples = iter(make(0))
    next(samples)
    state = samples.get_state()
    again = iter(make(0))
    again.set_state(state)
    assert [sample["record"] for sample in again] == shares[0][1:]


def test_it_goes_to_other_processes_and_threads(archive):
    source = archive.to_grain()
    copy = pickle.loads(pickle.dumps(source))
    assert repr(copy) == repr(source)
    assert repr(source) != repr(archive.to_grain("train"))
    assert str(archive.folder) not in repr(source)
    with ThreadPoolExecutor(7) as pool:
        assert list(pool.map(lambda i: copy[i]["record"], range(9))) == NINE


def test_a_damaged_record_is_an_error_unless_unchecked(tmp_path):
    table = npy_tables.table(tmp_path / "in", {"x": [np.zeros((4, 2), "f4")]})
    archive = write(table, tmp_path / "out")
    shard = archive.folder / archive.manifest.shards[0].path
    content = bytearray(shard.read_bytes())
    content[archive.records["x"][0]["offset"]] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ArchiveError, match="damaged"):
        archive.to_grain()[0]
    assert archive.to_grain(check=False)[0]["x"].any()


@pytest.fixture
def parsed():
    """Grain's processes want the flags of absl parsed, as an application does."""
    flags.FLAGS.mark_as_parsed()
    yield
    flags.FLAGS.unparse_flags()


def read_by_workers(source):
    """Read a source with two processes of grain."""
    data = grain.MapDataset.source(source).to_iter_dataset().batch(2)
    batches = iter(data.mp_prefetch(grain.multiprocessing.MultiprocessingOptions(num_workers=2)))
    try:
        return [record for batch in batches for record in batch["record"].tolist()]
    finally:
        batches.close()


@pytest.mark.usefixtures("parsed")
@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_records_are_left_out_and_counted_whichever_process_reads_them(
    archive, tmp_path, workers
):
    shard = archive.folder / archive.manifest.shards[0].path
    content = bytearray(shard.read_bytes())
    content[archive.records["clean"][2]["offset"]] ^= 1
    shard.write_bytes(content)
    source = archive.to_grain(on_error="skip", tensors=["clean"])
    if workers:
        found = read_by_workers(source)
    else:
        data = grain.MapDataset.source(source).to_iter_dataset()
        found = [sample["record"] for sample in data]
        assert source[2] is None
    assert sorted(found) == [record for record in NINE if record != "ds_sub-02"]
    assert {(record, "is damaged" in why) for record, why in source.skipped} == {
        ("ds_sub-02", True)
    }


@pytest.fixture
def uneven(tmp_path):
    """An archive of records of 5, 8 and 6 frames."""
    values = [np.arange(3 * n, dtype="f4").reshape(n, 3) for n in (5, 8, 6)]
    return write(npy_tables.table(tmp_path / "uneven", {"x": values}), tmp_path / "uneven-out")


def test_records_shorter_than_a_window_are_left_out_or_padded(uneven, caplog):
    source = uneven.to_grain(window=6, short="skip", windows_per_record=2)
    assert [source[i]["record"] for i in range(len(source))] == [
        "ds_sub-01", "ds_sub-01", "ds_sub-02", "ds_sub-02"
    ]  # fmt: skip
    assert source.skipped == [("ds_sub-00", "it has 5 frames, fewer than window=6")]
    assert "1 of 3 records are left out" in caplog.text
    assert pickle.loads(pickle.dumps(source)).skipped == source.skipped
    padded = uneven.to_grain(window=8, short="pad")
    (batch,) = grain.MapDataset.source(padded).batch(3)
    assert batch["x_shape"].tolist() == [[5, 3], [8, 3], [6, 3]]
    for x, row in zip(batch["x"], range(3), strict=True):
        due = uneven[row]["x"]
        np.testing.assert_array_equal(x[: len(due)], due)
        assert not x[len(due) :].any()


def test_records_that_make_no_batch_are_told_before_one_is_made(uneven, archive, caplog):
    assert len(uneven.to_grain()) == 3
    assert "differ in the shape of 'x' ([(5, 3), (8, 3)], …)" in caplog.text
    assert 'short="pad"' in caplog.text
    caplog.clear()
    for source in (uneven.to_grain(window=5), archive.to_grain()):
        assert next(iter(grain.MapDataset.source(source).batch(2)))["record"].shape == (2,)
    assert not caplog.text
