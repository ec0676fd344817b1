"""Our TFRecords against TensorFlow's own bytes and readers."""

import sys
from itertools import pairwise

import hypothesis.extra.numpy as hnp
import npy_tables
import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from entense.archive.formats import formats
from entense.archive.formats.base import Sample, blank
from entense.archive.formats.tfrecord import DATA_TYPES
from entense.archive.schema import as_dtype
from entense.archive.write import write
from entense.errors import ArchiveError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorFlow's own
TFR = formats["tfrecord"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
COLUMNS = ["age", "visit", "sex", "left"]


@st.composite
def tensors(draw):
    dtype, shape = as_dtype(draw(st.sampled_from(sorted(DATA_TYPES)))), draw(SHAPES)
    count = int(np.prod(shape)) * dtype.itemsize
    limit = 1 if dtype.name == "bool" else 255
    bits = draw(st.lists(st.integers(0, limit), min_size=count, max_size=count))
    return np.array(bits, np.uint8).view(dtype).reshape(shape)


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(width=32)
)


def joined(framed):
    return b"".join(
        b if isinstance(b, bytes) else bytes(b.view)
        for b in [*framed.buffers, TFR.seal(framed.buffers)]
    )


def by_tensorflow(key, arrays, scalars, path):
    """Write a record the slow way, with TensorFlow."""
    import tensorflow as tf

    def feature(value):
        if isinstance(value, str):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        if isinstance(value, float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))

    features = {k: feature(v) for k, v in scalars.items() if v is not None}
    features["__key__"] = feature(key)
    for name, array in arrays.items():
        proto = tf.io.serialize_tensor(tf.constant(array)).numpy()
        features[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[proto]))
    example = tf.train.Example(features=tf.train.Features(feature=features))
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example.SerializeToString(deterministic=True))
    return path.read_bytes()


@settings(max_examples=200, deadline=None)
@given(
    arrays=st.dictionaries(st.text(min_size=1, max_size=8), tensors(), max_size=3),
    scalars=st.dictionaries(st.text(min_size=1, max_size=8), SCALARS, max_size=4),
)
def test_a_record_is_what_tensorflow_would_write(tmp_path_factory, arrays, scalars):
    scalars = {name: value for name, value in scalars.items() if name not in arrays}
    # Python's protobuf puts "ab" before "a", C++'s and ours after: such names are tested below
    names = sorted(map(str.encode, ["__key__", *arrays, *scalars]))
    assume(not any(b.startswith(a) for a, b in pairwise(names)))
    framed = TFR.frame(Sample("ds_sub-01", arrays, scalars, {}))
    whole = joined(framed)
    path = tmp_path_factory.getbasetemp() / "tf.tfrecord"
    assert whole == by_tensorflow("ds_sub-01", arrays, scalars, path)
    blanks = {name: blank(array.shape, array.dtype.name) for name, array in arrays.items()}
    assert TFR.size(Sample("ds_sub-01", blanks, scalars, {})) == len(whole)
    for name, array in arrays.items():
        at = framed.offsets[name]
        assert whole[at : at + array.nbytes] == array.tobytes()


def test_names_that_begin_alike_are_sorted_as_bytes(tmp_path):
    import tensorflow as tf

    scalars = {"ab": 1, "a": 2, "b": 3}
    framed = joined(TFR.frame(Sample("k", {}, scalars, {})))[12:-4]
    theirs = by_tensorflow("k", {}, scalars, tmp_path / "a")[12:-4]
    assert tf.train.Example.FromString(framed) == tf.train.Example.FromString(theirs)
    at = [framed.index(b"\x0a" + bytes([len(k)]) + k) for k in (b"__key__", b"a", b"ab", b"b")]
    assert at == sorted(at)


def test_lengths_of_more_than_a_byte_are_tensorflow_s_too(tmp_path):
    arrays = {"x": np.arange(50_000, dtype="f4").reshape(250, 200), "y": np.zeros((300, 0))}
    framed = TFR.frame(Sample("k", arrays, {"long": "é" * 300}, {}))
    whole = joined(framed)
    assert whole == by_tensorflow("k", arrays, {"long": "é" * 300}, tmp_path / "a")


def test_a_record_of_2_gib_is_refused_before_anything_is_computed():
    with pytest.raises(ArchiveError, match=r"at most 2 GiB"):
        TFR.size(Sample("a", {"x": blank((2**29,), "float32")}, {}, {}))


def test_a_column_called_like_the_key_is_refused():
    with pytest.raises(ArchiveError, match=r"rename"):
        TFR.size(Sample("a", {}, {"__key__": 1}, {}))


def test_a_float_that_32_bits_cannot_hold_is_named_before_anything_is_computed(records, tmp_path):
    huge = pl.when(pl.col("subject") == "03").then(-1e300).otherwise(3.4e38)
    says = r"'dose' of record ds_sub-03 is -1e\+300, .* 32 bits .*; scale .*format=\"webdataset\""
    with pytest.raises(ArchiveError, match=says):
        write(
            records.with_columns(dose=huge), tmp_path / "out", format="tfrecord", columns=["dose"]
        )
    assert not (tmp_path / "out").exists()
    largest = {"a": 3.4028235e38, "b": float("-inf"), "c": float("nan"), "d": 2**63 - 1}
    TFR.size(Sample("k", {}, largest, {}))


