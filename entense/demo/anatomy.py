"""The simulated head: tissues, parcels and what one subject's brain looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from entense.errors import EntenseError

if TYPE_CHECKING:
    from numpy.typing import NDArray

NETWORKS = ("Vis", "SomMot", "DorsAttn", "SalVentAttn", "Limbic", "Cont", "Default")
ORIGIN = (-96.0, -132.0, -78.0)  # the corner of MNI152NLin2009cAsym, in mm
WIDTH = 192.0  # of the field of view from left to right, in mm
HALF = 14  # parcels of a hemisphere


@dataclass(frozen=True)
class Anatomy:
    """A head on a grid, in RAS order.

    Attributes
    ----------
    affine
        (4, 4) float64, voxel to mm.
    radius
        (X, Y, Z) float64: 0 in the middle of the brain, 1 at its surface.
    grey, white, csf
        (X, Y, Z) bool: the tissues; together they are the brain.
    parcels
        (X, Y, Z) int16: 0 outside the cortex, else 1 to the number of parcels.
    """

    affine: NDArray[np.float64]
    radius: NDArray[np.float64]
    grey: NDArray[np.bool_]
    white: NDArray[np.bool_]
    csf: NDArray[np.bool_]
    parcels: NDArray[np.int16]

    @property
    def count(self) -> int:
        """The number of parcels."""
        return int(self.parcels.max())

    @property
    def deep_white(self) -> NDArray[np.bool_]:
        """White matter away from the cortex, as fMRIPrep erodes it for its confounds."""
        return self.white & (self.radius < 0.56)

    @property
    def ventricles(self) -> NDArray[np.bool_]:
        """The CSF inside the brain."""
        return self.csf & (self.radius < 0.7)

    def networks(self) -> list[str]:
        """Name the network of every parcel; mirrored parcels share theirs."""
        half = self.count // 2
        return [NETWORKS[i % half * len(NETWORKS) // half] for i in range(self.count)]

    def names(self) -> list[str]:
        """Name every parcel, as Schaefer's atlas does: hemisphere, network, number."""
        half = self.count // 2
        return [f"{'LR'[i // half]}H_{net}_{i % half + 1}" for i, net in enumerate(self.networks())]

    def millimetres(self) -> NDArray[np.float64]:
        """Where every voxel lies: (3, X, Y, Z), in mm from the middle of the field of view."""
        size = self.affine[0, 0]
        axes = (size * (np.arange(n) - (n - 1) / 2) for n in self.radius.shape)
        return np.stack(np.meshgrid(*axes, indexing="ij"))


def make_anatomy(shape: tuple[int, int, int]) -> Anatomy:
    """Make the head that every subject shares, without chance.

    Parameters
    ----------
    shape
        Voxels along x, y and z, at least 10 each.

    Examples
    --------
    >>> make_anatomy((24, 28, 24)).count
    28
    """
    if min(shape) < 10:
        raise EntenseError(f"a brain has no room on a grid of {shape}; give each side 10 voxels")
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = np.sqrt((x / 0.84) ** 2 + (y / 0.88) ** 2 + (z / 0.82) ** 2)
    ventricle = ((abs(x) - 0.14) / 0.12) ** 2 + (y / 0.4) ** 2 + ((z - 0.05) / 0.22) ** 2 < 1
    folded = radius + 0.04 * np.sin(11 * x) * np.cos(9 * y) * np.sin(10 * z)
    white = (folded < 0.66) & ~ventricle
    grey = (folded >= 0.66) & (folded < 0.93) & (radius <= 1)
    return Anatomy(
        affine=_affine(shape),
        radius=radius,
        grey=grey,
        white=white,
        csf=(radius <= 1) & ~white & ~grey,
        parcels=_parcellate(grey, np.stack([x, y, z], axis=-1), HALF),
    )


def make_intensity(head: Anatomy, rng: np.random.Generator) -> NDArray[np.float64]:
    """Make one subject's mean image: tissue contrast, coil bias and a texture of their own."""
    from scipy.ndimage import gaussian_filter

    tissue = 10_500.0 * head.grey + 9_200.0 * head.white + 13_500.0 * head.csf
    bias = 1 + np.tensordot([0.0, 5e-4, -4e-4], head.millimetres(), 1)
    texture = 1 + 0.1 * gaussian_filter(rng.standard_normal(head.radius.shape), 1.5)
    return np.asarray(gaussian_filter(tissue, 0.6) * bias * texture, dtype=np.float64)


def make_mask(head: Anatomy, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Make one run's brain mask: every run's edge lies a little elsewhere, as in real data."""
    from scipy.ndimage import gaussian_filter

    edge = gaussian_filter(rng.standard_normal(head.radius.shape), 2.0)
    return np.asarray(head.radius + 0.05 * edge / edge.std() <= 1.0, dtype=np.bool_)


def _affine(shape: tuple[int, int, int]) -> NDArray[np.float64]:
    size = WIDTH / shape[0]
    affine = np.diag([size, size, size, 1.0])
    affine[:3, 3] = ORIGIN
    return affine


def _parcellate(
    grey: NDArray[np.bool_], places: NDArray[np.float64], half: int
) -> NDArray[np.int16]:
    """Give each grey voxel the nearest of seeds spread evenly over the left; mirror the right."""
    folded = places[grey]
    right = folded[:, 0] > 0
    folded[:, 0] = -abs(folded[:, 0])
    seeds = folded[:1]
    distance = np.linalg.norm(folded - seeds, axis=1)
    for _ in range(half - 1):
        seeds = np.concatenate([seeds, folded[[np.argmax(distance)]]])
        distance = np.minimum(distance, np.linalg.norm(folded - seeds[-1], axis=1))
    seeds = seeds[np.argsort(seeds[:, 1], kind="stable")]  # from the back of the head to its front
    nearest = np.linalg.norm(folded[:, None] - seeds, axis=2).argmin(axis=1)
    parcels = np.zeros(grey.shape, np.int16)
    parcels[grey] = 1 + nearest + half * right
    return parcels
