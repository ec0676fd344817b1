"""Indexing a tree of fMRIPrep outputs."""

import os
import sys
from pathlib import Path
from time import perf_counter

from benchmarks.fresh import Row, measure

MNI = "space-MNI152NLin2009cAsym_res-2"
RUN = [
    "boldref.nii.gz",
    "desc-confounds_timeseries.tsv",
    "desc-confounds_timeseries.json",
    "desc-brain_mask.nii.gz",
    "desc-brain_mask.json",
    "desc-preproc_bold.nii.gz",
    "desc-preproc_bold.json",
    "from-T1w_to-scanner_mode-image_xfm.txt",
    "from-scanner_to-T1w_mode-image_xfm.txt",
    "hemi-L_space-fsaverage5_bold.func.gii",
    "hemi-L_space-fsaverage5_bold.json",
    "hemi-R_space-fsaverage5_bold.func.gii",
    "hemi-R_space-fsaverage5_bold.json",
    "space-fsLR_den-91k_bold.dtseries.nii",
    "space-fsLR_den-91k_bold.json",
    *(
        f"{space}_{name}"
        for space in (MNI, "space-T1w")
        for name in (
            "boldref.nii.gz",
            "desc-aseg_dseg.nii.gz",
            "desc-brain_mask.nii.gz",
            "desc-brain_mask.json",
            "desc-preproc_bold.nii.gz",
            "desc-preproc_bold.json",
        )
    ),
    "space-MNI152NLin6Asym_desc-smoothAROMAnonaggr_bold.nii.gz",
    "space-MNI152NLin6Asym_desc-smoothAROMAnonaggr_bold.json",
    "desc-MELODIC_mixing.tsv",
]
PER_SUBJECT = 4 * len(RUN)


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Measure each contender in three fresh processes that have indexed one subject; the best."""
    tree = make_tree(cache, 6_000 if quick else 60_000)
    rows = []
    for name in ("entense", "bids2table", "os.scandir walk only"):
        found = [measure("index:index", str(tree), name) for _ in range(3)]
        best, peak = min(found, key=lambda pair: pair[0]["seconds"])
        rows.append(Row("index", name, best["seconds"], "tree", peak, best["note"]))
    return rows


def make_tree(cache: Path, files: int) -> Path:
    """Make a tree of empty files, and beside it one of a single subject; once."""
    tree = cache / f"tree-{files}" / "fmriprep"
    if not (tree / "dataset_description.json").exists():
        print(f"making a tree of {files} files in {tree} (once)", file=sys.stderr)
        _touch(tree, -(-files // PER_SUBJECT))
        _touch(tree.parent / "warm" / "fmriprep", 1)
    return tree


def _touch(tree: Path, subjects: int) -> None:
    for sub in range(1, subjects + 1):
        for ses in ("test", "retest"):
            folder = tree / f"sub-{sub:04d}" / f"ses-{ses}" / "func"
            folder.mkdir(parents=True, exist_ok=True)
            for task in ("rest", "motor"):
                for name in RUN:
                    path = folder / f"sub-{sub:04d}_ses-{ses}_task-{task}_{name}"
                    path.touch()
    (tree / "dataset_description.json").write_text('{"DatasetType": "derivative"}')


def index(tree: str, name: str) -> dict:
    run = CONTENDERS[name]
    run(Path(tree).parent / "warm" / "fmriprep")
    start = perf_counter()
    count = run(Path(tree))
    return {"seconds": perf_counter() - start, "note": f"{count} rows"}


def _ours(tree: Path) -> int:
    import entense as et

    return et.scan(tree, layout="fmriprep").collect().height


def _bids2table(tree: Path) -> int:
    import bids2table

    return bids2table.index_dataset(tree).num_rows


def _walk(tree: Path) -> int:
    count, folders = 0, [str(tree)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    count += 1
    return count


CONTENDERS = {"entense": _ours, "bids2table": _bids2table, "os.scandir walk only": _walk}
