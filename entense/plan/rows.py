"""What is known of the rows of a table before any voxel is read."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from entense.plan.bind import Bound, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from entense.ops.core import Spec
    from entense.plan.demand import Demand


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of a row.

    Parameters
    ----------
    bound
        The recipes bound to its inputs.
    specs
        Name to `Spec`; None where it cannot be surveyed. Rows that are alike have the same object.
    demand
        About how much memory it takes while it is computed.
    error
        The sentence that says why it cannot be surveyed, or None.
    """

    bound: Bound
    specs: Mapping[str, Spec] | None = None
    demand: Demand | None = None
    error: str | None = None


class Rows(Sequence[Row]):
    """Rows, each made when it is asked for: of those that are alike only the values are kept."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.kinds: list[Row] = []  # one of each
        self._kind, self._values = array("I"), list[tuple[Value, ...]]()
        numbers: dict[Any, int] = {}
        for row in rows:
            bound, specs = row.bound, id(row.specs)
            alike = bound.roots, bound.labels, bound.error, specs, row.demand, row.error
            kind = numbers.setdefault(alike, len(numbers))
            if kind == len(self.kinds):
                self.kinds.append(row)
            self._kind.append(kind)
            self._values.append(bound.values)

    def __len__(self) -> int:
        return len(self._kind)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...

    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        if isinstance(at, slice):
            return [self[row] for row in range(*at.indices(len(self)))]
        kind = self.kinds[self._kind[at]]
        bound = Bound(kind.bound.roots, self._values[at], kind.bound.labels, kind.bound.error)
        return Row(bound, kind.specs, kind.demand, kind.error)
