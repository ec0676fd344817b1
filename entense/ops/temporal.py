"""Linear filters in time, and what standardises a series.

A linear filter is made as a (time, time) matrix in float64 and applied once, in float32, to the
series less its first frame: see `apply`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from entense.errors import RecipeError, RecordError
from entense.ops import confounds as models
from entense.ops.core import Kind, Spec, in_time, is_tr, op

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from entense.ops.confounds import Regressors

ORDER = 5  # of the Butterworth filter, as nilearn has it


def _ordered(*, high_pass: float | None, low_pass: float | None) -> None:
    """Check: the cut-offs are positive and in order, whatever the TR."""
    given = [cutoff for cutoff in (high_pass, low_pass) if cutoff is not None]
    if given != sorted(set(given)) or any(cutoff <= 0 for cutoff in given):
        raise RecipeError(
            f"high_pass={high_pass} and low_pass={low_pass} keep nothing: give Hz above 0, "
            "high_pass the lower"
        )


def _some_band(*, high_pass: float | None, low_pass: float | None) -> None:
    """Check: there is a cut-off at all."""
    if high_pass is None and low_pass is None:
        raise RecipeError("bandpass needs a cut-off: high_pass= or low_pass= in Hz, or both")
    _ordered(high_pass=high_pass, low_pass=low_pass)


def _known(
    *, model: str | list[str], high_pass: float | None, low_pass: float | None, **_: object
) -> None:
    """Check: the model exists and the cut-offs are in order."""
    models.check(model)
    _ordered(high_pass=high_pass, low_pass=low_pass)


@op(kind=Kind.OPERATOR, infer=in_time)
def detrend(x: Spec) -> NDArray[np.float64]:
    """Take off the mean and the straight line that fit best (`scipy.signal.detrend`).

    Returns
    -------
    (time, …) float32, of the shape of `x`.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").detrend())
    volume(bold, mask) → detrend
    """
    frames = x.size("time")
    basis = np.linspace(-1.0, 1.0, frames)[:, None] ** [0, 1] if frames > 1 else np.ones((1, 1))
    return _without(np.linalg.qr(basis)[0])


@op(kind=Kind.OPERATOR, infer=in_time, check=_some_band)
def bandpass(
    x: Spec, *, high_pass: float | None = None, low_pass: float | None = None
) -> NDArray[np.float64]:
    """Keep the frequencies between two cut-offs, without delay.

    A Butterworth filter of order 5, run forwards and backwards with odd padding, as
    `nilearn.signal.butterworth` (`scipy.signal.sosfiltfilt`).

    Parameters
    ----------
    x
        (time, …); its TR must be known.
    high_pass, low_pass
        Cut-offs in Hz; None leaves that side open.

    Returns
    -------
    (time, …) float32.

    Raises
    ------
    RecordError
        Where the TR is unknown or impossible, a cut-off is not below the Nyquist frequency, or
        the run is too short to filter.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").bandpass(high_pass=0.01))
    volume(bold, mask) → bandpass(high_pass=0.01)
    """
    from scipy import signal

    frames = x.size("time")
    if high_pass is None and low_pass is None:
        return np.eye(frames)
    rate = 1.0 / tr_of(x)
    cutoffs, kind = _cutoffs(rate, high_pass, low_pass)
    sos = signal.butter(ORDER, cutoffs, kind, output="sos", fs=rate)
    # sosfiltfilt's own padding, which the run must be longer than
    padding = 3 * (2 * len(sos) + 1 - min((sos[:, 2] == 0).sum(), (sos[:, 5] == 0).sum()))
    if frames <= padding:
        raise RecordError(
            f"the run has {frames} frames, the band-pass filter needs more than {padding}; "
            "leave short runs out, or filter less"
        )
    filtered: NDArray[np.float64] = signal.sosfiltfilt(sos, np.eye(frames), axis=0)
    return filtered


@op(kind=Kind.OPERATOR, infer=in_time, reads={"confounds": "regressors"}, check=_known)
def denoise(
    x: Spec,
    confounds: Regressors,
    *,
    model: str | list[str],
    high_pass: float | None = None,
    low_pass: float | None = None,
    detrend: bool = True,
) -> NDArray[np.float64]:
    """Detrend, band-pass and regress confounds out, signals and confounds treated alike.

    This is `nilearn.signal.clean` with the Butterworth filter and without the standardisation, in
    nilearn's order: filtering the two sides differently would bring back what was removed
    (Lindquist et al. 2019, doi:10.1002/hbm.24528).

    Parameters
    ----------
    x
        (time, …); its TR must be known where a cut-off is given.
    confounds
        fMRIPrep's confounds table, a row a frame: a role or a path.
    model
        ``"6P"``, ``"9P"``, ``"24P"`` or ``"36P"`` (Satterthwaite et al. 2013), or a list of column
        names.
    high_pass, low_pass
        Cut-offs in Hz; None leaves that side open.
    detrend
        Whether to take off the mean and a straight line first.

    Returns
    -------
    (time, …) float32.

    Raises
    ------
    RecordError
        Where the table has another length than the run, lacks a column, has gaps after its first
        row, or has as many regressors as the run has frames; and as `bandpass` does.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").denoise("confounds", "36P", low_pass=0.08))
    volume(bold, mask) → denoise(confounds, model='36P', low_pass=0.08, detrend=True)
    """
    from scipy import linalg

    regressors = models.regressors(confounds, model, x.of_run)
    linear = _detrend(x) if detrend else np.eye(x.size("time"))
    linear = bandpass(x, high_pass=high_pass, low_pass=low_pass) @ linear
    regressors = _standard(linear @ regressors, np.abs(regressors).max(axis=0))
    q, r, _ = linalg.qr(regressors, mode="economic", pivoting=True)
    # nilearn's own threshold for a regressor that the others already explain
    q = q[:, np.abs(np.diag(r)) > np.finfo(np.float64).eps * 100]
    return linear - q @ (q.T @ linear)


_detrend = detrend  # denoise has a parameter of that name


def _without(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the projection away from the orthonormal columns `q`."""
    return np.eye(len(q)) - q @ q.T


