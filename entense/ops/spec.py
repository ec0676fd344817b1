"""What is known of a tensor before anything is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, final

import numpy as np

from entense.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from entense.geometry import Columns

COLUMNS = ("voxel", "vertex", "grayordinate")
"""What an axis of columns that lie somewhere is called."""
_LONGEST_TR = 30.0  # seconds; a longer one is a header in milliseconds


@final
@dataclass(frozen=True)
class Spec:
    """A tensor of a record, as it is known before any voxel is read.

    Parameters
    ----------
    dims
        The name of each axis: ``("time", "voxel")``.
    shape
        The length of each axis.
    dtype
        A NumPy name: ``"float32"``, ``"bfloat16"``.
    coords
        The labels along an axis: ``{"parcel": (1, 2, 5)}``.
    mask
        Where the columns lie: voxels of a grid, vertices, grayordinates.
    tr
        Repetition time in seconds, where it is known.
    kept
        (frame of the run,) bool, once some were left out: which frames of its run these are. None
        where they are all of it, an empty array where they are of no one run.
    begins
        Seconds from its run's first frame to its own, where `kept` no longer tells.
    windowed
        Whether it is a part of its run that `window` cut.
    even
        Whether its frames follow one another: false of runs that were joined with gaps in them.
    scale
        A stored number times this is the value; None where it is the value.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    coords: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict, hash=False)
    mask: Columns | None = None
    tr: float | None = None
    kept: NDArray[np.bool_] | None = field(default=None, compare=False)
    begins: float = 0.0
    windowed: bool = False
    even: bool = True
    scale: float | None = None

    @property
    def nbytes(self) -> int:
        """How many bytes its numbers take."""
        width = np.dtype("uint16" if self.dtype == "bfloat16" else self.dtype).itemsize
        return math.prod(self.shape) * width

    @property
    def of_run(self) -> NDArray[np.bool_]:
        """(frame of the run,) bool: which frames of its run the tensor has, in order."""
        if self.kept is None:
            return np.ones(self.size("time"), bool)
        if self.kept.size == 0:
            raise RecipeError(
                "the frames are no longer those of one run, which a table has a row for: do what "
                "takes a table before concat or resample_tr"
            )
        return self.kept

    def keeping(self, frames: NDArray[np.bool_]) -> Spec:
        """Return what is known once only some frames are kept: (time,) bool of this tensor's."""
        shape = (int(frames.sum()), *self.shape[1:])
        if self.kept is not None and not self.kept.size:  # of no one run before, nor now
            since = int(frames.argmax()) * (self.tr or 0.0)
            return replace(self, shape=shape, begins=self.begins + since)
        of_run = self.of_run.copy()
        of_run[of_run] = frames
        return replace(self, shape=shape, kept=of_run)

    def size(self, dim: str) -> int:
        """Return the length of the axis called `dim`; an error where there is none."""
        if dim not in self.dims:
            have = ", ".join(self.dims)
            raise RecipeError(f"an axis called {dim!r} is needed, the tensor has ({have})")
        return self.shape[self.dims.index(dim)]


def is_tr(seconds: float | None) -> bool:
    """Whether a repetition time is known, and one that a scanner can have.

    Examples
    --------
    >>> is_tr(0.72), is_tr(2000.0), is_tr(float("nan")), is_tr(None)
    (True, False, False, False)
    """
    return seconds is not None and 0.01 <= seconds <= _LONGEST_TR


def check_values(what: str, inputs: Iterable[object]) -> None:
    """Raise where an op would take numbers that are stored in steps for values."""
    for x in inputs:
        if isinstance(x, Spec) and x.scale is not None:
            raise RecipeError(
                f"{what} takes values, and its input is {x.dtype} in steps of {x.scale:g}; convert "
                f"last: .astype({x.dtype!r}, …) ends a tensor, and write needs no dtype= for it"
            )


def in_time(spec: Spec, *_: object, **__: object) -> Spec:
    """Infer: float32, of the first input's shape, which begins with time."""
    if spec.dims[:1] != ("time",) or len(spec.dims) != 2:
        raise RecipeError(f"a tensor (time, …) of two axes is due, this one has {spec.dims}")
    return replace(spec, dtype="float32")
