"""Framing and writing samples of 86 MB, all sides down to the disk (fsync).

In memory (a tmpfs, where there is one) the writers themselves show; on a disk mostly the disk.
"""

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.fresh import Aim, Contender, Row, in_turns

FRAMES, VOXELS = 300, 71_680  # float32: 86 MB
MEMORY = Path("/dev/shm")
CONTENDERS = {
    "tar": {
        "entense webdataset": "webdataset",
        "bare os.writev": "writev",
        "webdataset TarWriter": "tarwriter",
    },
    "tfrecord": {
        "entense tfrecord": "tfrecord",
        "bare os.writev": "writev",
        "TF TFRecordWriter": "tensorflow",
    },
}
DUE = {"webdataset TarWriter": 5, "TF TFRecordWriter": 20, "bare os.writev": 0.8}  # times ours


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Measure each writer in a process of its own, over the same samples."""
    places = {"memory": MEMORY, "disk": cache}
    return [
        row
        for kind, names in CONTENDERS.items()
        for place, folder in places.items()
        if folder.is_dir()
        for row in _rows(f"{kind}, {place}", names, str(folder), quick)
    ]


def _rows(group: str, names: dict[str, str], folder: str, quick: bool) -> list[Row]:
    size = (20, 1) if quick else (FRAMES, 6)
    ours, *others = in_turns(
        [
            Contender(group, name, "86 MB sample", "write:write", (folder, writer, *size))
            for name, writer in names.items()
        ],
        1 if quick else 5,
    )
    aims = [
        Aim(f"{group}, {row.name} over ours", row.seconds / ours.seconds, DUE[row.name], True)
        for row in others
    ]
    return [replace(ours, aims=tuple(aims)), *others]


def write(folder: str, writer: str, frames: int, count: int) -> dict:
    """Write a file of `count` samples four times; the median of all but the first."""
    array = np.random.default_rng(0).standard_normal((frames, VOXELS), np.float32)
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
        from entense.archive.formats import Sample, formats
        from entense.archive.shard import Shard

        shard = Shard(path, lambda name: formats[kind].begin(name, {}))
        for i in range(count):
            # the checksums that an archive keeps of every block are made here, too
            shard.sink.append(Sample(f"sub-{i}", {"clean": array}, {}, {}))
        shard.sink.close()
        shard.finish()

    return run


def _writev(path: Path, array: np.ndarray, count: int) -> None:
    """Write nothing but the data, with as little as can be between it and the system."""
    with path.open("wb", buffering=0) as file:
        for _ in range(count):
            left = memoryview(array).cast("B")
            while left:
                left = left[os.writev(file.fileno(), [left]) :]
        os.fsync(file.fileno())


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
    "writev": _writev,
    "tarwriter": _tarwriter,
    "tensorflow": _tensorflow,
}
