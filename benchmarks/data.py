"""Full-size runs, as fMRIPrep writes them on its 2 mm MNI grid: noisy, gzipped, int16."""

import gzip
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.fresh import measure
from entense.demo.confounds import MOTION, expand

SHAPE = (97, 115, 97)
VOXELS = 290_176  # in the brain
PARCELS = 400
TR = 2.0
SPACE = "space-MNI152NLin2009cAsym_res-2"
CONFOUNDS = "desc-confounds_timeseries.tsv"
VERSION = 1


@dataclass(frozen=True)
class Runs:
    """Where the generated runs are."""

    folder: Path

    @property
    def bolds(self) -> list[Path]:
        return sorted(self.folder.glob("sub-*/func/*_bold.nii.gz"))

    @property
    def mask(self) -> Path:
        return next(self.folder.glob("sub-01/func/*_mask.nii.gz"))

    @property
    def atlas(self) -> Path:
        return self.folder / "atlas.nii.gz"

    def confounds(self, bold: Path) -> Path:
        return Path(str(bold).replace(f"{SPACE}_desc-preproc_bold.nii.gz", CONFOUNDS))


def make_runs(cache: Path, *, files: int = 4, frames: int = 200) -> Runs:
    """Generate runs under `cache`, once: a second call finds them."""
    folder = cache / f"runs-{files}x{frames}-v{VERSION}" / "fmriprep"
    if not (folder / "dataset_description.json").exists():
        print(f"generating {files} runs of {frames} frames in {folder} (once)", file=sys.stderr)
        measure("data:generate", str(folder), files, frames)
    return Runs(folder)


def generate(folder: str, files: int, frames: int) -> None:
    """Write everything; the description comes last and says that all is there."""
    root = Path(folder)
    head = anatomy()
    root.mkdir(parents=True, exist_ok=True)
    save(root / "atlas.nii.gz", head.atlas)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(write_run, root, i + 1, frames, head) for i in range(files)]
        for job in jobs:
            job.result()
    about = {"Name": "benchmark", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    (root / "dataset_description.json").write_text(json.dumps(about))


@dataclass(frozen=True)
class Head:
    """Distance from the middle, the brain, and its parcels: each of `SHAPE`."""

    radius: np.ndarray
    brain: np.ndarray
    atlas: np.ndarray


def anatomy() -> Head:
    """Make an ellipsoid of exactly `VOXELS` voxels, and parcels of its outer part."""
    from scipy.spatial import cKDTree

    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"), -1)
    radius = np.linalg.norm(places, axis=-1)
    edge = np.partition(radius.ravel(), VOXELS)[VOXELS]
    inside = np.zeros(radius.size, bool)
    inside[np.argsort(radius, axis=None, kind="stable")[:VOXELS]] = True
    brain = inside.reshape(SHAPE)
    cortex = places[brain & (radius > 0.7 * edge)]
    seeds = cortex[np.random.default_rng(0).choice(len(cortex), PARCELS, replace=False)]
    atlas = np.zeros(SHAPE, np.int16)
    atlas[brain & (radius > 0.7 * edge)] = 1 + cKDTree(seeds).query(cortex)[1]
    return Head(radius, brain, atlas)


def write_run(root: Path, number: int, frames: int, head: Head) -> None:
    rng = np.random.default_rng(number)
    stem = root / f"sub-{number:02d}" / "func" / f"sub-{number:02d}_task-rest"
    stem.parent.mkdir(parents=True, exist_ok=True)
    save(Path(f"{stem}_{SPACE}_desc-brain_mask.nii.gz"), head.brain.astype(np.uint8))
    Path(f"{stem}_{SPACE}_desc-preproc_bold.json").write_text(json.dumps({"RepetitionTime": TR}))
    confounds(frames, rng).write_csv(f"{stem}_{CONFOUNDS}", separator="\t", null_value="n/a")
    # gzip level 1, as nibabel writes images
    bold = Path(f"{stem}_{SPACE}_desc-preproc_bold.nii.gz")
    with gzip.GzipFile("", "wb", 1, bold.open("wb"), mtime=0) as file:
        file.write(header((*SHAPE, frames), np.int16))
        for frame in bold_frames(frames, head, rng):
            file.write(frame.tobytes(order="F"))


def bold_frames(frames: int, head: Head, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield int16 frames: anatomy, slow courses of the parcels, a drift, and noise all over."""
    slow = np.fft.irfft(
        np.fft.rfft(rng.standard_normal((PARCELS + 1, frames)))
        * (np.fft.rfftfreq(frames, TR) < 0.1),
        frames,
    ).astype(np.float32)
    base = np.where(head.brain, 10_000 - 2_000 * head.radius, 300).astype(np.float32)
    for t in range(frames):
        course = 100 * slow[:, t]
        course[0] = 20 * t / frames
        noise = 120 * rng.standard_normal(SHAPE, np.float32)
        yield np.abs(base + course[head.atlas] * head.brain + noise).astype(np.int16)


def confounds(frames: int, rng: np.random.Generator) -> pl.DataFrame:
    """Make the 36 columns of 36P under fMRIPrep's names."""
    columns: dict[str, np.ndarray] = {}
    for name in ("global_signal", "csf", "white_matter"):
        columns |= expand(name, 10_000 + 50 * rng.standard_normal(frames))
    for name in MOTION:
        size = 0.02 if name.startswith("trans") else 0.0004
        columns |= expand(name, size * rng.standard_normal(frames).cumsum())
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
