"""Reading: series of volumes, surfaces and grayordinates, tables, arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from entense.errors import RecipeError, RecordError, hint
from entense.files import version_of
from entense.geometry import Grayordinates, Mask, storage_index, whole
from entense.images import cifti as dense
from entense.images import gifti
from entense.images.masks import read_mask, read_vertices
from entense.images.nifti import read_header
from entense.ops.arrays import numbers, read_array
from entense.ops.confounds import Regressors
from entense.ops.core import Kind, Spec, op
from entense.records.tables.confounds import read_confounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from entense.geometry import Columns
    from entense.images import Series

SERIES = ("volume", "surface", "cifti")
"""The ops that open a file of frames, of which the decoder keeps some columns."""
GIVEN = ("array", "table")
"""The ops that read a small array whole."""


@dataclass(frozen=True)
class Opened:
    """A file of frames that is opened and not yet decoded.

    Parameters
    ----------
    series
        The file.
    mask
        The columns that are kept; None where they are parcels already.
    spec
        What it will be.
    """

    series: Series
    mask: Columns | None
    spec: Spec

    @property
    def size(self) -> int:
        """How many columns are kept."""
        return self.spec.shape[1]

    @property
    def index(self) -> NDArray[np.intp]:
        """(column,) where each lies in a stored frame."""
        series: Any = self.series
        if self.mask is None:
            return np.arange(self.size)
        if isinstance(self.mask, Mask):
            return storage_index(series.grid, self.mask)
        return _index(series.axis, self.mask)


@lru_cache(maxsize=16)  # runs of one study have the same columns
def _index(axis: Grayordinates, part: Grayordinates) -> NDArray[np.intp]:
    return axis.index_of(part)


@op(kind=Kind.SOURCE)
def volume(image: str, mask: str | None, tr: float | None) -> Opened:
    """Open a 4-D image: (time, voxel) float32, of the voxels in a mask, or of all.

    Parameters
    ----------
    image
        NIfTI-1 or NIfTI-2, ``.nii`` or ``.nii.gz``, any integer or float dtype, scaled or not.
    mask
        A binary image on the same grid; None keeps every voxel.
    tr
        Repetition time in seconds, from the sidecar; the header's where it is None.

    Raises
    ------
    RecordError
        Where a file is missing, damaged, not 4-D, or image and mask lie on different grids.
    """
    header = read_header(image)
    inside = whole(header.grid) if mask is None else read_mask(mask)
    if not header.grid.matches(inside.grid):
        raise RecordError(
            f"{image}: the image and its mask {mask} lie on different grids: {header.grid}, and "
            f"{inside.grid}; take a mask in the same space and resolution"
        )
    return _opened(header, inside, "voxel", tr)


@op(kind=Kind.SOURCE)
def surface(image: str, mask: str | None, tr: float | None) -> Opened:
    """Open the series of one hemisphere or two: (time, vertex) float32, left first.

    Parameters
    ----------
    image
        ``.func.gii``, an array a frame or one array for all; or two of them.
    mask
        The vertices to keep: ``.shape.gii`` or ``.label.gii`` (above 0), one a hemisphere, or
        the ``.dscalar.nii`` that `group_mask` writes; None keeps all.
    tr
        Repetition time in seconds.

    Raises
    ------
    RecordError
        Where a file is missing or damaged, hemispheres differ in frames, or the mask is of another
        surface.
    """
    series = gifti.read_surface(image)
    kept = series.axis if mask is None else read_vertices(mask)
    return _opened(series, _part(series, kept, mask), "vertex", tr)


@op(kind=Kind.SOURCE)
def cifti(
    image: str, mask: str | None, tr: float | None, *, structures: list[str] | None = None
) -> Opened:
    """Open a dtseries, (time, grayordinate), or a ptseries, (time, parcel); float32.

    Parameters
    ----------
    image
        ``.dtseries.nii`` or ``.ptseries.nii`` of CIFTI-2.
    mask
        The grayordinates to keep: a ``.dscalar.nii`` or ``.dlabel.nii`` (above 0); None keeps all.
    tr
        Repetition time in seconds, from the sidecar; the file's where it is None.
    structures
        Those to keep: ``"cortex"``, ``"subcortex"``, or names as ``"cortex_left"``; None keeps all.

    Raises
    ------
    RecordError
        Where a file is missing, damaged, CIFTI-1, or of another kind, or it lacks a structure or a
        part of the mask.
    """
    series = dense.read_dense(image)
    if series.axis is None:
        if mask is not None or structures is not None:
            raise RecordError(
                f"{image}: a ptseries has parcels, which no mask or structure selects"
            )
        return _opened(series, None, "parcel", tr)
    kept = series.axis if mask is None else dense.read_mask(mask)
    if structures is not None:
        kept = _selected(image, kept, tuple(structures))
    return _opened(series, _part(series, kept, mask), "grayordinate", tr)


@op(kind=Kind.SOURCE)
def array(path: str) -> Given:
    """Read an array: ``.npy`` of any shape, or text (``.txt``, ``.tsv``, ``.csv``) without names.

    Parameters
    ----------
    path
        The file. In text, columns are parted by tabs in a ``.tsv``, by commas in a ``.csv``, else
        by blanks or commas; ``n/a`` is NaN, and a line that begins with ``#`` is left out.

    Returns
    -------
    float32, or the integer or bool type of the file, of 32 bits at most; (time, column) where it
    has two axes.

    Raises
    ------
    RecordError
        Where the file is missing, damaged, empty, or holds what are no numbers, or integers beyond
        32 bits.
    """
    return _read_array(path, version_of(path))


def _some_columns(*, columns: list[str] | None) -> None:
    if columns is not None and (not columns or len({*columns}) < len(columns)):
        raise RecipeError(f"columns={columns} must be names, each once; leave it out to have all")


@op(kind=Kind.SOURCE, check=_some_columns)
def table(path: str, *, columns: list[str] | None = None) -> Given:
    """Read columns of a table: (time, column) float32, ``n/a`` as NaN; see `read_confounds`.

    Parameters
    ----------
    path
        ``.tsv``, ``.csv`` or ``.parquet``.
    columns
        Which of them, in this order; all unless given.

    Raises
    ------
    RecordError
        Where the file is missing or damaged, or a column is missing or holds text.
    """
    return _read_table(path, version_of(path), None if columns is None else tuple(columns))


@dataclass(frozen=True, eq=False)
class Given:
    """A small array that was read whole."""

    data: NDArray[Any]
    spec: Spec


@op(kind=Kind.TABLE)
def regressors(path: str, sidecar: str | None = None) -> Regressors:
    """Name a table of confounds, and the JSON file that says what its columns are."""
    return Regressors(path, sidecar)


def _opened(series: Series, mask: Columns | None, dim: str, tr: float | None) -> Opened:
    names = getattr(series, "parcels", ())
    shape = (series.frames, len(names) if mask is None else mask.size)
    coords = {"parcel": names} if mask is None else {}
    known = series.tr if tr is None else tr
    return Opened(series, mask, Spec(("time", dim), shape, "float32", coords, mask=mask, tr=known))


def _part(series: Any, kept: Grayordinates, mask: object) -> Grayordinates:
    """Check that what is to be kept is there."""
    try:
        _index(series.axis, kept)
    except ValueError as error:
        raise RecordError(
            f"{series.path}: the image and its mask {mask} are of different surfaces: {error}; "
            "take a mask in the same space and density"
        ) from error
    return kept


@lru_cache(maxsize=16)
def _selected(path: str, axis: Grayordinates, wanted: tuple[str, ...]) -> Grayordinates:
    try:
        return axis.select(wanted)
    except ValueError as error:
        raise RecordError(f"{path}: {error}") from error


@lru_cache(maxsize=64)
def _read_array(path: str, _version: object) -> Given:
    data = read_array(path)
    some = {1: ("time",), 2: ("time", "column")}
    dims = some.get(data.ndim, tuple(f"axis_{i}" for i in range(data.ndim)))
    return Given(data, Spec(dims, data.shape, str(data.dtype)))


@lru_cache(maxsize=64)
def _read_table(path: str, _version: object, columns: tuple[str, ...] | None) -> Given:
    frame = read_confounds(path)
    for name in columns or ():
        if name not in frame.columns:
            raise RecordError(f"{path}: there is no column {name!r}; {hint(name, frame.columns)}")
    data = numbers(path, frame.select(columns or pl.all()))
    names = {"column": columns or tuple(frame.columns)}
    return Given(data, Spec(("time", "column"), data.shape, "float32", names))
