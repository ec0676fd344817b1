"""Runs as fMRIPrep writes them: an image, its mask and sidecar, and a table of confounds."""

import gzip
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.anatomy import FULL, TINY, Grid, Head, make_head
from benchmarks.bold import Frame, make_frames, write_bold
from benchmarks.fresh import measure
from entense.demo.confounds import MOTION, expand

TR = 2.0
SPACE = "space-MNI152NLin2009cAsym_res-2"
CONFOUNDS = "desc-confounds_timeseries.tsv"
VERSION = 2


@dataclass(frozen=True)
class Runs:
    """Where generated runs are."""

    folder: Path

    @property
    def bolds(self) -> list[Path]:
        return sorted(self.folder.glob("sub-*/func/*_bold.nii.gz"))

    @property
    def mask(self) -> Path:
        return next(self.folder.glob("sub-001/func/*_mask.nii.gz"))

    @property
    def atlas(self) -> Path:
        return self.folder / "atlas.nii.gz"

    def confounds(self, bold: Path) -> Path:
        return Path(str(bold).replace(f"{SPACE}_desc-preproc_bold.nii.gz", CONFOUNDS))


def full_runs(cache: Path, *, quick: bool) -> Runs:
    """Generate the runs that most benchmarks share: full-size ones, or two tiny ones."""
    return make_runs(cache, [120] * 2, TINY) if quick else make_runs(cache, [200] * 8)


def make_runs(cache: Path, lengths: Sequence[int], grid: Grid = FULL) -> Runs:
    """Generate runs of so many frames under `cache`, once: a second call finds them."""
    what = f"{grid.name}-{len(lengths)}x{min(lengths)}-{max(lengths)}-v{VERSION}"
    folder = cache / what / "fmriprep"
    if not (folder / "dataset_description.json").exists():
        print(f"generating {len(lengths)} runs in {folder} (once)", file=sys.stderr)
        measure("data:generate", str(folder), list(lengths), asdict(grid))
    return Runs(folder)


def generate(folder: str, lengths: list[int], grid: dict) -> None:
    """Write everything; the description comes last and says that all is there."""
    root = Path(folder)
    head = make_head(Grid(**grid))
    root.mkdir(parents=True, exist_ok=True)
    save(root / "atlas.nii.gz", head.atlas)
    frames = make_frames(head, max(lengths), TR)
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(write_run, root, i, count, head, frames)
            for i, count in enumerate(lengths, start=1)
        ]
        for job in jobs:
            job.result()
    about = {"Name": "benchmark", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    (root / "dataset_description.json").write_text(json.dumps(about))


def write_run(root: Path, number: int, count: int, head: Head, frames: list[Frame]) -> None:
    stem = root / f"sub-{number:03d}" / "func" / f"sub-{number:03d}_task-rest"
    stem.parent.mkdir(parents=True, exist_ok=True)
    save(Path(f"{stem}_{SPACE}_desc-brain_mask.nii.gz"), head.brain.astype(np.uint8))
    Path(f"{stem}_{SPACE}_desc-preproc_bold.json").write_text(json.dumps({"RepetitionTime": TR}))
    table = confounds(count, np.random.default_rng(number))
    table.write_csv(f"{stem}_{CONFOUNDS}", separator="\t", null_value="n/a")
    bold = Path(f"{stem}_{SPACE}_desc-preproc_bold.nii.gz")
    write_bold(bold, number, header((*head.brain.shape, count), np.int16), frames, count)


def confounds(frames: int, rng: np.random.Generator) -> pl.DataFrame:
    """Make the 36 columns of 36P, and how much moved: a tenth of the frames is to be censored."""
    columns: dict[str, np.ndarray] = {}
    for name in ("global_signal", "csf", "white_matter"):
        columns |= expand(name, 10_000 + 50 * rng.standard_normal(frames))
    for name in MOTION:
        size = 0.02 if name.startswith("trans") else 0.0004
        columns |= expand(name, size * rng.standard_normal(frames).cumsum())
    moved = rng.standard_exponential((2, frames))
    moved[:, 0] = np.nan
    columns["framewise_displacement"], columns["std_dvars"] = [[0.1], [0.9]] + [
        [0.13],
        [0.2],
    ] * moved
    return pl.DataFrame(columns).with_columns(pl.all().fill_nan(None))


def header(shape: tuple[int, ...], dtype: type) -> bytes:
    """Return a NIfTI-1 header of 352 bytes."""
    import nibabel as nib

    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -96, -132, -78
    head = nib.Nifti1Header()
    head.set_data_dtype(dtype)
    head.set_data_shape(shape)
    head.set_zooms((2.0, 2.0, 2.0, TR)[: len(shape)])
    head.set_sform(affine, code="mni")
    head.set_qform(affine, code="mni")
    head.set_xyzt_units("mm", "sec")
    head["magic"], head["vox_offset"] = b"n+1", 352
    return head.binaryblock + bytes(4)


def save(path: Path, data: np.ndarray) -> None:
    content = header(data.shape, data.dtype.type) + data.tobytes(order="F")
    path.write_bytes(gzip.compress(content, 1, mtime=0))
