"""Archives of the generated runs in both formats, and one of small records."""

from pathlib import Path

import numpy as np

from benchmarks.data import Runs, full_runs
from benchmarks.fresh import measure

RECORDS = 4
SUFFIX = {"webdataset": "tar", "tfrecord": "tfrecord"}


def make_archives(cache: Path, *, quick: bool) -> tuple[Runs, Path]:
    """Write float16 voxels of some runs as tar and as TFRecord, once; return runs and folder."""
    runs = full_runs(cache, quick=quick)
    folder = runs.folder.parent / "voxels"
    for kind in SUFFIX:
        measure("shards:write", str(runs.folder), str(folder / kind), kind)
    return runs, folder


def write(runs: str, folder: str, kind: str) -> None:
    """Write one archive; what is there already is kept."""
    import entense as et
    from benchmarks.chains import stage

    found = Runs(Path(runs))
    table = et.transform(stage(found), clean=et.volume("bold", mask=str(found.mask)).zscore())
    et.write(table.head(RECORDS), folder, format=kind, dtype={"clean": "float16"})


def shards_of(folder: Path, kind: str) -> list[str]:
    return sorted(map(str, (folder / kind).glob(f"all/*.{SUFFIX[kind]}")))


def samples(folder: Path):
    """Yield every record's voxels as webdataset decodes them, again and again."""
    import webdataset

    urls = shards_of(folder, "webdataset")
    while True:
        for sample in webdataset.WebDataset(urls, shardshuffle=False).decode():
            yield sample["clean.npy"]


def parsed(folder: Path):
    """Return a tf.data.Dataset of every record's voxels, again and again."""
    import tensorflow as tf

    def parse(record: tf.Tensor) -> tf.Tensor:
        features = {"clean": tf.io.FixedLenFeature((), tf.string)}
        example = tf.io.parse_single_example(record, features)
        return tf.io.parse_tensor(example["clean"], tf.float16)

    data = tf.data.TFRecordDataset(shards_of(folder, "tfrecord"))
    return data.map(parse, num_parallel_calls=tf.data.AUTOTUNE).repeat().prefetch(2)


def starts(frames: int, window: int) -> np.ndarray:
    """Return where a thousand windows begin, the same for all contenders."""
    return np.random.default_rng(0).integers(0, frames - window, 1000, endpoint=True)
