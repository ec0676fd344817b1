"""The registry of the ways to share groups out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import polars as pl

from entense.errors import TableError
from entense.records.splitting.groups import Groups
from entense.records.splitting.names import problem_of
from entense.registry import Registry

Scheme = Callable[[Groups, Any, int], Sequence[str]]
"""From the groups, what `split` was given for fractions, and the seed, to the split of each."""

schemes: Registry[Scheme] = Registry("split scheme")


def register_split(name: str, scheme: Scheme) -> Scheme:
    """Make a way to share groups out known to ``split(scheme=name)``.

    Parameters
    ----------
    name
        What it is to be called.
    scheme
        Takes the `Groups`, what `split` was given for its fractions (anything that the scheme
        understands) and the seed; returns the name of the split of each group, in their order. It
        sees groups and no records, so that it cannot part one. Let it draw by
        ``groups.ranks(seed)``, to give the same on any machine.

    Returns
    -------
    callable
        The same scheme.

    Raises
    ------
    EntenseError
        The name is taken.

    Examples
    --------
    >>> import entense as et
    >>> def large(groups, least, seed):
    ...     return ["train" if n >= least else "test" for n in groups.records]
    >>> _ = register_split("large", large)
    >>> df = pl.DataFrame({"subject": ["01", "02", "01"]})
    >>> et.split(df, 2, scheme="large")["split"].to_list()
    ['train', 'test', 'train']
    """
    return schemes.add(name, scheme)


def dealt(scheme: str, groups: Groups, given: object, seed: int) -> pl.Series:
    """Apply a scheme, and see that each group got the name of a split that can be written."""
    if not isinstance(seed, Integral) or isinstance(seed, bool):
        raise TableError(f"seed={seed!r} is no whole number; give one, such as 0")
    names = list(schemes[scheme](groups, given, int(seed)))
    if len(names) != len(groups) or not all(isinstance(name, str) for name in names):
        raise TableError(
            f"the split scheme {scheme!r} must return a name for each of {len(groups)} groups, not "
            f"{names!r:.100}"
        )
    if problem := problem_of(names):
        raise TableError(problem)
    return pl.Series("split", names, pl.String)
