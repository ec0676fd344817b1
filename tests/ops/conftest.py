import pytest

import entense as et

FRAMES = {("01", "1"): 40, ("01", "2"): 33, ("02", "1"): 40, ("02", "2"): 47, ("02", "3"): 36}


@pytest.fixture
def runs(study):
    """Two subjects of two and three runs of different length; `brain` is one mask for all."""
    for (subject, run), frames in FRAMES.items():
        study.run(subject, run=run, frames=frames)
    study.brain = str(study.image("brain.nii.gz", study.inside.astype("u1")))
    return study


@pytest.fixture
def bold(runs):
    return et.volume("bold", mask=runs.brain)
