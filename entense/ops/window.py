"""A part of a run: what follows an event."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from entense.errors import RecipeError, RecordError
from entense.ops.core import Kind, Spec, in_time, op
from entense.ops.timing import check_joined, places, tr_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _positive(*, seconds: float) -> None:
    """Check: the window is of some length."""
    if seconds <= 0:
        raise RecipeError(f"seconds={seconds} is no length of a window; give one above 0")


def _cut(x: Spec, start: float, *, seconds: float) -> Spec:
    """Infer: as many frames as the window has, the same for all records of one TR."""
    made = in_time(x)
    frames = _frames(x, start, seconds)
    return replace(made.keeping(np.isin(np.arange(x.size("time")), frames)), windowed=True)


def _frames(x: Spec, start: float, seconds: float) -> NDArray[np.intp]:
    """Return which frames of the tensor the window has."""
    check_joined(x, "window")
    tr, at = tr_of(x), places(x)
    if not math.isfinite(start):
        raise RecordError(f"the window starts at {start} s; filter such trials out")
    run = len(at) if x.kept is None or not x.kept.size else x.kept.size
    begin, count = _nearest((start - x.begins) / tr), max(1, _nearest(seconds / tr))
    said = f"the window from {start:g} s, {seconds:g} s long,"
    if begin < 0 or begin + count > run:
        raise RecordError(
            f"{said} is not whole in the run of {run * tr:g} s; filter such trials out, or take a "
            "shorter window"
        )
    due = np.arange(begin, begin + count)
    if lost := count - int(np.isin(due, at).sum()):
        raise RecordError(
            f"{said} has {lost} of its {count} frames no longer, which were left out before it "
            "(dummies, or censored); filter such trials out, or interpolate frames instead of "
            "censoring them"
        )
    return np.searchsorted(at, due)


def _nearest(frames: float) -> int:
    """Round half up: with a TR of 2 s, onsets of 1, 3 and 5 s stay a frame apart.

    A billionth of a frame goes for what division leaves of a half.
    """
    return math.floor(frames + 0.5 + 1e-9)


@op(kind=Kind.OPERATOR, infer=_cut, check=_positive)
def window(x: Spec, start: float, *, seconds: float) -> NDArray[np.float64]:
    """Cut a window out of each run; `start` may differ from record to record.

    Parameters
    ----------
    x
        (time, …); its TR must be known.
    start
        Seconds from the first frame of the run, whatever was left out since (dummies, say); of
        runs that were joined, from the first frame that is left of the first. A column, a Polars
        expression such as ``pl.col("onset")``, or a number for all. The nearest frame is taken, of
        two the later.
    seconds
        How long the window is; rounded to whole frames, at least one.

    Returns
    -------
    (time, …) float32; NaN in a column that holds a NaN anywhere in the run.

    Raises
    ------
    RecordError
        Where the window is not whole in the run or has censored frames, or the TR is unknown.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask").zscore().window("onset", seconds=12)
    volume(bold, mask) → zscore → window(onset, seconds=12.0)
    """
    return np.eye(x.size("time"))[_frames(x, start, seconds)]
