"""One full-size run from the disk to cleaned voxels, or to parcels and their correlations."""

import gzip
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from benchmarks.data import SPACE, TR, Runs, make_runs
from benchmarks.fresh import Row, measure, warm

HIGH_PASS, LOW_PASS = 0.01, 0.1
CHUNK = 2**22


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Measure ours, nilearn's maskers, and inflating the file without doing anything with it."""
    runs = make_runs(cache, files=2, frames=60) if quick else make_runs(cache)
    warm(*runs.bolds)
    rows = [
        _row("inflate", f"inflate only: {library}", "inflate", runs, library)
        for library in ("isal", "zlib-ng", "libdeflate", "gzip")
    ]
    fastest = min(rows, key=lambda row: row.seconds)
    for what, masker in (("voxels", "NiftiMasker"), ("parcels", "NiftiLabelsMasker")):
        rows.append(_row(what, "entense", "ours", runs, what))
        if not (quick and what == "voxels"):  # minutes, however short the run
            rows.append(_row(what, f"nilearn {masker}", "nilearn", runs, what))
        rows.append(replace(fastest, bench=what))
    return rows


def _row(group: str, name: str, function: str, runs: Runs, what: str) -> Row:
    found, peak = measure(f"convert:{function}", str(runs.folder), what)
    return Row(group, name, found["seconds"], "file", peak, found["note"])


def ours(folder: str, what: str) -> dict:
    """Write all runs in one go, in a process that has compiled its programs."""
    import entense as et

    runs = Runs(Path(folder))
    query = {"space": SPACE.split("_")[0].removeprefix("space-")}
    records = et.stage(
        et.scan(runs.folder),
        bold={"suffix": "bold", "desc": "preproc", **query},
        confounds={"suffix": "timeseries", "desc": "confounds"},
    ).collect()
    volume = et.volume("bold", mask=str(runs.mask))
    filters = {"high_pass": HIGH_PASS, "low_pass": LOW_PASS}
    if what == "voxels":
        records = et.transform(
            records, clean=volume.denoise("confounds", "36P", **filters).zscore()
        )
    else:
        means = volume.parcellate(str(runs.atlas))
        series = means.denoise("confounds", "36P", **filters).zscore()
        records = et.transform(records, series=series)
        records = et.transform(records, fc=et.col("series").correlation())
    with tempfile.TemporaryDirectory(dir=runs.folder.parent) as out:
        et.write(records.head(1), Path(out) / "warm")
        start = perf_counter()
        et.write(records, Path(out) / "all")
        seconds = (perf_counter() - start) / records.height
    return {"seconds": seconds, "note": f"{records.height} files in one write"}


def nilearn(folder: str, what: str) -> dict:
    """Clean one run as nilearn's documentation says; its first call has nothing to compile."""
    import numpy as np
    import polars as pl
    from nilearn.maskers import NiftiLabelsMasker, NiftiMasker

    runs = Runs(Path(folder))
    bold = runs.bolds[0]
    table = pl.read_csv(runs.confounds(bold), separator="\t", null_values="n/a")
    confounds = table.cast(pl.Float64).fill_null(strategy="backward").to_numpy()
    options = {
        "detrend": True,
        "standardize": "zscore_sample",
        "high_pass": HIGH_PASS,
        "low_pass": LOW_PASS,
        "t_r": TR,
    }
    start = perf_counter()
    if what == "voxels":
        masker = NiftiMasker(str(runs.mask), **options)
    else:
        masker = NiftiLabelsMasker(str(runs.atlas), **options)
    found = masker.fit_transform(str(bold), confounds=confounds)
    if what == "parcels":
        np.corrcoef(found.T)
    return {"seconds": perf_counter() - start, "note": "1 file, kept in memory"}


def inflate(folder: str, library: str) -> dict:
    """Inflate every run in one thread and drop it."""
    paths = Runs(Path(folder)).bolds
    run = _libdeflate if library == "libdeflate" else _stream(library)
    run(paths[0])
    start = perf_counter()
    for path in paths:
        run(path)
    return {"seconds": (perf_counter() - start) / len(paths), "note": "1 thread"}


def _stream(library: str):
    def run(path: Path) -> None:
        buffer = bytearray(CHUNK)
        with opening(path) as file:
            while file.readinto(buffer):
                pass

    if library == "isal":
        from isal.igzip import open as opening
    elif library == "zlib-ng":
        from zlib_ng.gzip_ng import open as opening
    else:
        opening = gzip.open
    return run


def _libdeflate(path: Path) -> None:
    import deflate

    deflate.gzip_decompress(path.read_bytes())
