"""The heads that generated runs show: an ellipsoid of a brain, and parcels of its outer part."""

from dataclasses import dataclass

import numpy as np

PARCELS = 400


@dataclass(frozen=True)
class Grid:
    """A grid of voxels of which so many are in the brain."""

    name: str
    shape: tuple[int, int, int]
    voxels: int


FULL = Grid("full", (97, 115, 97), 290_176)  # fMRIPrep's 2 mm MNI grid
TINY = Grid("tiny", (20, 24, 20), 3_000)  # enough for the parcels
SMALL = Grid("small", (64, 64, 40), 100_000)  # a raw run's


@dataclass(frozen=True)
class Head:
    """Distance from the middle, the brain, and its parcels: each of a grid's shape."""

    radius: np.ndarray
    brain: np.ndarray
    atlas: np.ndarray


def make_head(grid: Grid) -> Head:
    """Make an ellipsoid of exactly `grid.voxels` voxels."""
    from scipy.spatial import cKDTree

    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in grid.shape), indexing="ij"), -1)
    radius = np.linalg.norm(places, axis=-1)
    edge = np.partition(radius.ravel(), grid.voxels)[grid.voxels]
    inside = np.zeros(radius.size, bool)
    inside[np.argsort(radius, axis=None, kind="stable")[: grid.voxels]] = True
    brain = inside.reshape(grid.shape)
    cortex = places[brain & (radius > 0.7 * edge)]
    seeds = cortex[np.random.default_rng(0).choice(len(cortex), PARCELS, replace=False)]
    atlas = np.zeros(grid.shape, np.int16)
    atlas[brain & (radius > 0.7 * edge)] = 1 + cKDTree(seeds).query(cortex)[1]
    return Head(radius, brain, atlas)
