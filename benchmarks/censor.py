"""Full-size runs cleaned with censoring, beside the same chain without."""

from pathlib import Path
from statistics import median

from benchmarks.data import Runs, full_runs
from benchmarks.fresh import Aim, Row, measure, warm

CENSOR = {"fd": 0.5, "dvars": 1.5}  # mm, and standardised
LIMIT = 1.1


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Measure both chains in one process, in turns, over the same files."""
    runs = full_runs(cache, quick=quick)
    warm(*runs.bolds)
    found, peak = measure("censor:both", str(runs.folder), 1 if quick else 3)
    ratio = found["censored"] / found["plain"]
    aims, note = (Aim("36P + censoring over 36P", ratio, LIMIT),), found["note"]
    return [
        Row("censor", "entense, censored", found["censored"], "file", peak, note, aims=aims),
        Row("censor", "without censoring", found["plain"], "file", peak, "the same process"),
    ]


def both(folder: str, rounds: int) -> dict:
    """Write all runs censored and plain by turns; the median of each."""
    from benchmarks.chains import voxels, write

    runs = Runs(Path(folder))
    tables = {"plain": voxels(runs), "censored": voxels(runs, **CENSOR)}
    times: dict[str, list[float]] = {name: [] for name in tables}
    for table in tables.values():
        write(runs, table.head(1))
    for _ in range(rounds):
        for name, table in tables.items():
            times[name].append(write(runs, table) / table.height)
    middle = {name: median(seconds) for name, seconds in times.items()}
    return middle | {"note": f"each run keeps other frames; median of {rounds}"}
