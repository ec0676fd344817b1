"""Where voxels lie: grids, masks and the anatomical order of a voxel axis.

Everything is seen in the *closest canonical* orientation (RAS), C order, whatever the storage:
the voxel axis of a tensor is ``nibabel.as_closest_canonical(image).get_fdata()[mask]``.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """The lattice of an image in canonical orientation, and how it is stored.

    Parameters
    ----------
    shape
        Voxels along right, anterior and superior.
    affine
        (4, 4) float64, voxel index to millimetres, of the canonical image.
    orientation
        (3, 2) ``nibabel.io_orientation`` of the stored image, as nested tuples.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64] = field(compare=False)
    orientation: tuple[tuple[int, int], ...] = ((0, 1), (1, 1), (2, 1))

    def matches(self, other: Grid) -> bool:
        """Whether voxel i of one is voxel i of the other, to a micrometre."""
        if self.shape != other.shape:
            return False
        same = np.array_equal(self.affine, other.affine)  # as mostly; it takes a tenth of the time
        return same or np.allclose(self.affine, other.affine, atol=1e-3)

    def __str__(self) -> str:
        size = "×".join(map(str, self.shape))
        step = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        origin = ", ".join(f"{x:g}" for x in np.round(self.affine[:3, 3], 3))
        return f"{size} voxels of {'×'.join(f'{x:g}' for x in np.round(step, 3))} mm at ({origin})"


@dataclass(frozen=True)
class Mask:
    """The voxels of a voxel axis; equal masks have equal digests.

    Parameters
    ----------
    grid
        The lattice that the voxels lie on.
    packed
        ``zlib`` of the bits, as `inside` unpacks them: 10 kB for a mask of a million voxels.
    digest
        16 hexadecimal digits of shape, affine and bits.
    voxels
        How many voxels are inside.
    """

    grid: Grid = field(compare=False)
    packed: bytes = field(compare=False, repr=False)
    digest: str
    voxels: int = field(compare=False)

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4) float64, voxel index to millimetres."""
        return self.grid.affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along right, anterior and superior."""
        return self.grid.shape

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(X, Y, Z) bool; the voxel order is its C order."""
        count = int(np.prod(self.shape))
        bits = np.frombuffer(zlib.decompress(self.packed), np.uint8)
        return np.unpackbits(bits, count=count).astype(bool).reshape(self.shape)

    extension: ClassVar[str] = ".nii.gz"
    unit: ClassVar[str] = "voxel"

    def __str__(self) -> str:
        return str(self.grid)

    def matches(self, other: object) -> bool:
        """Whether the grid of another mask is this one's."""
        return isinstance(other, Mask) and self.grid.matches(other.grid)

    def where(self, inside: NDArray[np.bool_]) -> Mask:
        """Return the mask of the voxels of this grid at which `inside`, (X, Y, Z), is true."""
        return Mask.of(inside, self.affine)

    @property
    def size(self) -> int:
        """How long the axis is."""
        return self.voxels

    def to_bytes(self) -> bytes:
        """Return the mask as a NIfTI file (uint8, gzip); the same mask always gives the same."""
        import nibabel as nib

        image = nib.Nifti1Image(self.inside.astype(np.uint8), self.affine)
        packed = gzip.compress(image.to_bytes(), 6, mtime=0)
        return packed[:9] + b"\xff" + packed[10:]  # an unknown system: Pythons name others there

    def image(self, values: NDArray[Any], tr: float | None = None) -> Any:
        """Put (voxel,) or (time, voxel) values back into the brain; see `Archive.unmask`."""
        import nibabel as nib

        keep = values.dtype.kind in "iu" and values.dtype.itemsize < 8
        out = np.zeros((*self.shape, *values.shape[:-1]), values.dtype if keep else np.float32)
        out[self.inside] = values.T
        image = nib.Nifti1Image(out, self.affine)
        image.header.set_xyzt_units("mm", "sec")
        if tr is not None and out.ndim == 4:
            image.header.set_zooms((*image.header.get_zooms()[:3], tr))
        return image

    @classmethod
    def of(cls, inside: NDArray[np.bool_], affine: NDArray[np.float64]) -> Mask:
        """Make a mask from (X, Y, Z) bool in canonical orientation and its affine.

        Examples
        --------
        >>> Mask.of(np.ones((2, 3, 4), bool), np.eye(4)).voxels
        24
        """
        bits = np.packbits(inside.ravel()).tobytes()
        rounded = np.asarray(affine, np.float32).astype(np.float64) + 0.0  # no -0.0 in the digest
        what = repr(inside.shape).encode() + rounded.tobytes() + bits
        digest = hashlib.sha256(what).hexdigest()[:16]
        grid = Grid(inside.shape, rounded)
        return cls(grid, zlib.compress(bits, 1), digest, int(inside.sum()))


def grid_of(stored: tuple[int, ...], affine: NDArray[np.float64]) -> Grid:
    """Return the canonical grid of an image, of its three axes as stored and its affine."""
    return _grid_of(stored, affine.astype(np.float64).tobytes())


@lru_cache(maxsize=64)  # in a template's space all images lie alike
def _grid_of(stored: tuple[int, int, int], affine: bytes) -> Grid:
    import nibabel as nib

    stored_affine = np.frombuffer(affine).reshape(4, 4)
    orientation = nib.orientations.io_orientation(stored_affine)
    if np.isnan(orientation).any():
        raise ValueError("its affine is singular, so its orientation is unknown")
    to_stored = nib.orientations.inv_ornt_aff(orientation, stored)
    shape = tuple(int(stored[axis]) for axis in np.argsort(orientation[:, 0]))
    axes = tuple((int(a), int(f)) for a, f in orientation)
    return Grid(shape, stored_affine @ to_stored, axes)  # type: ignore[arg-type]


def whole(grid: Grid) -> Mask:
    """Return the mask of every voxel of a grid."""
    return _whole(grid.shape, grid.affine.tobytes())


@lru_cache(maxsize=16)
def _whole(shape: tuple[int, int, int], affine: bytes) -> Mask:
    return Mask.of(np.ones(shape, bool), np.frombuffer(affine).reshape(4, 4))


@lru_cache(maxsize=16)
def storage_index(grid: Grid, mask: Mask | None) -> NDArray[np.intp]:
    """Where each voxel of the mask (or of the grid) lies in a stored frame.

    Returns
    -------
    (voxel,) offsets, in elements, into a frame as NIfTI stores it (Fortran order).
    """
    import nibabel as nib

    stored = tuple(grid.shape[axis] for axis, _ in grid.orientation)
    offsets = np.arange(np.prod(stored), dtype=np.intp).reshape(stored, order="F")
    canonical = nib.orientations.apply_orientation(offsets, np.array(grid.orientation))
    index: NDArray[np.intp] = canonical.ravel() if mask is None else canonical[mask.inside]
    return index
