"""The memory of a process that takes windows, after a thousand and after a hundred thousand."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.fresh import Aim, Row, measure

RECORDS, FRAMES, GRID = 100, 400, (20, 10, 10)
WINDOW = 32  # frames: 128 kB of float16
EARLY = 1_000  # windows
LIMIT = 1.05  # times the memory that was taken then


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Read windows of one archive in one process, and look at it twice."""
    count = 5_000 if quick else 100_000
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        measure("flat:make", folder)
        found, peak = measure("flat:ours", folder, count)
    row = Row("flat", f"entense, {count:,} windows", found["seconds"], "window", peak)
    early, late = found["resident"]
    aim = Aim(f"memory after {count:,} windows over {EARLY:,}", late / early, LIMIT)
    return [replace(row, note=f"{early:.0f} MB, then {late:.0f} MB", aims=(aim,))]


def make(folder: str) -> None:
    """Write an archive of small records, from as many small images."""
    import nibabel as nib
    import polars as pl

    import entense as et

    rng, mask = np.random.default_rng(0), f"{folder}/mask.nii"
    nib.save(nib.Nifti1Image(np.ones(GRID, np.uint8), np.eye(4)), mask)
    paths = [f"{folder}/{number:03}.nii" for number in range(RECORDS)]
    for path in paths:
        values = rng.integers(-99, 99, (*GRID, FRAMES), np.int16)
        nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    table = pl.DataFrame({"record": [Path(path).stem for path in paths], "bold": paths})
    table = et.transform(table, clean=et.volume("bold", mask=mask))
    et.write(table, f"{folder}/out", dtype={"clean": "float16"}, shard_size="32MB")


def ours(folder: str, count: int) -> dict:
    """Take the windows of one epoch; resident memory in MB, early and at the end."""
    import entense as et

    loader = et.open(f"{folder}/out").loader(
        batch_size=1, window=WINDOW, windows_per_record=count // RECORDS, seed=0
    )
    start, resident = perf_counter(), []
    for number, batch in enumerate(loader, start=1):
        assert batch["clean"].shape == (1, WINDOW, np.prod(GRID))
        if number in (EARLY, count):
            resident.append(resident_mb())
    return {"seconds": (perf_counter() - start) / count, "resident": resident}


def resident_mb() -> float:
    """Return this process's resident memory, as Linux has it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
