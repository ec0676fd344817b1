"""Drifts and bands: what is taken off a series by its frequency alone.

A linear filter is made as a (time, time) matrix in float64 and applied once, in float32, to the
series less its first frame: see `entense.ops.linear.apply`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from entense.errors import RecipeError, RecordError
from entense.ops.core import Kind, Spec, in_time, op
from entense.ops.timing import check_even, check_joined, places, tr_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORDER = 5  # of the Butterworth filter, as nilearn has it
METHODS = ("butterworth", "fft", "cosine")
_AUTO = 150.0  # seconds a degree of the polynomial, as AFNI has it
_EDGE = 1e-9  # a cut-off that is one of the run's frequencies stays one after rounding


def check_band(*, method: str, high_pass: float | None, low_pass: float | None) -> None:
    """Raise a RecipeError where no run whatever could be filtered so."""
    if method not in METHODS:
        raise RecipeError(f"there is no filter {method!r}; there are {', '.join(METHODS)}")
    given = [cutoff for cutoff in (high_pass, low_pass) if cutoff is not None]
    if given != sorted(set(given)) or any(cutoff <= 0 for cutoff in given):
        raise RecipeError(
            f"high_pass={high_pass} and low_pass={low_pass} keep nothing: give Hz above 0, "
            "high_pass the lower"
        )
    if method == "cosine" and low_pass is not None:
        raise RecipeError(
            "cosines are drifts, which a high-pass takes off: give high_pass alone, or another "
            "filter for low_pass"
        )


def _some_band(*, high_pass: float | None, low_pass: float | None, method: str, order: int) -> None:
    """Check: there is a cut-off at all."""
    if high_pass is None and low_pass is None:
        raise RecipeError("bandpass needs a cut-off: high_pass= or low_pass= in Hz, or both")
    check_band(method=method, high_pass=high_pass, low_pass=low_pass)
    if order < 1 or (order != ORDER and method != "butterworth"):
        raise RecipeError(f"order={order} is no order of a {method} filter; leave it out")


def _some_order(*, order: int | str) -> None:
    """Check: the polynomial is one."""
    if order != "auto" and (isinstance(order, str) or order < 0):
        raise RecipeError(f'order={order!r} is of no polynomial; give 0, 1, 2, … or "auto"')


@op(kind=Kind.OPERATOR, infer=in_time, check=_some_order)
def detrend(x: Spec, *, order: int | str = 1) -> NDArray[np.float64]:
    """Take off the polynomial that fits best: the mean and a straight line unless told otherwise.

    As `scipy.signal.detrend` and `numpy.polynomial`. Frames that were left out take their time
    all the same: the polynomial is of a frame's place in its run.

    Parameters
    ----------
    x
        (time, …).
    order
        Of the polynomial: 0 is the mean, 1 a straight line; ``"auto"`` is 1 + the seconds of the
        run / 150, rounded down, as AFNI's ``3dDeconvolve -polort A``, and needs the TR.

    Returns
    -------
    (time, …) float32, of the shape of `x`.

    Raises
    ------
    RecordError
        Where the run has too few frames for that order, or ``"auto"`` does not know the TR.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").detrend(order=2))
    volume(bold, mask) → detrend(order=2)
    """
    if order:
        check_joined(x, "detrend")
    at = places(x)
    if isinstance(order, str):
        order = 1 + int((at[-1] - at[0] + 1) * tr_of(x) / _AUTO)
    return without(polynomials(at, order))


@op(kind=Kind.OPERATOR, infer=in_time, check=_some_band)
def bandpass(
    x: Spec,
    *,
    high_pass: float | None = None,
    low_pass: float | None = None,
    method: str = "butterworth",
    order: int = ORDER,
) -> NDArray[np.float64]:
    """Keep the frequencies between two cut-offs, without delay.

    Parameters
    ----------
    x
        (time, …), without a gap between its frames; its TR must be known.
    high_pass, low_pass
        Cut-offs in Hz; None leaves that side open.
    method
        - ``"butterworth"``: run forwards and backwards with odd padding, as
          `nilearn.signal.butterworth` (`scipy.signal.sosfiltfilt`).
        - ``"fft"``: the frequencies of the discrete Fourier transform that lie between the cut-offs
          or on one, and no others, as AFNI's ``3dBandpass -nodetrend`` without its taper. A
          high-pass takes the mean off, a low-pass leaves it. The run is taken for a period:
          detrend it first.
        - ``"cosine"``: without the discrete cosines slower than `high_pass`, as
          `nilearn.signal.clean` with ``filter="cosine"`` and as SPM; the mean stays. A run shorter
          than half a period of the cut-off has no such drifts, and stays as it is.
    order
        Of the Butterworth filter.

    Returns
    -------
    (time, …) float32.

    Raises
    ------
    RecordError
        Where the TR is unknown or impossible, a cut-off is not below the Nyquist frequency, the
        run is too short to filter or has no frequency in the band, or frames were left out of it.

    Examples
    --------
    >>> import entense as et
    >>> print(et.volume("bold", mask="mask").bandpass(high_pass=0.01, method="cosine"))
    volume(bold, mask) → bandpass(high_pass=0.01, method='cosine', order=5)
    """
    check_even(x, "bandpass")
    frames, tr = x.size("time"), tr_of(x)
    return band(frames, tr, high_pass=high_pass, low_pass=low_pass, method=method, order=order)


def polynomials(at: NDArray[np.intp], order: int) -> NDArray[np.float64]:
    """Return (time, order + 1) orthonormal polynomials of the places `at`."""
    if order >= len(at):
        raise RecordError(
            f"the run has {len(at)} frames, of which a polynomial of order {order} leaves nothing; "
            "lower the order, or leave short runs out"
        )
    since = at - at[0]
    time = np.linspace(-1.0, 1.0, since[-1] + 1)[since]
    # Legendre's are nearly orthogonal already: high orders lose no digits
    return np.linalg.qr(np.polynomial.legendre.legvander(time, order))[0]


def band(
    frames: int,
    tr: float,
    *,
    high_pass: float | None,
    low_pass: float | None,
    method: str,
    order: int = ORDER,
) -> NDArray[np.float64]:
    """Return the (time, time) matrix of a band-pass filter; see `bandpass`."""
    if method == "cosine":
        return without(cosines(frames, tr, high_pass))
    cutoffs, kind = _cutoffs(1.0 / tr, high_pass, low_pass)
    if method == "fft":
        return _fft(frames, tr, high_pass or 0.0, low_pass or np.inf)
    return _butterworth(frames, 1.0 / tr, cutoffs, kind, order)


def cosines(frames: int, tr: float, high_pass: float | None) -> NDArray[np.float64]:
    """Return (time, drift) the orthonormal discrete cosines slower than a cut-off."""
    if high_pass is None or frames < 2:
        return np.zeros((frames, 0))
    _cutoffs(1.0 / tr, high_pass, None)
    # nilearn's own order of operations: where the count is whole, rounding decides
    step = ((frames - 1) * tr) / (frames - 1)
    count = min(frames - 1, int(2 * frames * high_pass * step))
    angle = (np.pi / frames) * (np.arange(frames) + 0.5)
    waves: NDArray[np.float64] = np.cos(np.outer(angle, np.arange(1, count + 1)))
    return np.asarray(waves * np.sqrt(2.0 / frames))


def without(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the projection away from the orthonormal columns `q`."""
    return np.eye(len(q)) - q @ q.T


