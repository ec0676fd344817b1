"""Which frames of a run are kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from entense.errors import RecipeError
from entense.ops.confounds.columns import column

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from entense.ops.confounds.table import Regressors


class Censoring(NamedTuple):
    """What makes a frame be left out.

    Parameters
    ----------
    fd
        Framewise displacement above which a frame is censored, in mm.
    dvars
        Standardised DVARS above which it is.
    before, after
        How many frames before and after a censored one go as well.
    contiguous
        The shortest stretch between censored frames that stays.
    dummies
        Whether the frames that fMRIPrep calls non-steady-state go.
    """

    fd: float | None = None
    dvars: float | None = None
    before: int = 0
    after: int = 0
    contiguous: int = 0
    dummies: bool = False


def check_censoring(rule: Censoring) -> None:
    """Raise a RecipeError where a rule could keep no frame, or makes no sense."""
    for name in ("fd", "dvars"):
        limit = getattr(rule, name)
        if limit is not None and not (limit > 0 and math.isfinite(limit)):
            raise RecipeError(f"{name}={limit} censors every frame or none; give a number above 0")
    for name in ("before", "after", "contiguous"):
        if getattr(rule, name) < 0:
            raise RecipeError(
                f"{name}={getattr(rule, name)} is no number of frames; give 0 or more"
            )


def merged(rule: Censoring, given: Censoring) -> Censoring:
    """Return a rule in which whatever `given` says (what differs from the default) comes first.

    Examples
    --------
    >>> merged(Censoring(fd=0.5, contiguous=5), Censoring(fd=0.2)).contiguous
    5
    """
    default = Censoring()._asdict()
    said = {name: value for name, value in given._asdict().items() if value != default[name]}
    return rule._replace(**said)


def kept(table: Regressors, rule: Censoring) -> NDArray[np.bool_]:
    """Return which frames of the run are kept, (frame of the run,) bool; it may be none.

    As nilearn's scrubbing: FD or DVARS above its limit censors a frame (a first frame that has
    none is kept), with the frames before and after it (Power et al. 2014, NeuroImage 84:320); then
    stretches shorter than `contiguous` between censored frames, or between one and an end of the
    run, go; the dummies last, which shorten no stretch.

    Parameters
    ----------
    table
        The run's confounds.
    rule
        What makes a frame be left out.

    Raises
    ------
    RecordError
        The table lacks ``framewise_displacement`` or ``std_dvars`` where there is a limit, or one
        has a gap after its first row.
    """
    moved = np.zeros(table.frame.height, bool)
    for name, limit in (("framewise_displacement", rule.fd), ("std_dvars", rule.dvars)):
        if limit is not None:
            moved |= column(table, name) > limit  # NaN is not above
    moved = _around(moved, rule.before, rule.after)
    if moved.any():
        moved |= _short(~moved, rule.contiguous)
    return ~moved & ~_dummies(table) if rule.dummies else ~moved


def _around(moved: NDArray[np.bool_], before: int, after: int) -> NDArray[np.bool_]:
    """Return the frames that have one of `moved` at most `after` before or `before` after them."""
    total = np.concatenate([[0], np.cumsum(moved)])
    frame = np.arange(moved.size)
    first = np.clip(frame - after, 0, moved.size)
    last = np.clip(frame + before + 1, 0, moved.size)
    return total[last] > total[first]


def _short(stays: NDArray[np.bool_], contiguous: int) -> NDArray[np.bool_]:
    """Return the frames of stretches shorter than `contiguous`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], stays, [False]])))
    short = np.zeros(stays.size, bool)
    for start, stop in edges.reshape(-1, 2):
        short[start:stop] = stop - start < contiguous
    return short


def _dummies(table: Regressors) -> NDArray[np.bool_]:
    names = [n for n in table.frame.columns if n.startswith("non_steady_state_outlier")]
    flags = [column(table, name) != 0 for name in names]
    return np.any(flags, axis=0) if flags else np.zeros(table.frame.height, bool)
