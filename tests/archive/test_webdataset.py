"""Our tars against those who wrote the format: tarfile, NumPy, webdataset, Hugging Face."""

import io
import json
import tarfile

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entense.archive.formats import formats
from entense.archive.formats.base import Sample, blank
from entense.archive.write import write
from entense.errors import ArchiveError

WDS = formats["webdataset"]
DTYPES = ["bool", "int8", "uint8", "int16", "int32", "int64", "float16", "float32", "float64"]
NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,9}", fullmatch=True)
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
    )
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
COLUMNS = ["age", "visit", "sex", "left"]


def joined(framed):
    return b"".join(
        b if isinstance(b, bytes) else bytes(b.view)
        for b in [*framed.buffers, WDS.seal(framed.buffers)]
    )


def by_tarfile(key, arrays, scalars):
    """Write a sample the slow way, with tarfile and np.save."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        members = {}
        for name, array in arrays.items():
            file = io.BytesIO()
            np.save(file, array)
            members[f"{key}.{name}.npy"] = file.getvalue()
        if scalars:
            members[f"{key}.json"] = json.dumps(scalars, sort_keys=True).encode()
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        return out.getvalue()[: tar.offset]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=3), st.dictionaries(NAMES, SCALARS))
def test_a_sample_is_what_tarfile_and_numpy_would_write(arrays, scalars):
    framed = WDS.frame(Sample("ds_sub-01", arrays, scalars, {}))
    whole = joined(framed)
    assert whole == by_tarfile("ds_sub-01", arrays, scalars)
    blanks = {name: blank(array.shape, array.dtype.name) for name, array in arrays.items()}
    assert WDS.size(Sample("ds_sub-01", blanks, scalars, {})) == len(whole)
    for name, array in arrays.items():
        at = framed.offsets[name]
        assert at % 64 == 0
        assert whole[at : at + array.nbytes] == array.tobytes()


def test_the_data_is_not_copied():
    array = np.zeros(1000, "f4")
    framed = WDS.frame(Sample("a", {"x": array}, {}, {}))
    array[:] = 1
    assert np.ones(1000, "f4").tobytes() in joined(framed)


def test_nan_becomes_null():
    assert b'{"age": null}' in joined(WDS.frame(Sample("a", {}, {"age": float("nan")}, {})))


@pytest.mark.parametrize(
    ("key", "tensor", "dtype", "scalars", "words"),
    [
        ("a", "Clean", "float32", {}, "rename it"),
        ("a", "clean.z", "float32", {}, "rename it"),
        ("a", "_clean", "float32", {}, "rename it"),
        ("a", "x", "bfloat16", {}, "float16"),
        ("a" * 95, "x", "float32", {}, "100 characters"),
        ("ä", "x", "float32", {}, "plainer `record`"),
        ("_a", "x", "float32", {}, "plainer `record`"),
        ("a/b", "x", "float32", {}, "plainer `record`"),
        ("a", "x", "float32", {"age": float("inf")}, "JSON cannot hold"),
    ],
)
def test_what_a_tar_cannot_hold_is_refused_before_anything_is_computed(
    key, tensor, dtype, scalars, words
):
    with pytest.raises(ArchiveError, match=words):
        WDS.size(Sample(key, {tensor: blank((2,), dtype)}, scalars, {}))


def test_a_member_of_8_gib_is_refused():
    with pytest.raises(ArchiveError, match=r"less than 8 GiB"):
        WDS.size(Sample("a", {"x": blank((2**33,), "uint8")}, {}, {}))


def shards(archive, split):
    folder = archive.folder
    return [str(folder / s.path) for s in archive.manifest.shards if s.split == split]


def same(archive, split, samples):
    """Compare samples (dicts with `x.npy` and `json`) with what the archive gives."""
    rows = archive.rows(split)
    assert len(samples) == len(rows) > 1
    for row, sample in zip(rows, samples, strict=True):
        ours = archive[row]
        assert sample["__key__"] == ours["record"]
        for name in archive.schema:
            theirs = np.asarray(sample[f"{name}.npy"], archive.schema[name].dtype)
            np.testing.assert_array_equal(theirs, ours[name])
        assert sample["json"] == {name: ours[name] for name in COLUMNS}


@pytest.fixture
def archive(records, tmp_path):
    return write(records, tmp_path / "out", columns=COLUMNS, shard_size="9kB")


def test_tarfile_reads_a_shard(archive):
    samples = {}
    for path in shards(archive, "train"):
        with tarfile.open(path) as tar:
            assert {m.mtime for m in tar} == {0}
            for member in tar:
                key, _, name = member.name.partition(".")
                content = tar.extractfile(member).read()
                value = json.loads(content) if name == "json" else np.load(io.BytesIO(content))
                samples.setdefault(key, {"__key__": key})[name] = value
    same(archive, "train", list(samples.values()))
    assert all(s["clean.npy"].dtype == np.float32 for s in samples.values())


@pytest.mark.filterwarnings("ignore")  # webdataset's and torch's own deprecations
def test_webdataset_reads_a_shard(archive):
    import webdataset as wds

    raw = list(wds.WebDataset(shards(archive, "train"), shardshuffle=False))
    for sample in raw:
        for name in ("clean", "fc"):
            sample[f"{name}.npy"] = np.load(io.BytesIO(sample[f"{name}.npy"]))
        sample["json"] = json.loads(sample["json"])
    same(archive, "train", raw)
    decoded = list(wds.WebDataset(shards(archive, "train"), shardshuffle=False).decode())
    assert decoded[0]["clean.npy"].dtype == np.float32
    same(archive, "train", decoded)


@pytest.mark.filterwarnings("ignore")  # datasets' own deprecations
def test_hugging_face_datasets_reads_a_shard(archive, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    import datasets

    files = {split: shards(archive, split) for split in ("train", "test")}
    loaded = datasets.load_dataset("webdataset", data_files=files, streaming=True)
    for split, data in loaded.items():
        same(archive, split, list(data))
