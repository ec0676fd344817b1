"""A small folder of fMRIPrep outputs: simulated, but in every file as fMRIPrep writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from entense.demo.anatomy import make_anatomy, make_intensity, make_mask
from entense.demo.confounds import make_confounds
from entense.demo.simulate import Subject, make_loadings, make_motion, simulate_bold
from entense.progress import progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from entense.demo.anatomy import Anatomy

TR = 2.0
SPACE = "space-MNI152NLin2009cAsym_res-2"
DESCRIPTION = {
    "Name": "Simulated resting state, as fMRIPrep writes it",
    "BIDSVersion": "1.9.0",
    "DatasetType": "derivative",
    "GeneratedBy": [{"Name": "fMRIPrep", "Version": "24.1.1", "Description": "simulated"}],
    "License": "CC0",
}
LEVELS = {
    "age": {"Description": "age at the first session", "Units": "years"},
    "sex": {"Levels": {"F": "female", "M": "male"}},
    "handedness": {"Levels": {"L": "left", "R": "right"}},
    "site": {"Description": "where it was scanned; runs at site B are shorter"},
}


def make_dataset(
    root: str | Path,
    *,
    subjects: int = 6,
    sessions: int = 2,
    runs: int = 2,
    frames: int = 120,
    shape: tuple[int, int, int] = (24, 28, 24),
    seed: int = 0,
) -> Path:
    """Write a small dataset like fMRIPrep's, with an atlas on its grid.

    The images hold a brain: tissues, networks shared by parcels, motion that the confounds
    table knows of, drift and noise. The last third of the subjects come from a second site,
    whose runs are a tenth shorter. Equal arguments write equal bytes.

    Parameters
    ----------
    root
        Folder to write to; made where it is not there.
    subjects, sessions, runs
        How many: sessions of each subject, runs of each session.
    frames
        Length of a run at the first site, at 2 s a frame.
    shape
        Voxels along x, y and z.
    seed
        Of everything that is random.

    Returns
    -------
    The folder. Beside the subjects it holds ``participants.tsv`` (age, sex, handedness, site)
    and ``atlas.nii.gz`` with its names in ``atlas.tsv``.

    Examples
    --------
    >>> import tempfile
    >>> folder = make_dataset(tempfile.mkdtemp(), subjects=1, sessions=1, runs=1, frames=40)
    >>> sorted(path.name for path in folder.iterdir())[:3]
    ['atlas.nii.gz', 'atlas.tsv', 'dataset_description.json']
    """
    root = Path(root)
    head = make_anatomy(shape)
    people = _people(subjects, np.random.default_rng([seed, 0]))
    _write_top(root, head, people)
    names = [
        (sub, ses, run)
        for sub in range(1, subjects + 1)
        for ses in range(1, sessions + 1)
        for run in range(1, runs + 1)
    ]
    for sub, ses, run in progress(names, what="simulating", unit="runs", total=len(names)):
        person = people.row(sub - 1, named=True)
        length = frames if person["site"] == "A" else frames * 9 // 10
        subject = _subject(head, person["age"], np.random.default_rng([seed, 1, sub]))
        if (ses, run) == (1, 1):
            _write_anat(root, head, subject, sub)
        # the matrices are small: more threads would only wait for each other
        with threadpool_limits(1):
            _write_run(root, head, subject, (sub, ses, run), frames=length, seed=seed)
    return root


def _people(count: int, rng: np.random.Generator) -> pl.DataFrame:
    ids = range(1, count + 1)
    return pl.DataFrame(
        {
            "participant_id": [f"sub-{i:02d}" for i in ids],
            "age": rng.integers(18, 75, count),
            "sex": ["FM"[i % 2] for i in ids],
            "handedness": [None if i == 3 else "RRRL"[i % 4] for i in ids],
            "site": ["A" if 3 * i <= 2 * count or count == 1 else "B" for i in ids],
        }
    )


def _subject(head: Anatomy, age: float, rng: np.random.Generator) -> Subject:
    return Subject(make_intensity(head, rng), make_loadings(head, age=age, rng=rng))


def _write_top(root: Path, head: Anatomy, people: pl.DataFrame) -> None:
    _write_json(root / "dataset_description.json", DESCRIPTION)
    _write_json(root / "participants.json", LEVELS)
    _write_tsv(root / "participants.tsv", people)
    _write_image(root / "atlas.nii.gz", head.parcels, head.affine)
    columns = {"index": range(1, head.count + 1), "name": head.names(), "network": head.networks()}
    _write_tsv(root / "atlas.tsv", pl.DataFrame(columns))


def _write_anat(root: Path, head: Anatomy, subject: Subject, sub: int) -> None:
    stem = root / f"sub-{sub:02d}" / "anat" / f"sub-{sub:02d}_{SPACE}_desc-"
    _write_image(Path(f"{stem}preproc_T1w.nii.gz"), subject.intensity, head.affine)
    _write_json(Path(f"{stem}preproc_T1w.json"), {"SkullStripped": False})
    _write_image(Path(f"{stem}brain_mask.nii.gz"), head.radius <= 1, head.affine)
    _write_json(Path(f"{stem}brain_mask.json"), {"Type": "Brain"})


def _write_run(
    root: Path,
    head: Anatomy,
    subject: Subject,
    name: tuple[int, int, int],
    *,
    frames: int,
    seed: int,
) -> None:
    sub, ses, run = name
    rng = np.random.default_rng([seed, 2, *name])
    entities = f"sub-{sub:02d}_ses-{ses}_task-rest_run-{run}"
    stem = root / f"sub-{sub:02d}" / f"ses-{ses}" / "func" / entities
    motion, brain = make_motion(frames, rng), make_mask(head, rng)
    bold = simulate_bold(head, subject, motion, tr=TR, rng=rng)
    masks = {"brain": brain, "csf": head.ventricles, "white_matter": head.deep_white}
    table, metadata = make_confounds(bold, motion, masks, tr=TR)
    source = {"Sources": [f"bids:raw:{stem.relative_to(root).parent.as_posix()}/{entities}_bold"]}
    scan: dict[str, object] = {
        "RepetitionTime": TR,
        "SkullStripped": False,
        "SliceTimingCorrected": True,
        "StartTime": TR / 2,
        "TaskName": "rest",
    }
    _write_image(Path(f"{stem}_{SPACE}_desc-preproc_bold.nii.gz"), bold, head.affine)
    _write_json(Path(f"{stem}_{SPACE}_desc-preproc_bold.json"), scan | source)
    _write_image(Path(f"{stem}_{SPACE}_desc-brain_mask.nii.gz"), brain, head.affine)
    _write_json(Path(f"{stem}_{SPACE}_desc-brain_mask.json"), {"Type": "Brain", **source})
    _write_tsv(Path(f"{stem}_desc-confounds_timeseries.tsv"), table)
    _write_json(Path(f"{stem}_desc-confounds_timeseries.json"), metadata)


def _write_image(path: Path, data: NDArray[np.generic], affine: NDArray[np.float64]) -> None:
    """Write floats as scaled int16, labels as they are; equal arrays give equal bytes."""
    import nibabel as nib

    stored = np.uint8 if data.dtype == np.bool_ else np.int16
    image = nib.Nifti1Image(data.astype(np.uint8) if stored is np.uint8 else data, affine)
    image.set_data_dtype(stored)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((*image.header.get_zooms()[:3], TR)[: data.ndim])
    image.set_sform(affine, code="mni")
    image.set_qform(affine, code="mni")
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


def _write_tsv(path: Path, table: pl.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write_csv(path, separator="\t", null_value="n/a")


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
