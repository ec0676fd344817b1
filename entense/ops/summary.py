"""What is said of a tensor before any voxel is read: its motion, its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from entense.errors import RecordError
from entense.ops.confounds.columns import column
from entense.ops.core import Kind, Spec, in_time, op

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from entense.ops.confounds import Regressors


def _number(x: Spec, *_: object) -> Spec:
    return Spec((), (), in_time(x).dtype)


def _frames(x: Spec) -> Spec:
    return Spec(("time",), (in_time(x).size("time"),), "int32", tr=x.tr, kept=x.kept)


@op(kind=Kind.SUMMARY, infer=_number, reads={"confounds": "regressors"})
def mean_fd(x: Spec, confounds: Regressors) -> Any:
    """Return the mean framewise displacement, in mm, of the frames that the tensor has.

    The run's first frame, which moved from nowhere, does not count.

    Parameters
    ----------
    x
        (time, …).
    confounds
        fMRIPrep's confounds table, or HCP's movement regressors.

    Returns
    -------
    () float32.

    Raises
    ------
    RecordError
        Where the table is not of the run, has no framewise displacement, or lacks a number after
        its first row.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask").drop_dummies(count=4).mean_fd("confounds")
    volume(bold, mask) → drop_dummies(count=4) → mean_fd(confounds)
    """
    confounds.check(x.of_run.size)
    moved = column(confounds, "framewise_displacement")[x.of_run]
    known = moved[np.isfinite(moved)]  # all but the run's first frame, or the column is an error
    if not known.size:
        raise RecordError(
            f"{confounds.path}: the only frame left is the run's first, which has no displacement; "
            "leave such runs out"
        )
    return np.float32(known.mean())


@op(kind=Kind.SUMMARY, infer=_frames)
def kept_frames(x: Spec) -> NDArray[np.int32]:
    """Return which frames of the run the tensor has, counted from 0: nilearn's ``sample_mask``.

    Parameters
    ----------
    x
        (time, …).

    Returns
    -------
    (time,) int32.

    Raises
    ------
    RecipeError
        Where the frames are of no one run, as after `concat` and `resample_tr`.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask").drop_dummies(count=4).kept_frames()
    volume(bold, mask) → drop_dummies(count=4) → kept_frames
    """
    return np.flatnonzero(x.of_run).astype(np.int32)
