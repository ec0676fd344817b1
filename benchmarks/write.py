"""Framing and writing samples of 86 MB, all sides down to the disk (fsync).

In memory (a tmpfs, where there is one) the writers themselves show; on a disk mostly the disk.
"""

import os
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.fresh import Row, measure

SHAPE = (300, 71_680)  # float32: 86 MB
MEMORY = Path("/dev/shm")
CONTENDERS = {
    "tar": {"entense webdataset": "webdataset", "webdataset TarWriter": "tarwriter"},
    "tfrecord": {"entense tfrecord": "tfrecord", "TF TFRecordWriter": "tensorflow"},
}


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Measure each writer in a process of its own, over the same samples."""
    places = {"memory": MEMORY, "disk": cache}
    return [
        _row(f"{kind}, {place}", name, str(folder), writer, 2 if quick else 6)
        for kind, names in CONTENDERS.items()
        for place, folder in places.items()
        if folder.is_dir()
        for name, writer in names.items()
    ]


def _row(group: str, name: str, folder: str, writer: str, count: int) -> Row:
    found, peak = measure("write:write", folder, writer, count)
    return Row(group, name, found["seconds"], "86 MB sample", peak, found["note"])


def write(folder: str, writer: str, count: int) -> dict:
    """Write a file of `count` samples four times; the median of all but the first."""
    array = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    times = []
    for _ in range(4):
        with tempfile.TemporaryDirectory(dir=folder) as out:
            start = perf_counter()
            WRITERS[writer](Path(out) / "samples", array, count)
            times.append((perf_counter() - start) / count)
    seconds = median(times[1:])
    return {"seconds": seconds, "note": f"{array.nbytes / seconds / 1e9:.2f} GB/s"}


def _ours(kind: str):
    def run(path: Path, array: np.ndarray, count: int) -> None:
        from entense.archive.formats import formats
        from entense.archive.shard import writing

        with writing(path) as shard:
            for i in range(count):
                # frame also makes the checksums that an archive keeps of every block
                shard.append(formats[kind].frame(f"sub-{i}", {"clean": array}, {}).buffers)
            shard.append([formats[kind].trailer])

    return run


def _tarwriter(path: Path, array: np.ndarray, count: int) -> None:
    import webdataset

    with path.open("wb") as file:
        with webdataset.TarWriter(file) as sink:
            for i in range(count):
                sink.write({"__key__": f"sub-{i}", "clean.npy": array})
        file.flush()
        os.fsync(file.fileno())


def _tensorflow(path: Path, array: np.ndarray, count: int) -> None:
    import tensorflow as tf

    def feature(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    with tf.io.TFRecordWriter(str(path)) as sink:
        for i in range(count):
            tensor = tf.io.serialize_tensor(array).numpy()
            features = {"__key__": feature(f"sub-{i}".encode()), "clean": feature(tensor)}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            sink.write(example.SerializeToString())
    with path.open("rb") as file:
        os.fsync(file.fileno())


WRITERS = {
    "webdataset": _ours("webdataset"),
    "tfrecord": _ours("tfrecord"),
    "tarwriter": _tarwriter,
    "tensorflow": _tensorflow,
}
