"""One mask for all records: one width for all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from entense.errors import RecordError, TableError
from entense.progress import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray

    from entense.geometry import Mask


def group_mask(
    frame: pl.DataFrame | pl.LazyFrame, role: str, *, threshold: float = 0.9, to: str | Path
) -> str:
    """Make one mask of the voxels that lie in most records' masks.

    Parameters
    ----------
    frame
        A record table.
    role
        Its column of masks, all on one grid; each distinct file counts once.
    threshold
        The fraction of masks that a voxel must lie in, above 0 and at most 1.
    to
        Where to write it (NIfTI, uint8); a file that holds the same mask already is left alone, so
        that a rerun finds its inputs unchanged.

    Returns
    -------
    The absolute path of the mask, to be given to ``et.volume(…, mask=)``.

    Raises
    ------
    TableError
        Where the column is not there or has gaps, the masks lie on different grids, or no voxel is
        left.
    RecordError
        Where a mask is missing, damaged, empty or no mask.

    Examples
    --------
    >>> import polars as pl
    >>> from entense.geometry import Mask, read_mask, write_mask
    >>> write_mask(Mask.of(np.ones((2, 3, 4), bool), np.eye(4)), "sub-01_mask.nii.gz")
    >>> records = pl.DataFrame({"mask": ["sub-01_mask.nii.gz"]})
    >>> brain = group_mask(records, "mask", threshold=0.9, to="brain.nii.gz")
    >>> read_mask(brain).voxels
    24
    """
    from entense.geometry import Mask

    if not 0 < threshold <= 1:
        raise TableError(f"threshold={threshold} must be above 0 and at most 1, such as 0.9")
    paths = _paths(frame, role)
    count, first = _count(paths)
    # a hair under, so that 0.9 of 10 masks is 9 of them
    inside = count >= threshold * len(paths) - 1e-9
    if not inside.any():
        raise TableError(
            f"no voxel lies in {threshold:.0%} of the {len(paths)} masks of {role!r}; "
            "lower the threshold, or look for a mask that lies elsewhere"
        )
    target = Path(to).absolute()
    _write_if_new(Mask.of(inside, first.affine), target)
    return str(target)


def _paths(frame: pl.DataFrame | pl.LazyFrame, role: str) -> list[str]:
    schema = frame.collect_schema()
    if role not in schema:
        raise TableError(f"there is no role {role!r} in the table; it has {', '.join(schema)}")
    column = frame.lazy().select(role).collect()[role]
    if column.null_count() or not len(column):
        raise TableError(
            f"{column.null_count()} of {len(column)} records have no {role!r}; leave them out "
            "with .entense.drop_incomplete() first"
        )
    return sorted(column.unique().to_list())


def _count(paths: Sequence[str]) -> tuple[NDArray[np.int32], Mask]:
    """Return in how many masks each voxel lies, and the first mask."""
    from entense.geometry import read_mask

    first = read_mask(paths[0])
    count = np.zeros(first.shape, np.int32)
    for path in progress(paths, what="group mask", unit="masks", total=len(paths)):
        mask = read_mask(path)
        if not mask.grid.matches(first.grid):
            raise TableError(
                f"{path}: this mask lies on another grid, {mask.grid}, than {paths[0]}, "
                f"{first.grid}; stage one space and resolution"
            )
        count += mask.inside
    return count, first


def _write_if_new(mask: Mask, target: Path) -> None:
    from entense.geometry import read_mask, write_mask

    if target.is_file():
        try:
            same = read_mask(target) == mask
        except RecordError:  # whatever lies there, it is not this mask
            same = False
        if same:
            return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_mask(mask, target)
    except OSError as error:
        raise TableError(
            f"{target} cannot be written ({error.strerror}); choose another place with to="
        ) from error
