"""How cost grows with the number of records, before any voxel: tables, and headers."""

import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from benchmarks.fresh import Row, measure

MNI = "space-MNI152NLin2009cAsym_res-2"
NAMES = (f"{MNI}_desc-preproc_bold.nii.gz", f"{MNI}_desc-brain_mask.nii.gz")
CONFOUNDS = "desc-confounds_timeseries.tsv"
FILES = 100  # distinct images that are surveyed in turn: more than any cache keeps


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Measure each step at several sizes; linear growth is one figure in every row."""
    found, peak = measure("scale:chain")
    chained = Row("scale", "20 chained methods resolved", found["seconds"], "chain", peak)
    sizes = (1_000, 10_000) if quick else (1_000, 10_000, 100_000)
    return [chained] + [
        Row("scale", f"{what}, {size:,} records", found["seconds"], "1,000 records", peak, "")
        for what, most in (("tables", 100_000), ("survey", 10_000))
        for size in sizes
        if size <= most
        for found, peak in [measure(f"scale:{what}", size)]
    ]


def tables(records: int) -> dict:
    """Go from paths to a staged table with splits and lazy tensors; no file is there."""
    import entense as et
    from entense.index import FILE_SCHEMA
    from entense.index.layouts.fmriprep import FMRIPREP
    from entense.index.parse import parse

    stems = [
        f"/sub-{i // 2:06d}/ses-{i % 2}/func/sub-{i // 2:06d}_ses-{i % 2}_task-rest"
        for i in range(records)
    ]
    paths = pl.Series("path", [f"{stem}_{name}" for stem in stems for name in (*NAMES, CONFOUNDS)])
    start = perf_counter()
    files = parse(paths, FMRIPREP).with_columns(
        root=pl.lit("/data"), path="/data" + paths, dataset=pl.lit("ds")
    )
    table = (
        files.select(*FILE_SCHEMA)
        .entense.stage(
            bold={"suffix": "bold", "desc": "preproc"},
            mask={"suffix": "mask", "desc": "brain"},
            confounds={"suffix": "timeseries", "desc": "confounds"},
        )
        .entense.drop_incomplete()
        .entense.split({"train": 0.8, "test": 0.2})
        .entense.transform(
            clean=et.volume("bold", mask="mask").denoise("confounds", "36P", high_pass=0.01)
        )
        .collect()
    )
    assert table.height == records
    return {"seconds": (perf_counter() - start) / records * 1_000}


def survey(records: int) -> dict:
    """Read the headers and masks of tiny images, over and over."""
    import nibabel as nib

    import entense as et
    from entense.plan.survey import survey as look

    with tempfile.TemporaryDirectory() as folder:
        mask = f"{folder}/mask.nii.gz"
        nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), mask)
        bolds = [f"{folder}/{i}.nii.gz" for i in range(FILES)]
        for bold in bolds:
            nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 10), np.int16), np.eye(4)), bold)
        table = pl.DataFrame({"bold": [bolds[i % FILES] for i in range(records)]})
        table = et.transform(table, x=et.volume("bold", mask=mask).detrend().zscore())
        start = perf_counter()
        found = look(table)
        seconds = (perf_counter() - start) / records * 1_000
    assert not any(found.errors)
    return {"seconds": seconds}


def chain() -> dict:
    """Append a tensor 20 times, each upon the last, to a lazy table, and resolve its schema."""
    import entense as et

    paths = {"bold": ["b"], "mask": ["m"], "confounds": ["c"], "bold_tr": [2.0]}
    first = et.volume("bold", mask="mask").denoise("confounds", "36P", high_pass=0.01)
    start = perf_counter()
    table = pl.LazyFrame(paths).entense.transform(t0=first)
    for i in range(19):
        table = table.entense.transform(**{f"t{i + 1}": et.col(f"t{i}").zscore()})
    assert len(table.collect_schema()) == len(paths) + 20
    return {"seconds": perf_counter() - start}