def _standard(columns: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns of deviation 1; 0 where only rounding is left of a column of that `size`."""
    columns = columns - columns.mean(axis=0)
    deviation = columns.std(axis=0, ddof=1)
    gone = deviation <= 1e-12 * size
    standard: NDArray[np.float64] = np.where(gone, 0.0, columns / np.where(gone, 1.0, deviation))
    return standard


def tr_of(x: Spec) -> float:
    """Return the TR in seconds, which must be one that a scanner can have."""
    if x.tr is None:
        raise RecordError(
            "the repetition time is unknown (no RepetitionTime in the sidecar, none in the "
            "header); give it before transform: .with_columns(bold_tr=2.0)"
        )
    if not is_tr(x.tr):  # NaN: a sidecar that cannot be read
        said = "cannot be read from the sidecar" if np.isnan(x.tr) else f"is said to be {x.tr:g} s"
        raise RecordError(
            f"the repetition time {said}; give it in seconds before transform: "
            ".with_columns(bold_tr=2.0)"
        )
    return x.tr


def _cutoffs(
    rate: float, high_pass: float | None, low_pass: float | None
) -> tuple[float | list[float], Literal["bandpass", "highpass", "lowpass"]]:
    given = [cutoff for cutoff in (high_pass, low_pass) if cutoff is not None]
    if given[-1] >= rate / 2:
        raise RecordError(
            f"the cut-off {given[-1]:g} Hz is not below the Nyquist frequency, {rate / 2:g} Hz for "
            f"a repetition time of {1 / rate:g} s; lower it or leave it out"
        )
    if len(given) == 2:
        return given, "bandpass"
    return given[0], "highpass" if low_pass is None else "lowpass"
