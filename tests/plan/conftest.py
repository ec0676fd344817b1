import numpy as np
import pytest

FRAMES = 60


@pytest.fixture(scope="module")
def hard(tmp_path_factory, new_study):
    """A run with constant, NaN and infinite voxels, and an atlas (path) with an absent parcel."""
    study = new_study(tmp_path_factory.mktemp("plan"))
    noise = np.random.default_rng(3).normal(size=(*study.shape, FRAMES)).cumsum(axis=3)
    data = (10_000 + 50 * noise).astype("f4")
    where = [tuple(place) for place in np.argwhere(study.inside)[[30, 60, 90]]]
    data[where[0]] = 777.7
    data[(*where[1], 5)] = np.nan
    data[(*where[2], 0)] = np.inf
    study.run("01", data=data)
    return study, str(study.atlas())
