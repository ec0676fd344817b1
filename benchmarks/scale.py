"""How cost grows with the number of files and of records, before any voxel."""

import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from benchmarks.fresh import Row, measure
from benchmarks.index import MNI, RUN

SPACE = "MNI152NLin2009cAsym"
ROLES = {
    "bold": {"suffix": "bold", "desc": "preproc", "space": SPACE},
    "mask": {"suffix": "mask", "desc": "brain", "space": SPACE},
    "confounds": {"suffix": "timeseries", "desc": "confounds"},
}
NAMES = (
    *(f"{MNI}_desc-preproc_bold.nii.gz", f"{MNI}_desc-brain_mask.nii.gz"),
    "desc-confounds_timeseries.tsv",
)
# a subject of one run, in two spaces and on two surfaces: 40 files
SUBJECT = [f"func/{{sub}}_task-rest_{name}" for name in RUN]
SUBJECT += [f"anat/{{sub}}_{name}" for name in ("desc-preproc_T1w.nii.gz", "dseg.nii.gz")]
SUBJECT += [
    f"anat/{{sub}}_hemi-{hemi}_{surface}.surf.gii"
    for hemi in "LR"
    for surface in ("inflated", "midthickness", "pial", "white")
]
FILES = 100  # distinct images that are surveyed in turn: more than any cache keeps


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Measure each step at several sizes; linear growth is one figure in every row."""
    found, peak = measure("scale:chain")
    chained = Row("scale", "20 chained methods resolved", found["seconds"], "chain", peak)
    sizes = (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000)
    return [chained] + [
        Row("scale", f"{what}, {size:,} {of}", found["seconds"], f"1,000 {of}", peak, "")
        for what, of, most in STEPS
        for size in sizes
        if size <= most
        for found, peak in [measure(f"scale:{what}", size)]
    ]


STEPS = (
    ("inventory", "files", 1_000_000),
    ("tables", "records", 100_000),
    ("survey", "records", 10_000),
)


def inventory(files: int) -> dict:
    """Go from a list of paths to a staged table."""
    import entense as et

    subjects = [f"sub-{i:06d}" for i in range(files // len(SUBJECT))]
    paths = [f"{sub}/{name.format(sub=sub)}" for sub in subjects for name in SUBJECT]
    start = perf_counter()
    table = et.scan("/data/ds", files=paths).entense.stage(**ROLES).collect()
    assert table.height == len(subjects)
    assert not sum(table.null_count().select(*ROLES).row(0))
    return {"seconds": (perf_counter() - start) / files * 1_000}


def tables(records: int) -> dict:
    """Go from paths to a staged table with splits and lazy tensors; no file is there."""
    import entense as et

    stems = [
        f"sub-{i // 2:06d}/ses-{i % 2}/func/sub-{i // 2:06d}_ses-{i % 2}_task-rest"
        for i in range(records)
    ]
    paths = [f"{stem}_{name}" for stem in stems for name in NAMES]
    start = perf_counter()
    table = (
        et.scan("/data/ds", "fmriprep", files=paths)
        .entense.stage(**ROLES)
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
