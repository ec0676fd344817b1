"""An archive as a tf.data.Dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import tensorflow as tf

    from entense.archive.read import Archive

KEY = "__key__"


def to_tf(archive: Archive, split: str | None = None) -> tf.data.Dataset:
    """Return the records of a split as a `tf.data.Dataset` of dicts, in the order of the shards.

    That is one split after the other, the records of each in the order of their ids.

    A sample has each tensor in its own dtype, each scalar, and ``"record"``. Where a column has
    nulls, its numbers become floats with NaN for null, its strings have ``""``. Floats are
    float32, integers int64.

    Parameters
    ----------
    archive
        An open archive: TFRecord shards are read by TensorFlow itself, others by us.
    split
        Only the records of this split; None for all.

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
    places = archive.records["shard"]
    rows = sorted(archive.rows(split), key=places.to_list().__getitem__)
    signature = {name: _tensor_spec(tf, archive, name) for name in archive.schema}
    signature |= {name: _scalar_spec(tf, archive, name) for name in archive.manifest.columns}
    signature["record"] = tf.TensorSpec((), tf.string)
    if archive.manifest.format == "tfrecord":
        return _parsed(tf, archive, split, signature)
    return tf.data.Dataset.from_generator(
        lambda: _samples(archive, rows), output_signature=signature
    )


def _tensor_spec(tf: Any, archive: Archive, name: str) -> Any:
    tensor = archive.schema[name]
    return tf.TensorSpec(tensor.shape, tf.as_dtype(tensor.dtype))


def _scalar_spec(tf: Any, archive: Archive, name: str) -> Any:
    column = archive.records[name]
    if column.dtype == pl.String:
        return tf.TensorSpec((), tf.string)
    if column.dtype.is_float() or column.null_count():
        return tf.TensorSpec((), tf.float32)
    return tf.TensorSpec((), tf.bool if column.dtype == pl.Boolean else tf.int64)


def _samples(archive: Archive, rows: list[int]) -> Iterator[dict[str, Any]]:
    for row in rows:
        sample = archive[row]
        for name in archive.manifest.columns:
            if sample[name] is None:
                is_text = archive.records[name].dtype == pl.String
                sample[name] = "" if is_text else float("nan")
        yield sample


def _parsed(tf: Any, archive: Archive, split: str | None, signature: dict[str, Any]) -> Any:
    """Let TensorFlow read and parse the shards."""
    data = tf.data.TFRecordDataset(_files(archive, split))
    features = {name: _feature(tf, archive, name) for name in signature if name != "record"}
    features[KEY] = tf.io.FixedLenFeature((), tf.string)

    def parse(record: Any) -> dict[str, Any]:
        sample = tf.io.parse_single_example(record, features)
        sample["record"] = sample.pop(KEY)
        return {
            name: _finish(tf, sample[name], spec, name in archive.schema)
            for name, spec in signature.items()
        }

    return data.map(parse, num_parallel_calls=tf.data.AUTOTUNE)


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
        if spec.dtype == tf.float32:
            dense = tf.concat([dense, [float("nan")]], 0)
        return dense[0]
    return value


def _files(archive: Archive, split: str | None) -> list[str]:
    """Return the shards of a split, which TensorFlow would read in part without a word if cut."""
    shards = [shard for shard in archive.manifest.shards if split in (None, shard.split)]
    paths = [archive.local / shard.path for shard in shards]
    for shard, path in zip(shards, paths, strict=True):
        if not path.exists() or path.stat().st_size != shard.bytes:
            raise ArchiveError(
                f"{path} is missing or cut; copy it again, or run write again, which mends it"
            )
    return [str(path) for path in paths]
