"""When the frames of a tensor were taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from entense.errors import RecordError
from entense.ops.spec import Spec, is_tr

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def places(x: Spec) -> NDArray[np.intp]:
    """Return (time,) which frame of its run each frame is; 0, 1, … where it is of no one run."""
    if x.kept is None or not x.kept.size:
        return np.arange(x.size("time"))
    return np.flatnonzero(x.kept)


def left_of(before: Spec, after: Spec) -> NDArray[np.intp] | None:
    """Return (time,) which frames of one tensor another has; None where it has others.

    Parameters
    ----------
    before, after
        What is known of a tensor, and of what filters made of it.
    """
    if after.kept is None or after.kept.size:
        return np.searchsorted(places(before), places(after))
    same = before.size("time") == after.size("time")
    return np.arange(after.size("time")) if same else None


def check_even(x: Spec, what: str) -> None:
    """Raise unless the frames follow one another without a gap."""
    if not is_even(x):
        at = places(x)
        missing = f"{at[-1] - at[0] + 1 - len(at)} were" if x.even else "some were"
        raise RecordError(
            f"{what} takes frames that follow one another, and {missing} left out in between; "
            "interpolate them and censor afterwards, or let denoise do both: denoise(…, fd=…)"
        )


def check_joined(x: Spec, what: str) -> None:
    """Raise where runs were joined that have gaps: when their frames were taken is not known."""
    if not x.even:
        raise RecordError(
            f"{what} takes frames of which it is known when they were taken, and some were left "
            f"out in between of runs that were joined: call {what} before concat, or interpolate "
            "frames instead of censoring them"
        )


def is_even(x: Spec) -> bool:
    """Whether the frames follow one another without a gap."""
    at = places(x)
    return x.even and bool(not len(at) or at[-1] - at[0] + 1 == len(at))
