"""What is computed of the generated runs, as a user would write it."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import polars as pl

import entense as et
from benchmarks.data import SPACE, Runs

FILTERS = {"high_pass": 0.01, "low_pass": 0.1}


def stage(runs: Runs) -> pl.DataFrame:
    query = {"space": SPACE.split("_")[0].removeprefix("space-")}
    return et.stage(
        et.scan(runs.folder),
        bold={"suffix": "bold", "desc": "preproc", **query},
        confounds={"suffix": "timeseries", "desc": "confounds"},
    ).collect()


def voxels(runs: Runs, **more: Any) -> pl.DataFrame:
    """Clean every voxel: 36P, band-pass, z-score; `more` goes to denoise."""
    volume = et.volume("bold", mask=str(runs.mask))
    clean = volume.denoise("confounds", "36P", **FILTERS, **more).zscore()
    return et.transform(stage(runs), clean=clean)


def parcels(runs: Runs) -> pl.DataFrame:
    """Average parcels, clean them as voxels are, and correlate them."""
    means = et.volume("bold", mask=str(runs.mask)).parcellate(str(runs.atlas))
    series = means.denoise("confounds", "36P", **FILTERS).zscore()
    table = et.transform(stage(runs), series=series)
    return et.transform(table, fc=et.col("series").correlation())


def three(runs: Runs) -> pl.DataFrame:
    """Keep every voxel twice, cleaned and only detrended, and the parcels of the z-scores."""
    table = et.transform(voxels(runs), line=et.volume("bold", mask=str(runs.mask)).detrend())
    return et.transform(table, series=et.col("clean").parcellate(str(runs.atlas)))


def pooled(runs: Runs) -> pl.DataFrame:
    """Keep the parcels of z-scored voxels alone: much is computed, and little is left."""
    return et.transform(voxels(runs), series=et.col("clean").parcellate(str(runs.atlas))).drop(
        "clean"
    )


CHAINS: dict[str, Callable[[Runs], pl.DataFrame]] = {
    "voxels": voxels,
    "parcels": parcels,
    "three": three,
    "pooled": pooled,
}


@contextmanager
def scratch(runs: Runs) -> Iterator[Path]:
    """Give a folder on the disk that the runs lie on; it starts with nothing left to flush."""
    os.sync()
    with tempfile.TemporaryDirectory(dir=runs.folder.parent) as folder:
        yield Path(folder)


def compute(table: pl.DataFrame) -> float:
    """Compute record after record, and let each go; return the seconds."""
    start = perf_counter()
    for _ in et.collect(table, streaming=True, chunk_size=1):
        pass
    return perf_counter() - start


def write(runs: Runs, table: pl.DataFrame, **options: Any) -> float:
    """Write an archive, which is flushed to the disk; return the seconds."""
    with scratch(runs) as folder:
        start = perf_counter()
        et.write(table, folder / "out", **options)
        return perf_counter() - start
