"""What other processes add: how two of them scale, what the driver costs, takes and plans."""

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from time import perf_counter, process_time

import polars as pl

from benchmarks.data import SPACE, Runs, full_runs
from benchmarks.fresh import Aim, Contender, Row, in_turns, measure, peak_mb, warm
from benchmarks.sessions import GROUP, make_sessions

WORKERS = 2
TWICE, OVERHEAD, GROWTH, PLANNED = 1.8, 0.05, 1.25, 60.0
RECORDS, EACH = 16, 2  # and so many a task, of one process as of two


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Measure each by itself."""
    rows = _scaling(cache, quick=quick)
    rows.append(_overhead(12 if quick else 60, 1.0 if quick else 5.0))
    rows += _memory((100, 1_000) if quick else (100, 1_000, 10_000, 100_000))
    return [*rows, *_planning(cache, 1_000 if quick else 60_000)]


def _scaling(cache: Path, *, quick: bool) -> list[Row]:
    runs = full_runs(cache, quick=quick)
    warm(*runs.bolds)
    contenders = [
        Contender("distribute", name, "record", "distribute:parcels", (str(runs.folder), number))
        for number, name in ((1, "one process"), (WORKERS, f"{WORKERS} processes"))
    ]
    one, two = in_turns(contenders, 1 if quick else 3)
    work = Aim(f"{two.name}: times the work of one", one.seconds / two.seconds, TWICE, True)
    return [one, replace(two, aims=(work,))]


def parcels(folder: str, processes: int) -> dict:
    """Write parcels of runs by processes of a core each, in as many tasks whoever they are.

    To start a process, to import and to compile is not what more records take: the clock runs from
    when the processes have done their first tasks, on average, to the end of the write. (Not their
    first records: while one is compiled for, the next of its task is inflated.) The note has all.
    """
    import entense as et
    from benchmarks.chains import CHAINS, scratch

    runs = Runs(Path(folder))
    table = CHAINS["parcels"](runs)
    # round after round: records of one file that follow each other are inflated once
    rounds = [table.with_columns(subject=f"{i:02}" + pl.col("subject")) for i in range(RECORDS)]
    table = pl.concat(rounds).head(RECORDS)
    where = {
        "executor": "pydra",
        "n_procs": processes,
        "tasks": RECORDS // EACH,
        "shard_records": 1,
    }
    with scratch(runs) as out:
        begin = time.time()
        et.write(table, out / "out", **where)
        end = time.time()
        done = [path.stat().st_mtime for path in sorted(out.glob("out/all/*.tar"))]
    assert len(done) == RECORDS
    ends = done[EACH - 1 :: EACH]  # of the tasks
    start, idle = fmean(ends[:processes]), end - min(ends[-processes:])
    whole = f"from {start - begin:.1f} s on; all: {(end - begin) / RECORDS:.3f} s"
    return {
        "seconds": (end - start) / (RECORDS - EACH * processes),
        "note": f"{RECORDS} records, {whole}; one had nothing to do in the last {idle:.1f} s",
    }


def _overhead(tasks: int, seconds: float) -> Row:
    found, peak = measure("distribute:sleepers", tasks, seconds)
    share = found["seconds"] / found["due"]
    aims = (Aim(f"overhead of {tasks} tasks of {seconds:g} s", share, OVERHEAD),)
    name = f"{tasks} tasks of {seconds:g} s, overhead"
    return Row("distribute", name, found["seconds"], "run", peak, found["note"], aims=aims)


def sleepers(tasks: int, seconds: float) -> dict:
    """Run tasks that sleep; what the run takes beyond their sleep is driver, Pydra and start."""
    from entense.execute.pydra import Task, run_tasks

    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.json"
        job.write_text(json.dumps(seconds))
        todo = [
            Task(f"{i}", "benchmarks.distribute:rest", str(job), f"{i}", memory=10**8)
            for i in range(tasks)
        ]
        used, start = process_time(), perf_counter()
        ended = run_tasks(
            todo, cache=Path(folder), modules=["benchmarks.distribute"], n_procs=WORKERS
        )
        took, used = perf_counter() - start, process_time() - used
    assert all(one.how == "done" for one in ended)
    due = tasks * seconds / WORKERS
    return {
        "seconds": took - due,
        "due": due,
        "note": f"{took:.1f} s where {due:g} s are due; the driver took {used:.1f} s of a core",
    }


def rest(job: str, digest: str) -> None:
    """Sleep as long as a file says: the task."""
    time.sleep(json.loads(Path(job).read_text()))


def _memory(sizes: tuple[int, ...]) -> list[Row]:
    found = [measure("distribute:driven", size) for size in sizes]
    growth = found[-1][1] / found[0][1]
    each = (found[-1][1] - found[0][1]) / (sizes[-1] - sizes[0]) * 1e3
    rows = [
        Row("distribute", f"driver, {size:,} records", one["seconds"], "1,000 records", peak)
        for size, (one, peak) in zip(sizes, found, strict=True)
    ]
    aims = (Aim(f"driver's peak, {sizes[-1]:,} over {sizes[0]:,} records", growth, GROWTH),)
    rows[-1] = replace(rows[-1], note=f"{each:.1f} kB a record more", aims=aims)
    return rows


def driven(records: int) -> dict:
    """Write records of a trivial op by two processes; what is measured is the one that drives.

    Small arrays, a few files over and over: what grows is what is kept of a record.
    """
    import numpy as np

    import entense as et

    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{i}.npy" for i in range(100)]
        for number, file in enumerate(files):
            np.save(file, np.full((2, 2), number, np.float32))
        number = pl.Series(range(records))  # as scan and stage do it: nothing of it is Python's
        names = "r" + number.cast(pl.String).str.zfill(6)
        table = pl.DataFrame({"record": names, "x": pl.Series(files)[number % len(files)]})
        table = et.transform(table, y=et.array("x").zscore())
        start = perf_counter()
        out = Path(folder) / "out"
        et.write(table, out, shard_records=100, executor="pydra", n_procs=WORKERS)
        return {"seconds": (perf_counter() - start) / records * 1e3}


def _planning(cache: Path, sessions: int) -> list[Row]:
    folder = make_sessions(cache, sessions)
    rows = []
    for masks in ("one mask", "a mask each"):
        found, peak = measure("distribute:planned", str(folder), masks)
        name = f"{sessions:,} sessions planned, {masks}"
        row = Row("distribute", name, found["seconds"], "study", peak, found["note"])
        aims = (Aim(f"{name}, in seconds", row.seconds, PLANNED),) if masks == "one mask" else ()
        rows.append(replace(row, aims=aims))
    return rows


def planned(folder: str, masks: str) -> dict:
    """Go from a folder to a dry run, with the seconds of each step.

    Masks are tiny here; of full size a session's own takes as long to read as it takes to inflate.
    """
    import entense as et

    space = {"space": SPACE.split("_")[0].removeprefix("space-")}
    roles = {
        "bold": {"suffix": "bold", "desc": "preproc", **space},
        "mask": {"suffix": "mask", "desc": "brain", **space},
        "confounds": {"suffix": "timeseries", "desc": "confounds"},
    }
    used, start = process_time(), perf_counter()
    table = et.stage(et.scan(folder), **roles).collect()
    staged = perf_counter()
    volume = et.volume("bold", mask=f"{folder}/{GROUP}" if masks == "one mask" else "mask")
    table = et.transform(table, clean=volume.denoise("confounds", "36P", high_pass=0.01).zscore())
    with tempfile.TemporaryDirectory() as out:
        said = et.dry_run(table, Path(out) / "out", shard_records=100)
        end, used = perf_counter(), process_time() - used
    tasks = next(line.strip() for line in said.splitlines() if "split over" in line)
    note = (
        f"scan and stage {staged - start:.1f} s, plan and dry run {end - staged:.1f} s, "
        f"{used:.1f} s of a core; {tasks.split(',')[0]}; {peak_mb():.0f} MB"
    )
    return {"seconds": end - start, "note": note}
