"""Whole records in order, from the disk's cache to arrays; every reader checks what it can."""

from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.fresh import Aim, Contender, Row, in_turns, warm
from benchmarks.shards import make_archives, parsed, samples, shards_of

DUE = 3  # times ours, for either peer


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Measure each reader over the same records, several times round."""
    _, folder = make_archives(cache, quick=quick)
    warm(*map(Path, (p for kind in ("webdataset", "tfrecord") for p in shards_of(folder, kind))))
    first, *others = in_turns(
        [
            Contender("read", name, "record", f"read:{function}", (str(folder),))
            for name, function in READERS.items()
        ],
        1 if quick else 3,
    )
    aims = [
        Aim(f"read, {row.name} over entense", row.seconds / first.seconds, DUE, at_least=True)
        for row in others
    ]
    return [replace(first, aims=tuple(aims)), *others]


READERS = {"entense": "ours", "webdataset": "webdataset", "tf.data": "tfdata"}


def _timed(records, count: int = 12) -> dict:
    """Take records and let each go; the median of all but the first four."""
    times, size = [], 0
    for _ in range(count):
        start = perf_counter()
        size = next(records).nbytes
        times.append(perf_counter() - start)
    seconds = median(times[4:])
    return {"seconds": seconds, "note": f"{size / seconds / 1e9:.2f} GB/s"}


def ours(folder: str) -> dict:
    import entense as et

    loader = et.open(Path(folder) / "webdataset").loader(batch_size=1)
    return _timed(batch["clean"] for _ in iter(int, 1) for batch in loader)


def webdataset(folder: str) -> dict:
    return _timed(samples(Path(folder)))


def tfdata(folder: str) -> dict:
    return _timed(parsed(Path(folder)).as_numpy_iterator())
