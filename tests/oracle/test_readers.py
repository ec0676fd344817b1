"""Shards that `write` made, opened by readers that know nothing of us."""

import io
import json
import tarfile
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import polars as pl
import pytest

import entense as et

COLUMNS = ["age", "sex", "left"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Four runs of two lengths, in two splits, one of them without an age."""
    from entense.demo import make_dataset

    root = tmp_path_factory.mktemp("readers")
    shape = (10, 12, 10)
    make_dataset(root / "ds", subjects=4, sessions=1, runs=1, frames=44, shape=shape)
    table = et.stage(
        et.scan(root / "ds"),
        bold={"suffix": "bold", "desc": "preproc"},
        mask={"suffix": "mask", "desc": "brain", "datatype": "func"},
        confounds={"suffix": "timeseries"},
    )
    brain = et.group_mask(table, "mask", to=root / "brain.nii.gz")
    clean = et.volume("bold", mask=brain).denoise("confounds", "6P").zscore()
    return (
        table.entense.join_table(root / "ds" / "participants.tsv")
        .with_columns(
            age=pl.when(pl.col("subject") != "03").then("age").cast(pl.Float64),
            left=pl.col("handedness").eq_missing("L"),
            split=pl.when(pl.col("subject") == "04")
            .then(pl.lit("test"))
            .otherwise(pl.lit("train")),
        )
        .entense.transform(clean=clean, half=clean.astype("float16"))
        .entense.transform(
            fc=et.col("clean").parcellate(root / "ds" / "atlas.nii.gz").correlation()
        )
    )


def write(records, factory, format):
    out = factory.mktemp(format) / "out"
    records.entense.write(out, format=format, columns=COLUMNS, shard_size="100kB")
    archive = et.open(out)
    assert len(archive.manifest.shards) > len(archive.manifest.splits)
    assert {len(archive[row]["clean"]) for row in range(4)} == {44, 39}
    return archive


@pytest.fixture(scope="module")
def tars(records, tmp_path_factory):
    return write(records, tmp_path_factory, "webdataset")


@pytest.fixture(scope="module")
def tfrecords(records, tmp_path_factory):
    return write(records, tmp_path_factory, "tfrecord")


@pytest.fixture(params=["tars", "tfrecords"])
def archive(request):
    return request.getfixturevalue(request.param)


def shards(archive, split=None):
    chosen = [shard for shard in archive.manifest.shards if split in (None, shard.split)]
    return [str(archive.folder / shard.path) for shard in chosen]


def is_record(archive, sample, row):
    """Compare a reader's sample, {tensor: array, column: value}, with `archive[row]`."""
    ours = archive[row]
    for name, tensor in archive.schema.items():
        theirs = np.asarray(sample[name])
        assert theirs.dtype == tensor.dtype
        assert theirs.shape == ours[name].shape
        assert np.array_equal(theirs, ours[name], equal_nan=True)
    for name in COLUMNS:
        assert sample[name] == ours[name]


def test_an_archive_gives_what_collect_gives(archive, records):
    frame = records.sort("subject").entense.collect()
    assert [key.split("_")[1] for key in archive.records["record"]] == [
        f"sub-{subject}" for subject in frame["subject"]
    ]
    for name in archive.schema:
        for row, ours in enumerate(et.to_numpy(frame[name])):
            assert np.array_equal(archive[row][name], ours, equal_nan=True)
    assert [archive[row]["age"] for row in range(4)] == frame["age"].to_list()


def test_tarfile_and_numpy(tars):
    members = {}
    order = []
    for shard in shards(tars):
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, name = member.name.partition(".")
                order += [key] if key not in members else []
                content = io.BytesIO(tar.extractfile(member).read())
                read = json.load(content) if name == "json" else np.load(content)
                members.setdefault(key, {})[name.removesuffix(".npy")] = read
    assert sorted(order) == tars.records["record"].to_list()
    for key, sample in members.items():
        is_record(tars, sample | sample["json"], tars.row(key))


def test_webdataset(tars):
    import webdataset

    for split in ("train", "test"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = webdataset.WebDataset(shards(tars, split), shardshuffle=False).decode()
            samples = list(data)
        assert [tars.row(sample["__key__"]) for sample in samples] == tars.rows(split)
        for sample in samples:
            plain = {name.removesuffix(".npy"): value for name, value in sample.items()}
            is_record(tars, plain | sample["json"], tars.row(sample["__key__"]))


@pytest.mark.filterwarnings("ignore")
def test_hugging_face_datasets(tars, tmp_path):
    import datasets

    files = {split: shards(tars, split) for split in tars.manifest.splits}
    loaded = datasets.load_dataset(
        "webdataset", data_files=files, streaming=True, cache_dir=str(tmp_path)
    )
    for split in files:
        samples = list(loaded[split])
        assert [tars.row(sample["__key__"]) for sample in samples] == tars.rows(split)
        for sample in samples:
            kinds = {name: tensor.dtype for name, tensor in tars.schema.items()}
            arrays = {name: np.asarray(sample[f"{name}.npy"], kinds[name]) for name in kinds}
            is_record(tars, arrays | sample["json"], tars.row(sample["__key__"]))


@pytest.mark.filterwarnings("ignore")
def test_to_tf(archive):
    for split in ("train", None):
        samples = list(archive.to_tf(split).as_numpy_iterator())
        rows = archive.rows(split)
        assert [archive.row(sample["record"].decode()) for sample in samples] == rows
        for sample, row in zip(samples, rows, strict=True):
            is_record(archive, from_tf(sample), row)


def from_tf(sample):
    """TensorFlow has no null and no str: NaN, "" and bytes stand for them."""
    age = float(sample["age"])
    sex = sample["sex"].decode()
    return sample | {
        "age": None if np.isnan(age) else age,
        "sex": sex,
        "left": bool(sample["left"]),
    }


@pytest.mark.filterwarnings("ignore")
def test_tensorflow_alone(tfrecords):
    import tensorflow as tf

    features = {
        name: tf.io.FixedLenFeature((), tf.string) for name in (*tfrecords.schema, "__key__")
    }
    features |= {
        "age": tf.io.FixedLenFeature((), tf.float32, default_value=float("nan")),
        "sex": tf.io.FixedLenFeature((), tf.string),
        "left": tf.io.FixedLenFeature((), tf.int64),
    }
    keys = []
    for record in tf.data.TFRecordDataset(shards(tfrecords)):
        sample = {k: v.numpy() for k, v in tf.io.parse_single_example(record, features).items()}
        keys.append(sample["__key__"].decode())
        for name, tensor in tfrecords.schema.items():
            sample[name] = tf.io.parse_tensor(sample[name], tf.as_dtype(tensor.dtype)).numpy()
        is_record(tfrecords, from_tf(sample), tfrecords.row(keys[-1]))
    assert sorted(keys) == tfrecords.records["record"].to_list()


@pytest.mark.filterwarnings("ignore")
def test_a_record_framed_by_hand_is_tensorflows(tfrecords, tmp_path):
    import tensorflow as tf

    again = tmp_path / "again.tfrecord"
    for path in shards(tfrecords):
        with tf.io.TFRecordWriter(str(again)) as writer:
            for record in tf.data.TFRecordDataset(path):
                example = tf.train.Example.FromString(record.numpy())
                for name, tensor in tfrecords.schema.items():
                    (old,) = example.features.feature[name].bytes_list.value
                    array = tf.io.parse_tensor(old, tf.as_dtype(tensor.dtype))
                    assert tf.io.serialize_tensor(array).numpy() == old
                writer.write(example.SerializeToString(deterministic=True))
        assert again.read_bytes() == Path(path).read_bytes()


def test_unmask_puts_every_voxel_back(archive, records):
    row = records.sort("subject").collect().row(0, named=True)
    image = nib.as_closest_canonical(nib.load(row["bold"]))
    (mask,) = archive.manifest.masks.values()
    inside = nib.load(archive.folder / mask.path).get_fdata() > 0
    assert inside.sum() == archive[0]["clean"].shape[1]
    series = archive.unmask(archive[0]["clean"], "clean")
    assert np.allclose(series.affine, image.affine)
    assert series.shape == (*image.shape[:3], 44)
    assert np.array_equal(series.get_fdata()[inside].T, archive[0]["clean"])
    assert not series.get_fdata()[~inside].any()
    moving = image.get_fdata()[inside].T  # voxel i of the tensor is voxel i of the image
    ours = archive.unmask(moving[7].astype("f4"), "half").get_fdata()
    assert np.allclose(ours[inside], image.get_fdata()[..., 7][inside], rtol=1e-6)
