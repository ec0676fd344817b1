"""Peak memory: of the bare process, of whole chains, and of chains inside a budget."""

from dataclasses import replace
from pathlib import Path

from benchmarks.data import Runs, full_runs
from benchmarks.fresh import Aim, Row, measure

# chain, memory=, and the most that the process may take, in MB
CHAINS = (
    ("voxels", None, 1600),
    ("voxels", "900MB", 1000),
    ("voxels", "700MB", 1000),
    ("parcels", None, 600),
)
BUDGETS = (("three", 1000), ("three", 500), ("pooled", 400), ("pooled", 300))  # MB
SAID = {"three": "two tensors and parcels", "pooled": "parcels of z-scores"}
OVER = 1.2  # times the budget, above the bare process


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Measure each chain over the same files, in a process of its own."""
    runs = full_runs(cache, quick=quick)
    folder, files = str(runs.folder), 2 if quick else 4
    found, bare = measure("memory:bare", folder)
    rows = [Row("memory", "bare process", found["seconds"], "process", bare, found["note"])]
    rows += [_whole(folder, files, *chain) for chain in CHAINS]
    return rows + [_budgeted(folder, files, *each, bare) for each in BUDGETS]


def _whole(folder: str, files: int, chain: str, memory: str | None, most: int) -> Row:
    found, peak = measure("memory:ours", folder, chain, files, memory)
    row = Row("memory", f"{chain}, memory={memory}", found["seconds"], "file", peak, found["note"])
    return replace(row, aims=(Aim(f"{row.name}, peak in GB", peak / 1e3, most / 1e3),))


def _budgeted(folder: str, files: int, chain: str, budget: int, bare: float) -> Row:
    found, peak = measure("memory:ours", folder, chain, files, f"{budget}MB")
    row = Row("memory", f"{SAID[chain]}, {budget} MB", found["seconds"], "file", peak)
    if found["seconds"] is None:
        return replace(row, seconds=float("nan"), note=found["note"])
    above = peak - bare
    ratio = above / found["estimate"]
    note = f"{above:.0f} MB above bare, {ratio:.2f} times the estimate; {found['note']}"
    aims = (Aim(f"{row.name}, peak above bare over budget", above / budget, OVER),)
    return replace(row, note=note, aims=aims)


def bare(folder: str) -> dict:
    """Import what every run imports, and compute next to nothing."""
    from time import perf_counter

    start = perf_counter()
    import jax

    import benchmarks.chains  # noqa: F401
    import entense  # noqa: F401

    jax.jit(lambda x: x + 1)(1.0).block_until_ready()
    return {"seconds": perf_counter() - start, "note": "import entense, jax; one sum"}


def ours(folder: str, chain: str, files: int, memory: str | None) -> dict:
    """Write some runs; a chain that is refused says why."""
    from benchmarks.chains import CHAINS, write
    from entense import EntenseError
    from entense.plan.survey import survey

    table = CHAINS[chain](Runs(Path(folder))).head(files)
    estimate = max(row.demand.with_process() for row in survey(table).rows) / 1e6
    try:
        seconds = write(Runs(Path(folder)), table, memory=memory) / files
    except EntenseError as refused:
        return {"seconds": None, "note": f"refused: {refused}"}
    note = f"a record is estimated at {estimate:.0f} MB"
    return {"seconds": seconds, "estimate": estimate, "note": note}
