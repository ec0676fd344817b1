"""Which frames of its run a tensor has: those left out, and those made up for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from entense.errors import RecipeError, RecordError
from entense.ops.confounds import Censoring, Regressors, check_censoring, kept
from entense.ops.core import Kind, Spec, in_time, op
from entense.ops.interpolation import check_method, weights
from entense.ops.timing import places

if TYPE_CHECKING:
    from numpy.typing import NDArray


def left(x: Spec, confounds: Regressors, rule: Censoring) -> NDArray[np.bool_]:
    """Return (time,) bool: which frames of the tensor a rule leaves.

    Raises
    ------
    RecordError
        Where it leaves none, or the table is not of the run.
    """
    of_run = x.of_run
    if rule == Censoring():
        return np.ones(x.size("time"), bool)
    confounds.check(of_run.size)
    good: NDArray[np.bool_] = kept(confounds, rule)[of_run]
    if not good.any():
        said = ", ".join(f"{name}={value}" for name, value in rule._asdict().items() if value)
        raise RecordError(
            f"{confounds.path}: all {good.size} frames are censored ({said}); censor less, or "
            "leave such runs out"
        )
    return good


def _some_rule(
    *,
    fd: float | None,
    dvars: float | None,
    before: int,
    after: int,
    contiguous: int,
    dummies: bool,
    method: str = "linear",
) -> None:
    """Check: something is censored at all, and can be."""
    if fd is None and dvars is None and not dummies:
        raise RecipeError("nothing says which frames: give fd= in mm, dvars= or dummies=True")
    check_censoring(Censoring(fd, dvars, before, after, contiguous, dummies))
    check_method(method)


def _some_count(*, count: int | None) -> None:
    """Check: the count is one."""
    if count is not None and count < 0:
        raise RecipeError(f"count={count} is no number of frames; give 0 or more")


def _steady(x: Spec, confounds: Regressors | None, count: int | None) -> NDArray[np.bool_]:
    if (confounds is None) == (count is None):
        raise RecipeError(
            "drop_dummies takes a table of confounds, which says how many, or count=; give one"
        )
    if confounds is not None:
        return left(x, confounds, Censoring(dummies=True))
    steady = np.arange(x.size("time")) >= (count or 0)
    if not steady.any():
        raise RecordError(
            f"the run has {steady.size} frames, and count={count} would leave none; lower it, or "
            "leave short runs out"
        )
    return steady


def _without_dummies(x: Spec, confounds: Regressors | None, *, count: int | None) -> Spec:
    return in_time(x).keeping(_steady(x, confounds, count))


@op(
    kind=Kind.OPERATOR,
    infer=_without_dummies,
    reads={"confounds": "regressors"},
    check=_some_count,
)
def drop_dummies(
    x: Spec, confounds: Regressors | None = None, *, count: int | None = None
) -> NDArray[np.float64]:
    """Leave out the first frames, in which the magnetisation is not yet steady.

    Parameters
    ----------
    x
        (time, …).
    confounds
        fMRIPrep's confounds table: the frames of its ``non_steady_state_outlier`` columns go, none
        where it has no such column.
    count
        How many frames go, instead of a table.

    Returns
    -------
    (time, …) float32, of fewer frames; NaN in a column that holds a NaN anywhere in the run. A
    table that is taken afterwards gives the rows of the frames that are left.

    Raises
    ------
    RecordError
        Where no frame would be left, or the table is not of the run.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask").drop_dummies(count=4)
    volume(bold, mask) → drop_dummies(count=4)
    """
    return np.eye(x.size("time"))[_steady(x, confounds, count)]


def _censored(
    x: Spec,
    confounds: Regressors,
    *,
    fd: float | None,
    dvars: float | None,
    before: int,
    after: int,
    contiguous: int,
    dummies: bool,
) -> Spec:
    rule = Censoring(fd, dvars, before, after, contiguous, dummies)
    return in_time(x).keeping(left(x, confounds, rule))


@op(kind=Kind.OPERATOR, infer=_censored, reads={"confounds": "regressors"}, check=_some_rule)
def censor(
    x: Spec,
    confounds: Regressors,
    *,
    fd: float | None = None,
    dvars: float | None = None,
    before: int = 0,
    after: int = 0,
    contiguous: int = 0,
    dummies: bool = False,
) -> NDArray[np.float64]:
    """Leave out the frames in which the head moved or the signal jumped.

    A filter over what is left would take frames for neighbours that are none: filter before, or
    let `denoise` censor.

    Parameters
    ----------
    x
        (time, …).
    confounds
        fMRIPrep's confounds table.
    fd
        Framewise displacement in mm, above which a frame goes.
    dvars
        Standardised DVARS above which a frame goes.
    before, after
        How many frames before and after such a one go as well.
    contiguous
        The shortest stretch of frames that stays.
    dummies
        Whether non-steady-state frames go.

    Returns
    -------
    (time, …) float32, of fewer frames; NaN in a column that holds a NaN anywhere in the run.

    Raises
    ------
    RecordError
        Where no frame is left, the table is not of the run, or it lacks a column.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask").censor("confounds", fd=0.5, after=1)
    volume(bold, mask) → censor(confounds, fd=0.5, before=0, after=1, contiguous=0, dummies=False)
    """
    rule = Censoring(fd, dvars, before, after, contiguous, dummies)
    return np.eye(x.size("time"))[left(x, confounds, rule)]


@op(kind=Kind.OPERATOR, infer=in_time, reads={"confounds": "regressors"}, check=_some_rule)
def interpolate(
    x: Spec,
    confounds: Regressors,
    *,
    fd: float | None = None,
    dvars: float | None = None,
    before: int = 0,
    after: int = 0,
    contiguous: int = 0,
    dummies: bool = False,
    method: str = "linear",
) -> NDArray[np.float64]:
    """Put what their neighbours say in the place of censored frames; all frames stay.

    Parameters
    ----------
    x
        (time, …).
    confounds, fd, dvars, before, after, contiguous, dummies
        Which frames, as `censor` has them.
    method
        - ``"linear"``, and the nearest good frame at the ends, as XCP-D.
        - ``"spline"``: cubic (`scipy.interpolate.CubicSpline`), as nilearn, and the nearest good
          frame at the ends. It overshoots in long gaps.
        - ``"lomb-scargle"``: the sum of waves that fit the good frames, 8 frequencies a period of
          the run, up to their mean Nyquist frequency (Power et al. 2014, NeuroImage 84:320), scaled
          by one number for all columns. In long gaps it goes to the mean: take drifts off first.

    Returns
    -------
    (time, …) float32, of the shape of `x`; NaN in a column that holds a NaN anywhere.

    Raises
    ------
    RecordError
        Where fewer than two frames are good, the table is not of the run, or it lacks a column.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask").interpolate("confounds", fd=0.5)  # doctest: +ELLIPSIS
    volume(bold, mask) → interpolate(confounds, fd=0.5, ..., method='linear')
    """
    good = left(x, confounds, Censoring(fd, dvars, before, after, contiguous, dummies))
    at, matrix = places(x), np.eye(x.size("time"))
    matrix[np.ix_(~good, good)] = weights(at[good], at[~good], method)
    matrix[~good, ~good] = 0.0
    return matrix
