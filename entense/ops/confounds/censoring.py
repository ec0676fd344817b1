"""Which frames of a run are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

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
        The shortest stretch of kept frames that stays.
    dummies
        Whether the frames that fMRIPrep calls non-steady-state go.
    """

    fd: float | None = None
    dvars: float | None = None
    before: int = 0
    after: int = 0
    contiguous: int = 0
    dummies: bool = False


def censoring_of(model: str | list[str]) -> Censoring:
    """Return the censoring that is part of a strategy."""
    return Censoring()


def kept(table: Regressors, rule: Censoring) -> NDArray[np.bool_]:
    """Return (time,) bool: which frames of the run are kept."""
    return np.ones(table.frame.height, bool)
