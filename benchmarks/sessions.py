"""A study of many sessions, whose files are links to a few small ones."""

import json
import os
import sys
from pathlib import Path

import numpy as np

from benchmarks.data import CONFOUNDS, SPACE, TR, confounds, save

SHAPE, FRAMES = (4, 4, 4), 60
GROUP = "group_mask.nii.gz"
LINKS = 10_000  # to one file; file systems have a most
VERSION = 1


def make_sessions(cache: Path, sessions: int) -> Path:
    """Generate a derivative of so many sessions under `cache`, once; return its folder."""
    folder = cache / f"sessions-{sessions}-v{VERSION}" / "fmriprep"
    if not (folder / "dataset_description.json").exists():
        print(f"generating {sessions:,} sessions in {folder} (once)", file=sys.stderr)
        for number in range(sessions):
            _link(folder, number)
        save(folder / GROUP, np.ones(SHAPE, np.uint8))
        about = {"Name": "sessions", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
        (folder / "dataset_description.json").write_text(json.dumps(about))
    return folder


def _link(folder: Path, number: int) -> None:
    model = folder.parent / "models" / f"{number // LINKS}"
    if number % LINKS == 0:
        _write(model, np.random.default_rng(number))
    subject, session = f"sub-{number // 2:06}", f"ses-{number % 2}"
    place = folder / subject / session / "func"
    place.mkdir(parents=True, exist_ok=True)
    for file in model.iterdir():
        os.link(file, place / f"{subject}_{session}_task-rest_{file.name}")


def _write(model: Path, rng: np.random.Generator) -> None:
    model.mkdir(parents=True)
    bold = model / f"{SPACE}_desc-preproc_bold.nii.gz"
    save(bold, rng.integers(900, 1100, (*SHAPE, FRAMES)).astype(np.int16))
    bold.with_name(f"{SPACE}_desc-preproc_bold.json").write_text(json.dumps({"RepetitionTime": TR}))
    save(model / f"{SPACE}_desc-brain_mask.nii.gz", np.ones(SHAPE, np.uint8))
    table = confounds(FRAMES, rng)
    table.write_csv(model / CONFOUNDS, separator="\t", null_value="n/a")
