"""One mask for all records: one width for all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from entense.errors import RecordError, TableError
from entense.geometry.grayordinates import Sides
from entense.images import cifti, gifti
from entense.images.masks import read_columns, read_mask, write_mask
from entense.index.fetch import name_of
from entense.progress import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from entense.geometry import Columns


def group_mask(
    frame: pl.DataFrame | pl.LazyFrame, role: str, *, threshold: float = 0.9, to: str | Path
) -> str:
    """Make one mask of what lies in most records' masks: voxels, vertices or grayordinates.

    Parameters
    ----------
    frame
        A record table.
    role
        Its column of masks (paths, pairs of hemispheres, or lists of these), all on one grid or
        the same surfaces; each distinct file counts once.
        On surfaces and grayordinates a series will do (``.func.gii``, ``.dtseries.nii``): what
        never changes in it, or is not finite, is outside.
    threshold
        The fraction of masks that a voxel or vertex must lie in, above 0 and at most 1.
    to
        Where to write it: NIfTI (uint8) for voxels, else CIFTI (``.dscalar.nii``). A file that
        holds the same mask already is left alone, so that a rerun finds its inputs unchanged.

    Returns
    -------
    The absolute path of the mask, to be given to ``et.volume(…, mask=)``, ``et.surface`` or
    ``et.cifti``.

    Raises
    ------
    TableError
        Where the column is not there or has gaps, the masks lie on different grids or surfaces, no
        voxel is left, or `to` has another ending than the mask's kind of file.
    RecordError
        Where a mask is missing, damaged, empty or no mask.

    Examples
    --------
    >>> from entense.geometry import Mask
    >>> from entense.images.masks import read_mask, write_mask
    >>> write_mask(Mask.of(np.ones((2, 3, 4), bool), np.eye(4)), "sub-01_mask.nii.gz")
    >>> records = pl.DataFrame({"mask": ["sub-01_mask.nii.gz"]})
    >>> brain = group_mask(records, "mask", threshold=0.9, to="brain.nii.gz")
    >>> read_mask(brain).voxels
    24
    """
    if not 0 < threshold <= 1:
        raise TableError(f"threshold={threshold} must be above 0 and at most 1, such as 0.9")
    files = _files(frame, role)
    count, first = _count(files)
    # a hair under, so that 0.9 of 10 masks is 9 of them
    inside = count >= threshold * len(files) - 1e-9
    if not inside.any():
        raise TableError(
            f"no {first.unit} lies in {threshold:.0%} of the {len(files)} masks of {role!r}; "
            "lower the threshold, or look for a mask that lies elsewhere"
        )
    target = Path(to).absolute()
    _write_if_new(first.where(inside), target)
    return str(target)


def _files(frame: pl.DataFrame | pl.LazyFrame, role: str) -> list[str | Sides]:
    schema = frame.collect_schema()
    if role not in schema:
        raise TableError(f"there is no role {role!r} in the table; it has {', '.join(schema)}")
    column = frame.lazy().select(role).collect()[role]
    if isinstance(column.dtype, pl.List):
        column = column.explode()
    sided = isinstance(column.dtype, pl.Struct)
    if not sided and column.dtype != pl.String:
        raise TableError(f"the column {role!r} holds {column.dtype}, paths are due; name a role")
    sides = column.struct.unnest() if sided else column.to_frame()
    missing = sides.select(pl.any_horizontal(pl.all().is_null()).sum()).item()
    if missing or not len(column):
        raise TableError(
            f"{missing} of {len(column)} records have no {role!r}; leave them out "
            "with .entense.drop_incomplete() first"
        )
    values = column.unique().to_list()
    return sorted(Sides(one["L"], one["R"]) if sided else one for one in values)


def _count(files: Sequence[str | Sides]) -> tuple[NDArray[np.int32], Columns]:
    """Return in how many masks each voxel or vertex lies, and the whole that they lie in."""
    whole: Any = None
    for file in progress(files, what="group mask", unit="masks", total=len(files)):
        of, inside = _inside(file)
        if whole is None:
            whole, count = of, np.zeros(inside.shape, np.int32)
        if not of.matches(whole):
            raise TableError(
                f"{_name(file)}: this mask lies on another grid, {of}, than "
                f"{_name(files[0])}, {whole}; stage one space and resolution"
            )
        count += inside
    return count, whole


def _inside(file: str | Sides) -> tuple[Columns, NDArray[np.bool_]]:
    """Return where a mask lies, and what of that is inside."""
    name = _name(file)
    kind = name_of(name)
    if kind.endswith((".dtseries.nii", ".func.gii")):
        series: Any = cifti.read_dense(name) if kind.endswith(".nii") else gifti.read_surface(file)
        return series.axis, _with_data(series)
    if kind.endswith(".gii"):
        return gifti.read_whole_mask(file)
    if kind.endswith((".dscalar.nii", ".dlabel.nii")):
        return cifti.read_whole_mask(name)
    mask = read_mask(name)
    return mask, mask.inside


def _with_data(series: Any) -> NDArray[np.bool_]:
    """Return which columns change, and are finite throughout."""
    frames = iter(series.read())
    first = next(frames).copy()
    changed, finite = np.zeros(first.shape, bool), np.isfinite(first)
    for frame in frames:
        changed |= frame != first
        finite &= np.isfinite(frame)
    there: NDArray[np.bool_] = changed & finite
    return there


def _name(file: str | Sides) -> str:
    return file if isinstance(file, str) else file.L or file.R or ""


def _write_if_new(mask: Columns, target: Path) -> None:
    endings = (".nii", ".nii.gz") if mask.extension == ".nii.gz" else (mask.extension,)
    wrong = mask.extension == ".nii.gz" and target.name.endswith(".dscalar.nii")
    if wrong or not target.name.endswith(endings):
        raise TableError(
            f"{target}: this mask is written as {' or '.join(endings)}; let the name in to= end so"
        )
    if target.is_file():
        try:
            same = read_columns(target) == mask
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
