"""Random windows of 32 frames of 290,000 voxels, float16, from shards; the page cache is warm.

Peers have no way to a window but through its record: they decode the array and cut it.
"""

import os
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.data import Runs
from benchmarks.fresh import Aim, Contender, Row, in_turns, warm
from benchmarks.shards import make_archives, parsed, samples, shards_of, starts

WINDOW = 32  # frames
PART = 20  # windows that are timed as one: the clock of one would be all noise
DUE = {"nibabel": 500, "webdataset": 10, "tf.data": 10}  # times ours
BARE = {"bare preadv": 1, "bare preadv, 3 buffers": 3}  # buffers that are read into in turn
OF_BARE = 0.7


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Measure ours in batches of one window and of eight, beside all others."""
    runs, folder = make_archives(cache, quick=quick)
    warm(*map(Path, (p for kind in ("webdataset", "tfrecord") for p in shards_of(folder, kind))))
    rounds = 1 if quick else 3
    rows = in_turns(
        [
            Contender("windows", "entense", "window", "windows:ours", (str(folder), 1)),
            *(
                Contender("windows", name, "window", "windows:bare", (str(folder), buffers))
                for name, buffers in BARE.items()
            ),
            Contender("windows", "batches of 8", "window", "windows:ours", (str(folder), 8)),
            Contender("windows", "webdataset", "window", "windows:webdataset", (str(folder),)),
            Contender("windows", "tf.data", "window", "windows:tfdata", (str(folder),)),
        ],
        rounds,
    )
    naive = Contender("windows", "nibabel", "window", "windows:naive", (str(runs.folder),))
    rows += in_turns([naive], 1)
    return [replace(rows[0], aims=_aims(rows)), *rows[1:]]


def _aims(rows: list[Row]) -> tuple[Aim, ...]:
    seconds = {row.name: row.seconds for row in rows}
    bare = [
        Aim(f"windows, {name} over entense", seconds[name] / rows[0].seconds, OF_BARE, True)
        for name in BARE
    ]
    times = [
        Aim(f"windows, {name} over entense", seconds[name] / rows[0].seconds, due, True)
        for name, due in DUE.items()
    ]
    return (*bare, *times)


def _timed(batches, each: int, parts: int) -> dict:
    """Take `each` batches a part; the median seconds of a window, the first part apart."""
    times = []
    for _ in range(parts + 1):
        start = perf_counter()
        count = sum(len(batch) for batch in islice(batches, each))
        times.append((perf_counter() - start) / count)
    return {"seconds": median(times[1:]), "note": f"{each * parts} reads"}


def ours(folder: str, batch_size: int) -> dict:
    import entense as et

    loader = et.open(Path(folder) / "webdataset").loader(
        batch_size=batch_size, window=WINDOW, windows_per_record=500, seed=0
    )
    return _timed((batch["clean"] for batch in loader), PART // batch_size, 20)


def bare(folder: str, buffers: int) -> dict:
    """Read the same bytes, and know where they are without looking.

    Into one buffer, which may stay in the processor's cache; or into three in turn, as a loader has
    it: the window that was given, the one that is due, the one that is read.
    """
    import entense as et

    archive = et.open(Path(folder) / "webdataset")
    shards = [os.open(path, os.O_RDONLY) for path in shards_of(Path(folder), "webdataset")]
    rows = archive.records.select("clean").unnest("clean").rows(named=True)
    width = rows[0]["size"] // rows[0]["shape"][0]
    windows_of = cycle(np.empty((buffers, WINDOW, width), np.uint8))

    def windows():
        frames = min(row["shape"][0] for row in rows)
        begins = cycle(starts(frames, WINDOW).tolist())
        for row, start, window in zip(cycle(rows), begins, windows_of):
            count = os.preadv(shards[row["shard"]], [window], row["offset"] + start * width)
            assert count == window.nbytes
            yield window[None]

    return _timed(windows(), PART, 20)


def webdataset(folder: str) -> dict:
    return _timed(_cut(samples(Path(folder))), 1, 5)


def tfdata(folder: str) -> dict:
    return _timed(_cut(parsed(Path(folder)).as_numpy_iterator()), 1, 5)


def _cut(records):
    """Cut one window from each record, as a copy: the record is not kept for it."""
    for record, start in zip(records, cycle(starts(100, WINDOW).tolist())):
        yield record[start : start + WINDOW].copy()[None]


def naive(folder: str) -> dict:
    """Load, scale, mask and cut, as it is done without an archive."""
    import nibabel as nib

    runs = Runs(Path(folder))
    mask = np.asarray(nib.load(runs.mask).dataobj) > 0
    start = perf_counter()
    window = nib.load(runs.bolds[0]).get_fdata()[mask].T[:WINDOW].astype(np.float16)
    assert window.shape[0] == WINDOW
    return {"seconds": perf_counter() - start, "note": "load, get_fdata, mask, cut; one window"}
