"""Full-size runs from the disk to cleaned voxels, or to parcels and their correlations.

Beside them: inflating the same files on the same cores without doing anything with them, and
nilearn's maskers on one of them. The page cache is warm for all; what is written is flushed.
"""

from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.data import TR, Runs, make_runs
from benchmarks.fresh import Aim, Row, measure, warm
from benchmarks.inflate import LIBRARIES

MASKERS = {"voxels": ("NiftiMasker", 100), "parcels": ("NiftiLabelsMasker", 8)}
FLOOR = {"voxels": 1.5, "parcels": 1.25}


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Measure the floor, ours over all files, and ours and nilearn's on one."""
    runs = make_runs(cache, [120] * 2 if quick else [200] * 8)
    rounds = 1 if quick else 3
    warm(*runs.bolds)
    floors = [_floor(runs, rounds, keep=keep) for keep in (True, False)]
    rows = [row for floor in floors for row in floor]
    best = [min(floor, key=lambda row: row.seconds) for floor in floors]
    for what in MASKERS:
        rows += _all_files(runs, what, rounds, best)
        rows += _one_file(runs, what, rounds, quick=quick)
    return rows


def _floor(runs: Runs, rounds: int, *, keep: bool) -> list[Row]:
    group = "inflate, disk" if keep else "inflate, drop"
    return [
        _row(group, library, "inflate:inflate", runs, library, rounds, keep)
        for library in LIBRARIES
    ]


def _row(group: str, name: str, function: str, runs: Runs, *options: object) -> Row:
    found, peak = measure(function, str(runs.folder), *options)
    return Row(group, name, found["seconds"], "file", peak, found["note"])


def _all_files(runs: Runs, what: str, rounds: int, best: list[Row]) -> list[Row]:
    row = _row(what, "entense", "convert:ours", runs, what, len(runs.bolds), rounds)
    disk, drop = (row.seconds / floor.seconds for floor in best)
    aims = (
        Aim(f"{what} over inflating to the disk", disk, FLOOR[what]),
        Aim(f"{what} over inflating and dropping", drop, FLOOR[what]),
    )
    floors = [replace(floor, bench=what, name=f"inflate: {floor.name}") for floor in best]
    return [replace(row, aims=aims), *floors]


def _one_file(runs: Runs, what: str, rounds: int, *, quick: bool) -> list[Row]:
    if quick and what == "voxels":  # nilearn takes minutes, however short the run
        return []
    masker, times = MASKERS[what]
    group = f"{what}, 1 file"
    row = _row(group, "entense", "convert:ours", runs, what, 1, rounds)
    peer = _row(group, f"nilearn {masker}", "convert:nilearn", runs, what)
    aim = Aim(f"{masker} over ours", peer.seconds / row.seconds, times, at_least=True)
    return [replace(row, aims=(aim,)), peer]


def ours(folder: str, what: str, files: int, rounds: int) -> dict:
    """Write so many runs in one go, in a process that has compiled its programs."""
    from benchmarks.chains import CHAINS, write

    runs = Runs(Path(folder))
    table = CHAINS[what](runs).head(files)
    write(runs, table.head(1))
    times = [write(runs, table) / files for _ in range(rounds)]
    note = f"{files} files in one write, median of {rounds} ({min(times):.3f}-{max(times):.3f})"
    return {"seconds": median(times), "note": note}


def nilearn(folder: str, what: str) -> dict:
    """Clean one run as nilearn's documentation says; its first call has nothing to compile."""
    import numpy as np
    import polars as pl
    from nilearn.maskers import NiftiLabelsMasker, NiftiMasker

    from benchmarks.chains import FILTERS
    from entense.ops.confounds import columns

    runs = Runs(Path(folder))
    bold = runs.bolds[0]
    table = pl.read_csv(runs.confounds(bold), separator="\t", null_values="n/a")
    table = table.select(columns("36P")).cast(pl.Float64)
    confounds = table.fill_null(strategy="backward").to_numpy()
    options = {"detrend": True, "standardize": "zscore_sample", "t_r": TR, **FILTERS}
    start = perf_counter()
    if what == "voxels":
        masker = NiftiMasker(str(runs.mask), **options)
    else:
        masker = NiftiLabelsMasker(str(runs.atlas), **options)
    found = masker.fit_transform(str(bold), confounds=confounds)
    if what == "parcels":
        np.corrcoef(found.T)
    return {"seconds": perf_counter() - start, "note": "1 file, kept in memory"}
