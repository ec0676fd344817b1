"""An archive as a tf.data.Dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from entense.archive.loaders.archive import source_of
from entense.archive.loaders.shards import shard_files
from entense.archive.loaders.source import named
from entense.archive.loaders.windows import Windows
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import tensorflow as tf

    from entense.archive.read import Archive

KEY, TFRECORD = "__key__", "tfrecord"
PAD = "use padded_batch or ragged_batch of tf.data in the place of batch"


def to_tf(
    archive: Archive, split: str | None = None, *, tensors: Sequence[str] | None = None
) -> tf.data.Dataset:
    """Return the records of a split as a `tf.data.Dataset` of dicts, in the order of the shards.

    That is one split after the other, the records of each in the order of their ids, unless they
    were shuffled when they were written.

    A sample has each tensor in its own dtype, each scalar, and ``"record"``. Where a column has
    nulls, its integers and booleans become float64 with NaN for null, its strings have ``""``.
    Floats are float32, integers int64. Records of different shapes make batches with
    `padded_batch`, and say so.

    Parameters
    ----------
    archive
        An open archive: TFRecord shards are read by TensorFlow itself, others by us.
    split
        Only the records of this split; None for all.
    tensors
        Which tensors to read; None for all. Of an archive that keeps each in shards of its own,
        only theirs are read.

    Raises
    ------
    ArchiveError
        When TensorFlow is not installed, there is no such split, or a shard has been cut.

    Examples
    --------
    >>> from entense.archive import open_archive
    >>> data = to_tf(open_archive("out"), "train").shuffle(100).batch(8)
    >>> sorted(data.element_spec)
    ['clean', 'record']
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ArchiveError(
            'to_tf needs TensorFlow; install it with: pip install "entense[tensorflow]"'
        ) from error
    rows, names = archive.rows(split), named(tensors, archive.schema)
    Windows(source_of(archive, split, names, check=True), None).tell_alike(PAD)
    signature = {name: _tensor_spec(tf, archive, name) for name in names}
    signature |= {name: _scalar_spec(tf, archive, name) for name in archive.manifest.columns}
    signature["record"] = tf.TensorSpec((), tf.string)
    if TFRECORD in archive.manifest.formats:
        return _parsed(tf, archive, split, signature)
    order = _in_order(archive, rows, names[0])
    return tf.data.Dataset.from_generator(
        lambda: _samples(archive, order, names), output_signature=signature
    )


def _in_order(archive: Archive, rows: list[int], tensor: str) -> list[int]:
    """Return rows in the order in which they lie in the shards."""
    places = archive.records[tensor].struct.unnest().with_row_index("row")[rows]
    order: list[int] = places.sort("shard", "offset", maintain_order=True)["row"].to_list()
    return order


def _tensor_spec(tf: Any, archive: Archive, name: str) -> Any:
    tensor = archive.tensor(name)
    return tf.TensorSpec(tensor.shape, tf.as_dtype(tensor.dtype))


def _scalar_spec(tf: Any, archive: Archive, name: str) -> Any:
    column = archive.records[name]
    if column.dtype == pl.String:
        return tf.TensorSpec((), tf.string)
    if column.dtype.is_float():
        return tf.TensorSpec((), tf.float32)
    if column.null_count():  # of 64 bits, which alone hold ids of subjects
        return tf.TensorSpec((), tf.float64)
    return tf.TensorSpec((), tf.bool if column.dtype == pl.Boolean else tf.int64)


def _samples(archive: Archive, rows: list[int], tensors: Sequence[str]) -> Iterator[dict[str, Any]]:
    for row in rows:
        sample = archive.sample(row, tensors)
        for name in archive.manifest.columns:
            if sample[name] is None:
                is_text = archive.records[name].dtype == pl.String
                sample[name] = "" if is_text else float("nan")
        yield sample


def _parsed(tf: Any, archive: Archive, split: str | None, signature: dict[str, Any]) -> Any:
    """Let TensorFlow read and parse the shards."""
    wanted = [name for name in signature if name in archive.schema]
    series = archive.manifest.series_of(wanted, TFRECORD)
    features = [_features(tf, archive, number, signature) for number in series]

    def parse(*records: Any) -> dict[str, Any]:
        sample: dict[str, Any] = {}
        for record, held in zip(records, features, strict=True):
            sample |= tf.io.parse_single_example(record, held)
        sample["record"] = sample.pop(KEY)
        return {
            name: _finish(tf, sample[name], spec, name in archive.schema)
            for name, spec in signature.items()
        }

    # shards of one number hold the same records in the same order, in every series
    data = [tf.data.TFRecordDataset(shard_files(archive, split, number)) for number in series]
    return tf.data.Dataset.zip(*data).map(parse, num_parallel_calls=tf.data.AUTOTUNE)


def _features(tf: Any, archive: Archive, series: int, signature: dict[str, Any]) -> dict[str, Any]:
    """Return what to parse of the shards of a series; the columns are in each."""
    held = {*archive.manifest.series[series].tensors, *archive.manifest.columns}
    features = {name: _feature(tf, archive, name) for name in signature if name in held}
    return {**features, KEY: tf.io.FixedLenFeature((), tf.string)}


def _feature(tf: Any, archive: Archive, name: str) -> Any:
    if name in archive.schema:
        return tf.io.FixedLenFeature((), tf.string)
    dtype = archive.records[name].dtype
    if dtype == pl.String:
        return tf.io.FixedLenFeature((), tf.string, default_value="")
    if dtype.is_float():
        return tf.io.FixedLenFeature((), tf.float32, default_value=float("nan"))
    return tf.io.VarLenFeature(tf.int64)


def _finish(tf: Any, value: Any, spec: Any, is_tensor: bool) -> Any:
    """Give a parsed feature the dtype and the static shape that the schema says."""
    if is_tensor:
        return tf.ensure_shape(tf.io.parse_tensor(value, spec.dtype), spec.shape)
    if isinstance(value, tf.SparseTensor):  # an integer or boolean, absent where it is null
        dense = tf.cast(value.values, spec.dtype)
        if spec.dtype.is_floating:
            dense = tf.concat([dense, [float("nan")]], 0)
        return dense[0]
    return value
