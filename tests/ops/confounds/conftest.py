"""Real tables of confounds, and legacy ones made after real ones."""

import json
from pathlib import Path

import nilearn
import numpy as np
import polars as pl
import pytest

from entense.ops.confounds import Regressors, design, formula_of

REAL = Path(nilearn.__file__).parent / "interfaces" / "fmriprep" / "data"
NAMES = {
    "v20": "test_desc-confounds_regressors",
    "v21": "test-v21_desc-confounds_timeseries",
    "no dummies": "no_nonsteady_desc-confounds_regressors",
}
# the columns of ds001734's tables, of fMRIPrep 1.1, in their order
LEGACY = [
    *("CSF", "WhiteMatter", "GlobalSignal"),
    *("stdDVARS", "non-stdDVARS", "vx-wisestdDVARS", "FramewiseDisplacement"),
    *(f"tCompCor{i:02}" for i in range(6)),
    *(f"aCompCor{i:02}" for i in range(6)),
    *(f"Cosine{i:02}" for i in range(6)),
    *("NonSteadyStateOutlier00", "NonSteadyStateOutlier01"),
    *("X", "Y", "Z", "RotX", "RotY", "RotZ"),
]
FRAMES = 60


def legacy(frames=FRAMES, seed=3):
    """Make a table as fMRIPrep 1.1 wrote it: two dummies, no derivatives, no sidecar."""
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(size=frames) for name in LEGACY}
    for name in ("CSF", "WhiteMatter", "GlobalSignal"):
        values[name] = 6000 + 30 * values[name]
    for name in LEGACY:
        if "CompCor" in name or name.startswith("Cosine"):
            values[name][:2] = 0.0
    values["NonSteadyStateOutlier00"] = np.eye(1, frames, 0)[0]
    values["NonSteadyStateOutlier01"] = np.eye(1, frames, 1)[0]
    table = pl.DataFrame(values)
    quality = ["stdDVARS", "non-stdDVARS", "vx-wisestdDVARS", "FramewiseDisplacement"]
    first = pl.int_range(pl.len()) == 0
    return table.with_columns(pl.when(~first).then(pl.col(quality).abs() * 0.2))


@pytest.fixture
def put(tmp_path):
    """Write a table, and what its sidecar says, and give what reads them."""

    def write(table, about=None, name="sub-01_task-rest_desc-confounds_timeseries.tsv"):
        path = tmp_path / name
        table = table if isinstance(table, pl.DataFrame) else pl.DataFrame(table)
        table.write_csv(path, separator="\t", null_value="n/a")
        if about is None:
            return Regressors(str(path))
        text = about if isinstance(about, str) else json.dumps(about)
        path.with_suffix(".json").write_text(text)
        return Regressors(str(path), str(path.with_suffix(".json")))

    return write


@pytest.fixture
def hcp(tmp_path):
    """HCP's twelve columns: motion in mm and degrees, then backward differences."""
    rng = np.random.default_rng(8)
    motion = rng.normal(size=(FRAMES, 6)).cumsum(axis=0)
    steps = np.diff(motion, axis=0, prepend=motion[:1])
    np.savetxt(tmp_path / "Movement_Regressors.txt", np.hstack([motion, steps]), fmt="%12.6f")
    return Regressors(str(tmp_path / "Movement_Regressors.txt"))


@pytest.fixture
def old(put):
    return put(legacy(), name="sub-001_task-MGT_run-01_bold_confounds.tsv")


@pytest.fixture(scope="session")
def reals():
    """nilearn's real tables by the version of fMRIPrep."""
    paths = {version: REAL / f"{name}.tsv" for version, name in NAMES.items()}
    sidecars = {version: path.with_suffix(".json") for version, path in paths.items()}
    return {
        version: Regressors(
            str(path), str(sidecars[version]) if sidecars[version].exists() else None
        )
        for version, path in paths.items()
    }


@pytest.fixture(scope="session")
def columns():
    """The columns of a model, by name."""
    return lambda table, model: design(table, formula_of(model))
