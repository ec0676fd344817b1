"""Full-size runs from the disk to cleaned voxels, or to parcels and their correlations.

Written and flushed to the disk, beside inflating the same files on the same cores without doing
anything with them; and kept in memory, beside nilearn's maskers, which keep theirs there. The page
cache is warm for all.
"""

from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.data import TR, Runs, full_runs
from benchmarks.fresh import Aim, Contender, Row, in_turns, warm
from benchmarks.inflate import LIBRARIES

CHAINS = ("voxels", "parcels")
KEPT = ", in memory"
FILES = 8  # in a row; there may be fewer
FLOORS = {"inflate, disk": True, "inflate, drop": False}  # whether what is inflated is kept
OVER = {"voxels": 1.5, "parcels": 1.25}  # times the fastest floor, at most
MASKERS = {"voxels": "NiftiMasker", "parcels": "NiftiLabelsMasker"}
UNDER = {"voxels": 100, "parcels": 8}  # times faster than the masker, at least
NINE = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
NINE += ["csf", "white_matter", "global_signal"]
ORDERS = ("", "_derivative1", "_power2", "_derivative1_power2")


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Measure the floor and ours over all files; in memory, ours and nilearn's."""
    runs = full_runs(cache, quick=quick)
    warm(*runs.bolds)
    folder = str(runs.folder)
    written = [Contender(w, "entense", "file", "convert:written", (folder, w)) for w in CHAINS]
    parcels = [*_kept(folder, "parcels"), _masker(folder, "parcels")]
    rows = in_turns([*_floors(folder), *written, *parcels], 1 if quick else 3)
    masker = [] if quick else [_masker(folder, "voxels")]  # minutes
    rows += in_turns([*_kept(folder, "voxels"), *masker], 1 if quick else 2)
    best = [_fastest(rows, floor) for floor in FLOORS]
    copies = [
        replace(row, bench=what, name=f"{row.bench}: {row.name}") for what in CHAINS for row in best
    ]
    return [_with_aims(row, rows, best) for row in rows] + copies


def _floors(folder: str) -> list[Contender]:
    return [
        Contender(group, library, "file", "inflate:inflate", (folder, library, keep))
        for group, keep in FLOORS.items()
        for library in LIBRARIES
    ]


def _kept(folder: str, what: str) -> list[Contender]:
    names = {"entense": FILES, "entense, alone": 1}
    return [
        Contender(what + KEPT, name, "file", "convert:kept", (folder, what, files))
        for name, files in names.items()
    ]


def _masker(folder: str, what: str) -> Contender:
    name = f"nilearn {MASKERS[what]}"
    return Contender(what + KEPT, name, "file", "convert:nilearn", (folder, what))


def _fastest(rows: list[Row], group: str) -> Row:
    return min((row for row in rows if row.bench == group), key=lambda row: row.seconds)


def _with_aims(row: Row, rows: list[Row], best: list[Row]) -> Row:
    """Say of ours how it stands to the floors, or in memory to the masker."""
    what = row.bench.removesuffix(KEPT)
    if not row.name.startswith("entense"):
        return row
    if row.bench in CHAINS:
        ratios = [(floor.bench, row.seconds / floor.seconds) for floor in best]
        return replace(
            row, aims=tuple(Aim(f"{what} over {by}", ratio, OVER[what]) for by, ratio in ratios)
        )
    return replace(
        row,
        aims=tuple(
            Aim(
                f"{peer.name} over {row.name}",
                peer.seconds / row.seconds,
                UNDER[what],
                at_least=True,
            )
            for peer in rows
            if peer.bench == row.bench and peer.name.startswith("nilearn")
        ),
    )


def written(folder: str, what: str) -> dict:
    """Write all runs in one go, in a process that has written before."""
    from benchmarks.chains import CHAINS, write

    runs = Runs(Path(folder))
    table = CHAINS[what](runs)
    write(runs, table)
    seconds = write(runs, table) / table.height
    return {"seconds": seconds, "note": f"{table.height} in one write, flushed"}


def kept(folder: str, what: str, files: int) -> dict:
    """Compute so many runs one after the other, in a process that has computed before."""
    from benchmarks.chains import CHAINS, compute

    table = CHAINS[what](Runs(Path(folder))).head(files)
    compute(table)  # memory that was never touched costs more than memory that was
    seconds = median(compute(table) / table.height for _ in range(FILES // files))
    return {"seconds": seconds, "note": f"{table.height} in a row, in memory"}


def nilearn(folder: str, what: str) -> dict:
    """Clean one run as nilearn's documentation says; its first call has nothing to compile."""
    import numpy as np
    import polars as pl
    from nilearn.maskers import NiftiLabelsMasker, NiftiMasker

    from benchmarks.chains import FILTERS

    runs = Runs(Path(folder))
    bold = runs.bolds[0]
    table = pl.read_csv(runs.confounds(bold), separator="\t", null_values="n/a")
    table = table.select(base + order for order in ORDERS for base in NINE).cast(pl.Float64)
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
    return {"seconds": perf_counter() - start, "note": "kept in memory"}
