"""Interpolation in time: the weights of what is known in what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from entense.errors import RecipeError, RecordError

if TYPE_CHECKING:
    from numpy.typing import NDArray

METHODS = ("linear", "spline", "lomb-scargle")
_OVERSAMPLING = 8  # frequencies a period of the run, as Power et al. have it


def check_method(method: str, methods: tuple[str, ...] = METHODS) -> None:
    """Raise a RecipeError where there is no such method."""
    if method not in methods:
        raise RecipeError(f"there is no interpolation {method!r}; there are {', '.join(methods)}")


def weights(
    known: NDArray[np.float64] | NDArray[np.intp],
    at: NDArray[np.float64] | NDArray[np.intp],
    method: str,
) -> NDArray[np.float64]:
    """Return (at, known) what each known frame weighs in what is interpolated.

    Parameters
    ----------
    known
        (known,) when the known frames were taken, increasing.
    at
        (at,) the times that are wanted. Before the first known frame, and after the last, the
        nearest one is taken, but by ``"lomb-scargle"``, whose waves go on.
    method
        One of `METHODS`.
    """
    from scipy.interpolate import CubicSpline, make_interp_spline

    if len(known) < 2:
        raise RecordError(
            f"{len(known)} frame is left, and two are needed to interpolate between; censor less, "
            "or leave such runs out"
        )
    known, at = known.astype(np.float64), at.astype(np.float64)
    if method == "lomb-scargle":
        return _lomb_scargle(known, at)
    each, inside = np.eye(len(known)), np.clip(at, known[0], known[-1])
    made: NDArray[np.float64]
    if method == "linear":
        made = make_interp_spline(known, each, k=1)(inside)
    else:
        made = CubicSpline(known, each)(inside)
    return made


def _lomb_scargle(known: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a wave of each frequency to the known frames, by least squares, and add them up.

    Frequencies overlap where frames are missing, and more where they are oversampled, so that the
    sum is too large. Power et al. divide it by the ratio of deviations, a number a voxel that is
    not linear in the data; here it is one number for all: what brings the sum nearest to the known
    frames if these are white.
    """
    count, span = len(known), known[-1] - known[0]
    step = 2 * np.pi / (span * _OVERSAMPLING)
    frequency = step * np.arange(1, _OVERSAMPLING * count // 2 + 1)
    fit, made = (_waves(frequency, known, times) for times in (known, at))
    centre = np.eye(count) - 1 / count
    fit = fit @ centre
    scale = float(np.trace(fit) / np.square(fit).sum())
    return scale * (made @ centre) + 1 / count


def _waves(
    frequency: NDArray[np.float64], known: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (at, known) the sum over frequencies of the waves that fit best."""
    double = 2 * np.outer(frequency, known)
    # Lomb's delay makes the sine and the cosine orthogonal at the known frames
    delay = np.arctan2(np.sin(double).sum(axis=1), np.cos(double).sum(axis=1))[:, None] / 2
    total = np.zeros((len(at), len(known)))
    for wave in (np.cos, np.sin):
        basis = wave(np.outer(frequency, known) - delay)
        power = np.square(basis).sum(axis=1, keepdims=True)
        seen = power > 1e-9 * len(known)  # of a sine that is 0 at every frame nothing is known
        basis = np.where(seen, basis / np.where(seen, power, 1.0), 0.0)
        total += wave(np.outer(frequency, at) - delay).T @ basis
    return total
