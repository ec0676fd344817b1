"""From one repetition time to another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from entense.errors import RecipeError, RecordError
from entense.ops.core import Kind, Spec, in_time, is_tr, op
from entense.ops.interpolation import check_method, weights
from entense.ops.timing import check_joined, places, tr_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _some_tr(*, tr: float, method: str) -> None:
    """Check: the new TR is one that a scanner can have, and the method is there."""
    if not is_tr(tr):
        raise RecipeError(f"tr={tr} is no repetition time; give it in seconds")
    check_method(method, ("linear", "spline"))


def _times(x: Spec, tr: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return when the frames were taken and when the new ones are, in seconds from the first."""
    check_joined(x, "resample_tr")
    at = places(x)
    old = (at - at[0]).astype(np.float64) * tr_of(x)
    # a billionth of a frame goes for what division leaves of a whole number
    count = int(old[-1] / tr + 1e-9) + 1
    return old, np.arange(count, dtype=np.float64) * tr


def _at_another_tr(x: Spec, *, tr: float, method: str) -> Spec:
    old, new = _times(in_time(x), tr)
    begins = x.begins + int(places(x)[0]) * tr_of(x)
    if min(len(old), len(new)) < 2:
        raise RecordError(
            f"the run of {x.size('time')} frames, {tr_of(x):g} s each, is too short for a "
            f"repetition time of {tr:g} s; leave short runs out"
        )
    shape = (len(new), *x.shape[1:])
    return replace(in_time(x), shape=shape, tr=tr, kept=np.empty(0, bool), begins=begins)


@op(kind=Kind.OPERATOR, infer=_at_another_tr, check=_some_tr)
def resample_tr(x: Spec, *, tr: float, method: str = "linear") -> NDArray[np.float64]:
    """Interpolate to another repetition time, from the first frame to the last.

    Frames that were left out are interpolated over. Nothing is filtered: before going to a longer
    TR, take off what is above the new Nyquist frequency, ``.bandpass(low_pass=0.5 / tr)``.

    Parameters
    ----------
    x
        (time, …); its TR must be known.
    tr
        The new repetition time in seconds.
    method
        ``"linear"`` (`numpy.interp`) or ``"spline"`` (`scipy.interpolate.CubicSpline`).

    Returns
    -------
    (time, …) float32, of as many frames as lie in the run. They are those of no run: do what takes
    a table before.

    Raises
    ------
    RecordError
        Where the TR is unknown or the run too short.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask").resample_tr(tr=1.0)
    volume(bold, mask) → resample_tr(tr=1.0, method='linear')
    """
    old, new = _times(x, tr)
    return weights(old, new, method)
