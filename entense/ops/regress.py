"""Least squares: confounds fitted to some frames and taken off all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from entense.errors import RecipeError, RecordError
from entense.ops import confounds as models
from entense.ops.confounds import Censoring, check_censoring
from entense.ops.confounds.columns import column, filled
from entense.ops.core import Kind, Spec, in_time, op
from entense.ops.denoise import rule_of
from entense.ops.frames import left

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from entense.ops.confounds import Regressors

_NOTHING = 1e-12  # of a column's size: what rounding leaves of one that does not vary


def _known(*, model: str | list[str], ridge: float, **params: Any) -> None:
    """Check: the model is there, the penalty none or positive, the limits possible."""
    models.formula_of(model)
    if ridge < 0:
        raise RecipeError(f"ridge={ridge} rewards large weights; give 0 or more")
    check_censoring(rule_of(model, *(params[name] for name in Censoring._fields)))


@op(kind=Kind.OPERATOR, infer=in_time, reads={"confounds": "regressors"}, check=_known)
def regress(
    x: Spec,
    confounds: Regressors,
    *,
    model: str | list[str],
    weights: str | None = None,
    ridge: float = 0.0,
    intercept: bool = True,
    fd: float | None = None,
    dvars: float | None = None,
    before: int | None = None,
    after: int | None = None,
    contiguous: int | None = None,
    dummies: bool | None = None,
) -> NDArray[np.float64]:
    """Regress confounds out: fitted to the frames that are not censored, taken off all, as XCP-D.

    The confounds are taken as the table has them: after a filter they bring back what it removed.
    `denoise` filters both sides.

    Parameters
    ----------
    x
        (time, …).
    confounds
        fMRIPrep's confounds table, a row a frame: a role or a path.
    model
        The name of a strategy, a formula, or a list of column names.
    weights
        The column of the table that says how much each frame counts in the fit, 0 or more.
    ridge
        The penalty of the sum of squared weights, for regressors scaled to deviation 1 (over the
        frames that are fitted), as `sklearn.linear_model.Ridge` has ``alpha``; 0 is least squares.
    intercept
        Whether the mean is fitted too, and so taken off.
    fd, dvars, before, after, contiguous, dummies
        Which frames are left out of the fit; see `censor`. None leaves it to the strategy.

    Returns
    -------
    (time, …) float32, of the shape of `x`; NaN in a column that holds a NaN anywhere.

    Raises
    ------
    RecordError
        Where the table has another length than the run, lacks a column, has gaps after its first
        row, or has as many regressors as frames are fitted; where no frame is, or one weighs less
        than nothing.

    Examples
    --------
    >>> import entense as et
    >>> et.volume("bold", mask="mask").regress("confounds", "24P", ridge=0.1, fd=0.5)
    volume(bold, mask) → regress(confounds, model='24P', ridge=0.1, intercept=True, fd=0.5)
    """
    good = left(x, confounds, rule_of(model, fd, dvars, before, after, contiguous, dummies))
    if weights is not None:
        share = _weights(confounds, weights, x)
        good &= share > 0
    else:
        share = np.ones(len(good))
    models.regressors(confounds, model, x.keeping(good).of_run)  # fewer than frames, or an error
    share = share[good]
    columns = _scaled(models.regressors(confounds, model, x.of_run), good, share, intercept)
    matrix = np.eye(len(good))
    matrix[:, good] -= columns @ _fit(columns[good], share, ridge)
    if intercept:
        matrix[:, good] -= share / share.sum()
    return matrix


def _weights(confounds: Regressors, name: str, x: Spec) -> NDArray[np.float64]:
    share = filled(confounds, name, column(confounds, name))[x.of_run]
    if share.min() < 0 or share.max() == 0:
        raise RecordError(
            f"{confounds.path}: the column {name!r} holds no weights, which are 0 or more and not "
            "all 0; take another column"
        )
    return share


def _scaled(
    columns: NDArray[np.float64],
    good: NDArray[np.bool_],
    share: NDArray[np.float64],
    intercept: bool,
) -> NDArray[np.float64]:
    """Return columns of mean square 1, and mean 0 if there is an intercept, over what is fitted."""
    size = np.abs(columns).max(axis=0)
    if intercept:
        columns = columns - np.average(columns[good], axis=0, weights=share)
    scale = np.sqrt(np.average(np.square(columns[good]), axis=0, weights=share))
    gone = scale <= _NOTHING * size
    scaled: NDArray[np.float64] = np.where(gone, 0.0, columns / np.where(gone, 1.0, scale))
    return scaled


def _fit(
    columns: NDArray[np.float64], share: NDArray[np.float64], ridge: float
) -> NDArray[np.float64]:
    """Return (regressor, frame) what makes the weights of the regressors of a series."""
    root = np.sqrt(share)
    u, s, v = np.linalg.svd(root[:, None] * columns, full_matrices=False)
    seen = s > np.finfo(np.float64).eps * 100 * s.max(initial=0.0)
    u, s, v = u[:, seen], s[seen], v[seen]
    made: NDArray[np.float64] = (v.T * (s / (s**2 + ridge))) @ u.T * root
    return made
