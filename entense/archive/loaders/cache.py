"""Records that were computed, kept as long as they fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(eq=False)
class Cache:
    """Arrays of records by number, of at most `limit` bytes.

    What came first stays. Every epoch asks for every record once, and a cache that let go of the
    least recently used would then lose each one shortly before it is wanted.

    Examples
    --------
    >>> import numpy as np
    >>> cache = Cache(limit=20)
    >>> for record in (3, 4, 5):
    ...     cache.keep(record, {"x": np.zeros(2)})
    >>> list(cache.arrays), cache.bytes
    ([3], 16)
    """

    limit: int
    bytes: int = 0
    arrays: dict[int, Mapping[str, NDArray[Any]]] = field(default_factory=dict)

    def keep(self, record: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a copy of a record's arrays, if there is room for them."""
        size = sum(array.nbytes for array in arrays.values())
        if record not in self.arrays and self.bytes + size <= self.limit:
            self.arrays[record] = {name: array.copy() for name, array in arrays.items()}
            self.bytes += size
