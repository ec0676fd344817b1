"""A run's table of confounds, read when it is first looked at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from entense.errors import RecordError
from entense.files import local
from entense.records.tables.confounds import read_confounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl


@dataclass(frozen=True)
class Regressors:
    """A table of confounds, a row a frame of its run.

    Parameters
    ----------
    path
        The table.
    sidecar
        The JSON file that says what its columns are, where there is one.
    """

    path: str
    sidecar: str | None = None

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The columns, under today's fMRIPrep names; see `read_confounds`."""
        return read_confounds(self.path)

    def check(self, frames: int) -> None:
        """Raise unless there is a row for each of the run's frames."""
        if self.frame.height != frames:
            raise RecordError(
                f"{self.path}: the table has {self.frame.height} rows, the run has {frames} "
                "frames; they must be of the same run and both whole"
            )

    @cached_property
    def about(self) -> Mapping[str, Mapping[str, Any]]:
        """What the sidecar says of each column; empty where there is none."""
        if self.sidecar is None:
            return {}
        try:
            with local(self.sidecar) as place:
                said = json.loads(place.read_text("utf-8"))
        except (ValueError, OSError, RecursionError) as error:
            raise RecordError(
                f"{self.sidecar}: what the confounds are cannot be read ({error}); copy it again"
            ) from error
        if not isinstance(said, dict):
            raise RecordError(
                f"{self.sidecar}: what the confounds are is due, a name and its facts, not "
                f"{type(said).__name__}; copy it again"
            )
        return {name: one for name, one in said.items() if isinstance(one, dict)}
