"""The scheme ``random``: groups are shared out by chance, of each stratum its share."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from numbers import Real
from typing import TYPE_CHECKING, Any

from entense.errors import TableError
from entense.records.splitting.allot import allot
from entense.records.tables.labels import counted

if TYPE_CHECKING:
    from entense.records.splitting.groups import Groups


def by_shares(groups: Groups, fractions: Mapping[str, float | Fraction], seed: int) -> list[str]:
    """Deal the groups of each stratum in the order of their hashes."""
    shares = read_shares(fractions)
    if len(groups) < len(shares):
        raise TableError(
            f"{counted(len(groups), 'group', 'groups')} of {', '.join(groups.keys.columns)} "
            f"cannot make {len(shares)} splits: ask for fewer, or add data"
        )
    strata = _members(groups, seed)
    counts = allot([*map(len, strata.values())], [*shares.values()], [*strata])
    found: dict[int, str] = {}
    for members, row in zip(strata.values(), counts.tolist(), strict=True):
        names = [name for name, n in zip(shares, row, strict=True) for _ in range(n)]
        found |= dict(zip(members, names, strict=True))
    return [found[group] for group in range(len(groups))]


def read_shares(fractions: Any) -> dict[str, Fraction]:
    """Return what each split is to get, as what was meant by a number that binary cannot write.

    Raises
    ------
    TableError
        They are not positive, do not sum to 1, or are no mapping of numbers.

    Examples
    --------
    >>> read_shares({"train": 0.7, "test": 0.3})
    {'train': Fraction(7, 10), 'test': Fraction(3, 10)}
    """
    if not isinstance(fractions, Mapping) or not are_numbers(fractions):
        raise TableError(f'fractions are due, {{"train": 0.8, "test": 0.2}}, not {fractions!r}')
    if offence := _offence(fractions):
        raise TableError(
            f"the fractions {dict(fractions)} must be positive and sum to 1, {offence}"
        )
    shares = {str(name): _exact(share) for name, share in fractions.items()}
    return {name: share / sum(shares.values()) for name, share in shares.items()}


def _offence(fractions: Mapping[str, Any]) -> str | None:
    if not fractions:
        return "and there are none"
    for name, share in fractions.items():
        if not share > 0:  # NaN, too
            return f"and {name!r} is {share}"
    total = sum(fractions.values())
    return None if abs(total - 1) <= 1e-9 else f"not {float(total):g}"


def _exact(share: Any) -> Fraction:
    exact = share if isinstance(share, Fraction) else Fraction(float(share))
    return exact.limit_denominator(10**9)


def are_numbers(fractions: Mapping[str, Any]) -> bool:
    """Whether a mapping is one of fractions, and not of lists."""
    return all(isinstance(share, Real) for share in fractions.values())


def _members(groups: Groups, seed: int) -> dict[tuple[str, ...], list[int]]:
    """Return the groups of each stratum, shuffled, as the strata are."""
    ranks, strata = groups.ranks(seed), groups.strata(seed)
    members: dict[tuple[str, ...], list[int]] = {stratum: [] for stratum in sorted(strata)}
    for group in sorted(range(len(groups)), key=ranks.__getitem__):
        members[strata[group]].append(group)
    return members
