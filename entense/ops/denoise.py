"""Confounds regressed out of a series: with filters, as nilearn, or by least squares alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from entense.errors import RecipeError, RecordError
from entense.ops import confounds as models
from entense.ops.confounds import Censoring, Regressors, censoring_of, check_censoring
from entense.ops.core import Kind, Spec, in_time, op
from entense.ops.filters import band, check_band, cosines, polynomials, without
from entense.ops.frames import left
from entense.ops.interpolation import check_method, weights
from entense.ops.timing import tr_of

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray


FEWEST = 3  # frames of which a line leaves something


def _known(
    *,
    model: str | list[str],
    high_pass: float | None,
    low_pass: float | None,
    filter: str,
    fill: str,
    **params: Any,
) -> None:
    """Check: the model and the methods are there, the cut-offs in order, the limits possible."""
    models.formula_of(model)
    check_band(method=filter, high_pass=high_pass, low_pass=low_pass)
    if filter != "butterworth" and high_pass is None and low_pass is None:
        raise RecipeError(f"the {filter} filter has no cut-off; give high_pass= in Hz")
    check_method(fill)
    check_censoring(rule_of(model, *(params[name] for name in Censoring._fields)))


def _kept(x: Spec, confounds: Regressors, *, model: str | list[str], **params: Any) -> Spec:
    """Infer: the frames that are not censored."""
    rule = rule_of(model, *(params[name] for name in Censoring._fields))
    if rule == Censoring():
        return in_time(x)
    frames = left(x, confounds, rule)
    if frames.sum() < FEWEST:
        raise RecordError(
            f"{confounds.path}: censoring leaves {frames.sum()} of {frames.size} frames; censor "
            "less, or leave such runs out"
        )
    return in_time(x).keeping(frames)


@op(kind=Kind.OPERATOR, infer=_kept, reads={"confounds": "regressors"}, check=_known)
def denoise(
    x: Spec,
    confounds: Regressors,
    *,
    model: str | list[str],
    high_pass: float | None = None,
    low_pass: float | None = None,
    detrend: bool = True,
    filter: str = "butterworth",
    fill: str = "spline",
    fd: float | None = None,
    dvars: float | None = None,
    before: int | None = None,
    after: int | None = None,
    contiguous: int | None = None,
    dummies: bool | None = None,
) -> NDArray[np.float64]:
    """Detrend, band-pass and regress confounds out, signals and confounds treated alike.

    This is `nilearn.signal.clean` without the standardisation, in nilearn's order: filtering the
    two sides differently would bring back what was removed (Lindquist et al. 2019,
    doi:10.1002/hbm.24528). Censored frames are interpolated for the filter and then left out, so
    that they weigh nothing in the fit; without a filter, or with cosines, they are left out first.

    Parameters
    ----------
    x
        (time, …); its TR must be known where a cut-off is given.
    confounds
        fMRIPrep's confounds table, a row a frame: a role or a path.
    model
        The name of a strategy, such as ``"36P"`` (Satterthwaite et al. 2013), a formula, or a list
        of column names. What a strategy censors is censored, unless told otherwise.
    high_pass, low_pass
        Cut-offs in Hz; None leaves that side open.
    detrend
        Whether to take off the mean and a straight line first.
    filter
        ``"butterworth"`` (of order 5), ``"fft"``, or ``"cosine"``, which adds drifts to the
        confounds and has no `low_pass`; see `bandpass`.
    fill
        How the filter's input is interpolated where frames are censored: ``"spline"``,
        ``"linear"`` or ``"lomb-scargle"``; see `interpolate`. What is censored at either end of
        the run is not filtered.
    fd, dvars, before, after, contiguous, dummies
        Which frames are censored; see `censor`. None leaves it to the strategy.

    Returns
    -------
    (time, …) float32, without the censored frames; NaN in a column that holds a NaN anywhere.

    Raises
    ------
    RecordError
        Where the table has another length than the run, lacks a column, has gaps after its first
        row, or has as many regressors as frames are left; where no frame is left; and as `bandpass`
        does.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask").denoise("confounds", "36P", fd=0.5)  # doctest: +ELLIPSIS
    volume(bold, mask) → denoise(confounds, model='36P', detrend=True, ..., fd=0.5)
    """
    good = left(x, confounds, rule_of(model, fd, dvars, before, after, contiguous, dummies))
    frames = x.keeping(good).of_run
    columns, at = models.regressors(confounds, model, frames), np.flatnonzero(frames)
    if filter == "cosine":
        columns = _with_drifts(columns, x, at, high_pass, confounds.path)
    if filter == "cosine" or (high_pass is None and low_pass is None):
        linear = _line_off(len(at), detrend)
    else:
        cutoffs = {"high_pass": high_pass, "low_pass": low_pass}
        linear = _filtered(at - at[0], tr_of(x), detrend, fill, method=filter, **cutoffs)
    columns = _standard(linear @ columns, np.abs(columns).max(axis=0))
    clean = np.zeros((len(at), len(good)))
    clean[:, good] = linear - _explained(columns, linear)
    return clean


def rule_of(model: str | list[str], *given: Any) -> Censoring:
    """Return what a strategy censors, but for what is said otherwise."""
    named = zip(Censoring._fields, given, strict=True)
    return censoring_of(model)._replace(**{name: one for name, one in named if one is not None})


def _line_off(frames: int, detrend: bool) -> NDArray[np.float64]:
    return without(polynomials(np.arange(frames), 1)) if detrend else np.eye(frames)


def _filtered(
    at: NDArray[np.intp], tr: float, detrend: bool, fill: str, **cutoffs: Any
) -> NDArray[np.float64]:
    """Return the filter from the frames at some places of a run to the same, gaps filled for it."""
    frames = int(at[-1]) + 1
    linear = band(frames, tr, **cutoffs) @ _line_off(frames, detrend)
    if frames == len(at):
        return linear
    return np.asarray((linear @ weights(at, np.arange(frames), fill))[at])


def _with_drifts(
    columns: NDArray[np.float64],
    x: Spec,
    at: NDArray[np.intp],
    high_pass: float | None,
    path: str,
) -> NDArray[np.float64]:
    """Return the columns, and the cosines of the whole run at the frames that are left of it."""
    own = np.flatnonzero(x.of_run)
    drifts = cosines(int(own[-1] - own[0]) + 1, tr_of(x), high_pass)
    columns = np.hstack([columns, drifts[at - own[0]]])
    if columns.shape[1] >= len(at):
        raise RecordError(
            f"{path}: {columns.shape[1]} regressors, cosines among them, leave nothing of "
            f"{len(at)} frames; lower high_pass=, or take a smaller model"
        )
    return columns


def _explained(columns: NDArray[np.float64], linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what columns explain of what a filter gives."""
    from scipy import linalg

    q, r, _ = linalg.qr(columns, mode="economic", pivoting=True)
    # nilearn's own threshold for a regressor that the others already explain
    q = q[:, np.abs(np.diag(r)) > np.finfo(np.float64).eps * 100]
    explained: NDArray[np.float64] = q @ (q.T @ linear)
    return explained


def _standard(columns: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns of deviation 1; 0 where only rounding is left of a column of that `size`."""
    columns = columns - columns.mean(axis=0)
    deviation = columns.std(axis=0, ddof=1)
    gone = deviation <= 1e-12 * size
    standard: NDArray[np.float64] = np.where(gone, 0.0, columns / np.where(gone, 1.0, deviation))
    return standard
