import gc
import io
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import npy_tables
import numpy as np
import pytest
from torch.utils.data import DataLoader
from webdataset.autodecode import DecodingError

from entense.archive import Archive
from entense.archive.write import write
from entense.errors import ArchiveError

# webdataset leaves the files that it opens to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
NINE = [f"ds_sub-{i:02}" for i in range(9)]


@pytest.fixture(autouse=True)
def _collected():
    yield
    gc.collect()


@pytest.fixture
def archive(records, tmp_path):
    return write(records, tmp_path / "out", columns=["age", "sex"])


def test_the_pipeline_gives_what_was_written(archive):
    for split, due in [(None, NINE), ("test", NINE[6:])]:
        samples = list(archive.to_webdataset(split))
        assert sorted(sample["__key__"] for sample in samples) == due
        for sample in samples:
            ours = archive[sample["__key__"]]
            for name in ("clean", "fc"):
                np.testing.assert_array_equal(sample[f"{name}.npy"], ours[name])
            assert sample["json"] == {"age": ours["age"], "sex": ours["sex"]}


def test_the_pipelines_own_verbs_go_on(archive):
    data = archive.to_webdataset("train").shuffle(10, initial=10).to_tuple("__key__", "clean.npy")
    (batch,) = data.batched(6)
    assert sorted(batch[0]) == NINE[:6]
    assert batch[1].shape == (6, 12, 20)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # of 3 workers
@pytest.mark.parametrize("workers", [0, 3])
def test_workers_without_a_shard_get_nothing(archive, workers):
    way = "forkserver" if workers else None
    data = archive.to_webdataset()  # two shards
    samples = DataLoader(data, batch_size=None, num_workers=workers, multiprocessing_context=way)
    assert sorted(sample["__key__"] for sample in samples) == NINE


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


@pytest.mark.parametrize("name", ["bomb.pkl", "bomb.pyd", "bomb.pickle", "bomb.npy"])
def test_nothing_is_unpickled(archive, name):
    content = io.BytesIO()
    if name.endswith(".npy"):
        np.save(content, np.array([Bomb()], object), allow_pickle=True)
    else:
        content.write(pickle.dumps(Bomb()))
    shard = archive.manifest.shards[0]
    with tarfile.open(archive.folder / shard.path, "w") as tar:
        info = tarfile.TarInfo(f"a.{name}")
        info.size = content.tell()
        content.seek(0)
        tar.addfile(info, content)
    size = (archive.folder / shard.path).stat().st_size
    forged = replace(archive.manifest, shards=(replace(shard, bytes=size),))
    data = Archive(archive.folder, forged, archive.records).to_webdataset()
    if name.endswith(".npy"):
        with pytest.raises(DecodingError) as caught:
            list(data)
        assert "allow_pickle=False" in str(caught.value.__cause__)
    else:
        (sample,) = data
        assert isinstance(sample[name], bytes)


def test_no_name_is_run_or_leads_out(archive, tmp_path, records, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = write(records, Path("pipe:touch ran && cat {a..b} :: x"))
    assert len(list(odd.to_webdataset())) == 9
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ArchiveError, match="'#', at which webdataset"):
        write(records, "a#b").to_webdataset()
    shard = archive.folder / archive.manifest.shards[0].path
    outside = tmp_path / "outside.tar"
    shard.rename(outside)
    shard.symlink_to(outside)
    with pytest.raises(ArchiveError, match=r"outside\.tar, out of its folder"):
        archive.to_webdataset()


def test_shards_that_webdataset_would_cut_short_in_silence(archive):
    shard = archive.folder / archive.manifest.shards[0].path
    shard.write_bytes(shard.read_bytes()[:-2048])
    with pytest.raises(ArchiveError, match="missing or cut"):
        archive.to_webdataset()


def test_shards_of_another_format(tmp_path):
    table = npy_tables.table(tmp_path / "in", {"x": [np.zeros((4, 2), "f4")]})
    archive = write(table, tmp_path / "out", format="tfrecord")
    with pytest.raises(ArchiveError, match=r"are tfrecord, .*format=\"webdataset\""):
        archive.to_webdataset()


def test_tensors_that_are_not_there_are_named(archive):
    for tensors, words in (([], "names no tensor"), (["fcc"], "did you mean 'fc'")):
        with pytest.raises(ArchiveError, match=words):
            archive.to_webdataset(tensors=tensors)
