"""How much memory there is, and which records it admits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from entense.errors import RecipeError
from entense.plan.demand import ITSELF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entense.plan.survey import Survey

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Room:
    """The memory of a run.

    The first record is computed alone, where the system says how much memory a process takes: if it
    took more than was estimated, so will the others.

    Parameters
    ----------
    survey
        What its rows take.
    memory
        How many bytes there are; None for as many as it takes.
    """

    def __init__(self, survey: Survey, memory: int | None) -> None:
        self._rows = survey.rows
        self._memory = memory
        self.bytes = None if memory is None else memory - ITSELF
        self._first: tuple[int, int] | None = None  # bytes before, and as they were estimated
        self._is_measured = memory is None or not _forget_peak()

    def check(self, rows: Sequence[int]) -> None:
        """Raise a RecipeError where a record cannot be computed, however it is cut."""
        demands = {row: self._rows[row].demand for row in rows}
        most = max((d.with_process(d.parts) for d in demands.values() if d), default=0)
        if self._memory is None or most <= self._memory or not any(demands.values()):
            return
        row, demand = max(((r, d) for r, d in demands.items() if d), key=lambda one: one[1].least)
        first = next(iter(self._rows[row].bound.paths), f"row {row}")
        whole = f" ({_said(demand.with_process())} at once)" if demand.parts > 1 else ""
        raise RecipeError(
            f"{first}: to compute its tensors takes {_said(most)} at the least{whole}, entense "
            f"itself included, and memory= allows {_said(self._memory)}; allow more, or compute "
            "fewer tensors at a time"
        )

    def parts(self, row: int) -> int:
        """Return in how many parts the columns of a row are read."""
        demand = self._rows[row].demand
        return 1 if demand is None or self.bytes is None else demand.parts_within(self.bytes)

    def admits(self, row: int, others: Sequence[int]) -> bool:
        """Whether a row can be loaded beside others."""
        if self.bytes is None or not others:
            self._begin(row)
            return True
        if not self._is_measured:
            return False
        return sum(map(self._size, [row, *others])) <= self.bytes

    def _size(self, row: int) -> int:
        demand = self._rows[row].demand
        return 0 if demand is None else demand.bytes(self.parts(row))

    def _begin(self, row: int) -> None:
        if not self._is_measured:
            self._first = _resident("RSS"), self._size(row) + ITSELF

    def measured(self) -> None:
        """Learn what the first record took."""
        if self._is_measured or self._first is None or self.bytes is None:
            return
        before, estimate = self._first
        taken = (_resident("HWM") - before) / estimate
        self.bytes = int(self.bytes / max(1.0, taken))
        self._is_measured = True


def _said(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size:,} bytes"


def _resident(what: str) -> int:
    """Return bytes that are resident: ``"RSS"`` now, ``"HWM"`` at most since `_forget_peak`."""
    found = re.search(rf"Vm{what}:\s+(\d+) kB", _STATUS.read_text())
    return int(found[1]) * 1024 if found else 0


def _forget_peak() -> bool:
    """Begin to measure the peak anew; whether the system lets one."""
    try:
        _RESET.write_text("5")
    except OSError:
        return False
    return _STATUS.exists()