def _fft(frames: int, tr: float, low: float, high: float) -> NDArray[np.float64]:
    frequency = np.fft.rfftfreq(frames, tr)
    inside = (frequency >= low * (1 - _EDGE)) & (frequency <= high * (1 + _EDGE))
    if not inside.any():
        raise RecordError(
            f"the run of {frames * tr:g} s has no frequency between {low:g} and {high:g} Hz; "
            "widen the band, or leave short runs out"
        )
    kept = inside[:, None] * np.fft.rfft(np.eye(frames), axis=0)
    filtered: NDArray[np.float64] = np.fft.irfft(kept, frames, axis=0)
    return filtered


def _butterworth(
    frames: int,
    rate: float,
    cutoffs: float | list[float],
    kind: Literal["bandpass", "highpass", "lowpass"],
    order: int,
) -> NDArray[np.float64]:
    from scipy import signal

    sos = signal.butter(order, cutoffs, kind, output="sos", fs=rate)
    # sosfiltfilt's own padding, which the run must be longer than
    padding = 3 * (2 * len(sos) + 1 - min((sos[:, 2] == 0).sum(), (sos[:, 5] == 0).sum()))
    if frames <= padding:
        raise RecordError(
            f"the run has {frames} frames, the band-pass filter needs more than {padding}; "
            "leave short runs out, or filter less"
        )
    filtered: NDArray[np.float64] = signal.sosfiltfilt(sos, np.eye(frames), axis=0)
    return filtered


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
