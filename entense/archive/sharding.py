"""Which records share a shard: by size or number, groups kept together, shuffled by a seed."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from operator import ne
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

from entense.archive.schema import digest_of
from entense.errors import ArchiveError, hint
from entense.registry import Registry, code_of
from entense.sizes import bytes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True)
class Limits:
    """How many bytes and records a shard may have; None where there is no limit."""

    bytes: int | None = None
    records: int | None = None

    def allow(self, size: int, count: int) -> bool:
        """Whether a shard may hold `count` records of `size` bytes in all."""
        fits = self.bytes is None or size <= self.bytes
        return fits and (self.records is None or count <= self.records)


Scheme: TypeAlias = "Callable[[Sequence[int], Sequence[int], Limits], Sequence[Sequence[int]]]"
ROW = "_row"
schemes: Registry[Scheme] = Registry("sharding")


@dataclass(frozen=True)
class Sharding:
    """How `write` was asked to cut records into shards; what it must be asked again to resume."""

    limits: Limits
    by: tuple[str, ...]
    seed: int | None
    scheme: str

    @classmethod
    def of(
        cls,
        size: str | float | None,
        records: int | None,
        by: str | Sequence[str] | None,
        seed: int | None,
        scheme: str,
    ) -> Sharding:
        """Check what `write` was given."""
        for name, number, least in (("shard_records", records, 1), ("shuffle", seed, 0)):
            whole = isinstance(number, int) and not isinstance(number, bool)
            if number is not None and not (whole and number >= least):
                raise ArchiveError(f"{name}={number!r} is no whole number from {least}; give one")
        limit = None if size is None else bytes_of(size, "shard_size")
        keys = (by,) if isinstance(by, str) else tuple(by or ())
        schemes[scheme]
        return cls(Limits(limit, records), keys, seed, scheme)

    @property
    def said(self) -> dict[str, Any]:
        """What is said of it in the manifest."""
        limits = {"bytes": self.limits.bytes, "records": self.limits.records}
        return {**limits, "by": list(self.by), "seed": self.seed, "scheme": self.scheme}

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the scheme's code."""
        return digest_of(code_of(schemes[self.scheme]))

    def order(self, ids: pl.Series) -> Sequence[int]:
        """Return the rows in the order in which they are cut: the same, however they stood."""
        rows = range(len(ids))
        return rows if self.seed is None else sorted(rows, key=lambda row: self._rank(ids[row]))

    def cut(
        self, rows: Sequence[int], sizes: Sequence[int], groups: Sequence[int]
    ) -> list[tuple[int, ...]]:
        """Cut the rows of a split into shards; `sizes` and `groups` are of all rows."""
        held = [groups[row] for row in rows]
        parts = schemes[self.scheme]([sizes[row] for row in rows], held, self.limits)
        self._check(parts, held)
        return [tuple(rows[place] for place in part) for part in parts]

    def _rank(self, record: str) -> bytes:
        return hashlib.sha256(json.dumps([self.seed, record]).encode()).digest()

    def _check(self, parts: Sequence[Sequence[int]], groups: Sequence[int]) -> None:
        """Raise unless every record is in one part, and every group too."""
        places = sorted(place for part in parts for place in part)
        if len(places) != len(groups) or any(map(ne, places, range(len(groups)))):
            raise ArchiveError(
                f"the sharding {self.scheme!r} does not put each record into exactly one shard; "
                "mend the function that was registered"
            )
        if sum(len({groups[place] for place in part}) for part in parts) > len(set(groups)):
            raise ArchiveError(
                f"the sharding {self.scheme!r} parts a group of {', '.join(self.by)}; "
                "mend the function that was registered"
            )


def register_sharding(name: str, function: Scheme) -> Scheme:
    """Make a way of cutting records into shards known to ``write(sharding=name)``.

    Parameters
    ----------
    name
        It must not be taken.
    function
        ``function(sizes, groups, limits)`` returns the shards of a split, each the places of its
        records in order. `sizes` are the records' bytes, `groups` their groups' numbers
        (`shard_by`; without it each record is its own), both in the order of the records (by id,
        or shuffled). ``limits.bytes`` and ``limits.records`` are `shard_size` and
        `shard_records`, None where there is no limit. It must depend on these alone, and part no
        group.

    Returns
    -------
    Callable
        The same function.

    Raises
    ------
    EntenseError
        If a sharding of that name is registered.

    Examples
    --------
    >>> def single(sizes, groups, limits):
    ...     return [range(len(sizes))]
    >>> register_sharding("single", single)([5, 5], [0, 1], Limits())
    [range(0, 2)]
    """
    return schemes.add(name, function)


def shard_groups(table: pl.DataFrame, by: Sequence[str]) -> Sequence[int]:
    """Return the number of each row's group; every row is its own where `by` names no column.

    Examples
    --------
    >>> shard_groups(pl.DataFrame({"subject": ["b", "a", "b"]}), ["subject"])
    [0, 1, 0]
    """
    for name in by:
        if name not in table.columns:
            raise ArchiveError(
                f"shard_by= names {name!r}, which the table has not; {hint(name, table.columns)}"
            )
        if nulls := table[name].null_count():
            raise ArchiveError(
                f"{nulls} records have no {name!r} to be sharded by; fill them or drop them"
            )
    if not by:
        return range(len(table))
    rows = table.select(by).with_columns(pl.Series(ROW, range(len(table))))
    first: list[int] = rows.select(pl.col(ROW).min().over(by)).to_series().to_list()
    return first


def by_size(sizes: Sequence[int], groups: Sequence[int], limits: Limits) -> list[list[int]]:
    """Fill one shard after the other; what is larger than a shard has one of its own.

    Examples
    --------
    >>> by_size([4, 4, 4], [0, 1, 0], Limits(bytes=9))
    [[0, 2], [1]]
    """
    parts: list[list[int]] = []
    held = 0
    for unit in _units(groups):
        size = sum(sizes[place] for place in unit)
        if not parts or not limits.allow(held + size, len(parts[-1]) + len(unit)):
            parts.append([])
            held = 0
        parts[-1] += unit
        held += size
    return parts


def _units(groups: Sequence[int]) -> Iterable[list[int]]:
    """Return the places of each group, in the order of their first."""
    if len(set(groups)) == len(groups):
        return ([place] for place in range(len(groups)))  # a list of each at once takes its room
    units: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        units[group].append(place)
    return units.values()


register_sharding("size", by_size)
