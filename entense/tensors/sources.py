"""Where a tensor begins: a role, a file, or a lazy column."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from entense.errors import TableError, hint
from entense.ops.core import ops
from entense.tensors import lazy
from entense.tensors.expr import Tensor, call
from entense.tensors.graph import mark_each
from entense.tensors.inputs import Input, TrOf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

File: TypeAlias = str | Path | pl.Expr
Files: TypeAlias = "File | tuple[str | Path, str | Path] | Mapping[str, str | Path]"
Seconds: TypeAlias = str | float | pl.Expr | None


def volume(image: File, *, mask: File | None = None, tr: Seconds = None) -> Tensor:
    """Start from a 4-D image: the voxels in a mask, or all, (time, voxel) float32.

    Parameters
    ----------
    image
        A role (a column of paths).
    mask
        A role, or the path of one mask for all records; None keeps every voxel.
    tr
        Repetition times in seconds, a column or a number; the role's own ``<role>_tr`` unless
        given, and the header where that is null.

    Returns
    -------
    (time, voxel) float32: a tensor for `transform`. Voxels are in the order of
    ``nibabel.as_closest_canonical(image).get_fdata()[mask]``, whatever the storage.

    Raises
    ------
    TableError
        At `transform`: where there is neither such a column nor such a file.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask")
    volume(bold, mask)
    """
    return call(ops["volume"], (image, mask, TrOf(image) if tr is None else tr), {})


def surface(image: Files, *, mask: Files | None = None, tr: Seconds = None) -> Tensor:
    """Start from series on surfaces: (time, vertex) float32, the left hemisphere first.

    Parameters
    ----------
    image
        A role: of both hemispheres (``stage`` makes it of ``hemi`` L and R), or of one. The files
        are ``.func.gii``, with an array a frame or one array for all.
    mask
        The vertices to keep, so that the medial wall is left out: a role, ``(left, right)`` paths
        of ``.shape.gii`` or ``.label.gii`` (kept where above 0), or the ``.dscalar.nii`` that
        `group_mask` writes. None keeps all.
    tr
        As `volume` has it; GIFTI files do not know it.

    Returns
    -------
    (time, vertex) float32: a tensor for `transform`.

    Examples
    --------
    >>> import entense as et
    >>> et.surface("bold").zscore()
    surface(bold) → zscore
    """
    return call(ops["surface"], (image, mask, TrOf(image) if tr is None else tr), {})


def cifti(
    image: File,
    *,
    mask: File | None = None,
    structures: str | Sequence[str] | None = None,
    tr: Seconds = None,
) -> Tensor:
    """Start from a dtseries, (time, grayordinate), or a ptseries, (time, parcel); float32.

    Parameters
    ----------
    image
        A role.
    mask
        The grayordinates to keep (``.dscalar.nii`` or ``.dlabel.nii``, above 0); None keeps all.
    structures
        ``"cortex"``, ``"subcortex"``, or names such as ``"cortex_left"``, ``"thalamus_right"``;
        None keeps all.
    tr
        As `volume` has it; the file's own where that is null.

    Returns
    -------
    (time, grayordinate), or (time, parcel), float32: a tensor for `transform`, columns in the order
    of the file.

    Examples
    --------
    >>> import entense as et
    >>> et.cifti("bold", structures="cortex").zscore()
    cifti(bold, structures=['cortex']) → zscore
    """
    wanted = [structures] if isinstance(structures, str) else structures
    wanted = None if wanted is None else list(wanted)
    inputs = (image, mask, TrOf(image) if tr is None else tr)
    return call(ops["cifti"], inputs, {"structures": wanted})


def table(file: File, columns: Sequence[str] | None = None) -> Tensor:
    """Start from columns of a table, such as the confounds: (time, column) float32.

    Parameters
    ----------
    file
        A role, or a path; ``.tsv``, ``.csv`` or ``.parquet``. ``n/a`` is NaN.
    columns
        Which, in this order; all unless given.

    Returns
    -------
    (time, column) float32: a tensor for `transform`.

    Examples
    --------
    >>> import entense as et
    >>> et.table("confounds", ["framewise_displacement"])
    table(confounds, columns=['framewise_displacement'])
    """
    return call(ops["table"], (file,), {"columns": None if columns is None else list(columns)})


def array(file: File) -> Tensor:
    """Start from an array: ``.npy`` of any shape, or numbers in text without names.

    Parameters
    ----------
    file
        A role, or a path: ``.npy``, ``.txt``, ``.tsv`` or ``.csv``.

    Returns
    -------
    float32, or the integer or bool type of the file, of 32 bits at most: a tensor for
    `transform`.

    Examples
    --------
    >>> import entense as et
    >>> et.array("movement").zscore()
    array(movement) → zscore
    """
    return call(ops["array"], (file,), {})


def col(name: str) -> Tensor:
    """Start from a lazy column of the table; of a list of them, as `pivot` makes it, from each.

    Examples
    --------
    >>> import entense as et
    >>> et.col("clean").parcellate("atlas.nii.gz")
    col(clean) → parcellate(atlas.nii.gz)
    """

    def bind(schema: pl.Schema) -> Input:
        dtype = schema.get(name)
        listed = isinstance(dtype, pl.List)
        inner = dtype.inner if isinstance(dtype, pl.List) else dtype
        if not isinstance(inner, lazy.Lazy):
            near = hint(name, lazy.tensor_columns(schema))
            raise TableError(f"there is no lazy tensor {name!r} in the table; {near}")
        fields = {slot: lazy.field(name, slot, listed=listed) for slot in inner.slots}
        if not listed:
            return Input(inner.root, fields, inner.slots)
        if any(isinstance(kind, pl.List) for kind in inner.slots.values()):
            raise TableError(
                f"{name!r} was gathered from lists and stands in lists again: pivot once, to the "
                "highest level"
            )
        types: dict[str, pl.DataType] = {slot: pl.List(kind) for slot, kind in inner.slots.items()}
        return Input(mark_each(inner.root), fields, types)

    return Tensor(f"col({name})", bind)