@pytest.mark.parametrize("fmt", ["tfrecord", "webdataset"])
def test_to_tf_gives_what_the_archive_holds(records, tmp_path, fmt, caplog):
    archive = write(records, tmp_path / "out", format=fmt, columns=COLUMNS, shard_size="6kB")
    with pytest.raises(ArchiveError, match="names no tensor"):
        archive.to_tf("train", tensors=[])
    data = archive.to_tf("train")
    assert not caplog.text
    assert tuple(data.element_spec["clean"].shape) == (12, 20)
    samples = list(data.as_numpy_iterator())
    assert [s["record"].decode() for s in samples] == archive.records["record"][:6].to_list()
    for row, sample in enumerate(samples):
        ours = archive[row]
        assert sample["clean"].dtype == np.float32
        np.testing.assert_array_equal(sample["clean"], ours["clean"])
        np.testing.assert_array_equal(sample["fc"], ours["fc"])
        assert sample["sex"].decode() == (ours["sex"] or "")
        for name in ("age", "visit", "left"):
            due = np.float32(np.nan if ours[name] is None else ours[name])
            np.testing.assert_equal(sample[name], due)


@pytest.mark.parametrize("fmt", ["tfrecord", "webdataset"])
def test_to_tf_keeps_integers_and_booleans_without_nulls(records, tmp_path, fmt):
    table = records.drop_nulls(["visit", "left"])
    archive = write(table, tmp_path / "out", format=fmt, columns=["visit", "left"])
    samples = list(archive.to_tf().as_numpy_iterator())
    assert [(s["visit"], s["left"]) for s in samples] == table.select("visit", "left").rows()
    assert samples[0]["visit"].dtype == np.int64
    assert samples[0]["left"].dtype == np.bool_


@pytest.mark.parametrize("fmt", ["tfrecord", "webdataset"])
def test_to_tf_rounds_no_integer_where_others_are_null(records, tmp_path, fmt):
    ids = [None, 2**24 + 1, *range(2**52 + 1, 2**52 + 8)]
    table = records.with_columns(number=pl.Series(ids))
    archive = write(table, tmp_path / "out", format=fmt, columns=["number"])
    found = [sample["number"] for sample in archive.to_tf().as_numpy_iterator()]
    assert {value.dtype for value in found} == {np.dtype("f8")}
    np.testing.assert_array_equal(found, np.array(ids, "f8"))


def test_to_tf_of_ragged_records_and_bfloat16(tmp_path):
    import npy_tables

    values = [np.arange(3 * n, dtype="f4").reshape(n, 3) for n in (2, 5)]
    table = npy_tables.table(tmp_path / "in", {"clean": values})
    archive = write(table, tmp_path / "out", format="tfrecord", dtype={"clean": "bfloat16"})
    data = archive.to_tf()
    assert tuple(data.element_spec["clean"].shape) == (None, 3)
    for sample, value in zip(data.as_numpy_iterator(), values, strict=True):
        assert sample["clean"].dtype.name == "bfloat16"
        np.testing.assert_array_equal(sample["clean"], value)


@pytest.mark.parametrize("fmt", ["tfrecord", "webdataset"])
def test_to_tf_of_all_splits_is_in_the_order_of_the_shards(records, tmp_path, fmt):
    table = records.with_columns(split=pl.Series(["b", "a", "a"] * 3))
    archive = write(table, tmp_path / "out", format=fmt, shard_size="3kB")
    due = [f"ds_sub-{i:02}" for i in (0, 3, 6, 1, 2, 4, 5, 7, 8)]
    assert [s["record"].decode() for s in archive.to_tf().as_numpy_iterator()] == due


def test_to_tf_refuses_a_shard_that_was_cut(records, tmp_path):
    archive = write(records, tmp_path / "out", format="tfrecord")
    shard = archive.folder / archive.manifest.shards[0].path
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArchiveError, match=shard.name):
        archive.to_tf("train")


def test_without_tensorflow_to_tf_says_what_to_install(records, tmp_path, monkeypatch):
    archive = write(records, tmp_path / "out")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ArchiveError, match=r'pip install "entense\[tensorflow\]"'):
        archive.to_tf("train")


@pytest.mark.parametrize("fmt", ["tfrecord", "webdataset"])
def test_records_of_different_shapes_are_told_and_padded_by_tensorflow(tmp_path, plan, caplog, fmt):
    values = [np.arange(1.0, 3 * n + 1, dtype="f4").reshape(n, 3) for n in (5, 8, 6)]
    table = npy_tables.table(tmp_path / "in", {"x": values})
    archive = write(table, tmp_path / "out", format=fmt)
    (batch,) = archive.to_tf().padded_batch(3).as_numpy_iterator()
    assert "differ in the shape of 'x' ([(5, 3), (8, 3)], …)" in caplog.text
    assert "padded_batch" in caplog.text
    assert [int((x != 0).any(1).sum()) for x in batch["x"]] == [5, 8, 6]
