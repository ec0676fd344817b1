import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "archive"))


@pytest.fixture(autouse=True)
def plan(monkeypatch):
    import npy_tables

    npy_tables.install(monkeypatch)


@pytest.fixture
def records(tmp_path):
    """Make a table of 9 records in two splits: a (time, voxel) tensor and a connectome."""
    import npy_tables

    rng = np.random.default_rng(0)
    return npy_tables.table(
        tmp_path / "inputs",
        {
            "clean": [rng.normal(size=(12, 20)).astype("f4") for _ in range(9)],
            "fc": [rng.normal(size=(4, 4)).astype("f4") for _ in range(9)],
        },
        age=[None if i % 3 == 0 else 20.0 + i for i in range(9)],
        visit=[None if i == 2 else i for i in range(9)],
        sex=["f", "m", None] * 3,
        left=[True, False, None] * 3,
        bold=[f"/somewhere/sub-{i}_bold.nii.gz" for i in range(9)],
        split=["train"] * 6 + ["test"] * 3,
    )
