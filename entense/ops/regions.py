"""Reading what says something of columns: atlases, masks, weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from entense.errors import RecordError
from entense.geometry import Atlas, Labels, Maps, Mask, SurfaceLabels
from entense.images.atlases import read_atlas, read_weights
from entense.images.masks import read_columns
from entense.ops.core import Kind, op

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from entense.geometry import Columns


@final
@dataclass(frozen=True)
class Region:
    """A mask that was read from a file.

    Parameters
    ----------
    path
        Where it was read; the first of two hemispheres.
    columns
        The voxels, vertices or grayordinates in it.
    """

    path: str
    columns: Columns

    @property
    def voxels(self) -> Mask:
        """Its voxels; a RecordError where it has vertices."""
        if not isinstance(self.columns, Mask):
            raise RecordError(
                f"{self.path}: this mask lies on surfaces, the voxels of a volume are due; give a "
                "mask image (.nii.gz)"
            )
        return self.columns

    def on(self, columns: Columns) -> NDArray[np.bool_]:
        """Return which of a tensor's columns lie in it, (column,); a RecordError as of an atlas."""
        atlas = self._atlas()
        atlas.check(columns)
        inside: NDArray[np.bool_] = atlas.on(columns) > 0  # type: ignore[arg-type]  # checked
        return inside

    def _atlas(self) -> Labels | SurfaceLabels:
        """Return it as an atlas of one parcel."""
        mine = self.columns
        if isinstance(mine, Mask):
            return Labels(self.path, mine.grid, mine.inside.astype(np.int32), (1,))
        return SurfaceLabels(self.path, mine, np.ones(mine.size, np.int32), (1,))


@op(kind=Kind.SOURCE)
def labels(path: str) -> Atlas:
    """Read a parcellation of any geometry."""
    return read_atlas(path)


@op(kind=Kind.SOURCE)
def region(path: str) -> Region:
    """Read a mask of any geometry."""
    first = path if isinstance(path, str) else str(next(side for side in path if side))
    return Region(first, read_columns(path))


@op(kind=Kind.SOURCE)
def weights(path: str) -> Maps:
    """Read an image of weights, such as a probability of grey matter, as an atlas of one parcel."""
    return read_weights(path)
