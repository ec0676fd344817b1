"""A part of a run: what follows an event."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from entense.errors import RecipeError, RecordError
from entense.ops.core import Kind, Spec, in_time, op
from entense.ops.timing import tr_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _positive(*, seconds: float) -> None:
    """Check: the window is of some length."""
    if seconds <= 0:
        raise RecipeError(f"seconds={seconds} is no length of a window; give one above 0")


def _cut(x: Spec, start: float, *, seconds: float) -> Spec:
    """Infer: as many frames as the window has, the same for all records of one TR."""
    begin, count = _frames(x, start, seconds)
    if begin < 0 or begin + count > x.size("time"):
        raise RecordError(
            f"the window from {start:g} s, {seconds:g} s long, is not whole in the run of "
            f"{x.size('time') * tr_of(x):g} s; filter such trials out, or take a shorter window"
        )
    return in_time(x).keeping(np.isin(np.arange(x.size("time")), np.arange(begin, begin + count)))


def _frames(x: Spec, start: float, seconds: float) -> tuple[int, int]:
    tr = tr_of(x)
    if not math.isfinite(start):
        raise RecordError(f"the window starts at {start} s; filter such trials out")
    return _nearest(start / tr), max(1, _nearest(seconds / tr))


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
        Seconds from the first frame: a column, a Polars expression such as ``pl.col("onset")``, or
        a number for all. The nearest frame is taken, of two the later.
    seconds
        How long the window is; rounded to whole frames, at least one.

    Returns
    -------
    (time, …) float32; NaN in a column that holds a NaN anywhere in the run.

    Raises
    ------
    RecordError
        Where the window is not whole in the run, or the TR is unknown.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask").zscore().window("onset", seconds=12)
    volume(bold, mask) → zscore → window(onset, seconds=12.0)
    """
    begin, count = _frames(x, start, seconds)
    return np.eye(x.size("time"))[begin : begin + count]
