"""Records of a higher level: a subject, a session, and the files of its runs in lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError, hint
from entense.index.entities import IDENTIFYING
from entense.records.frames import Frame, roles_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEVELS = {"subject": ("subject",), "session": ("subject", "session")}


def pivot(frame: Frame, level: str | Sequence[str]) -> Frame:
    """Make one record of all that share a subject, a session or other entities.

    Roles, what was read for them (``bold_tr``), and lazy tensors become lists, in the order of the
    rows. So do other columns whose values differ within a record; those that do not stay as they
    are. Lists go along in tensors, each operation applied to every item, until ``.concat()``,
    ``.stack()`` or ``.mean()`` makes one tensor of them.

    Parameters
    ----------
    frame
        A record table. Its columns other than roles and tensors are collected, to see which differ.
    level
        ``"subject"``, ``"session"`` (of a subject), or a list of columns. The column ``dataset``
        always tells records apart.

    Returns
    -------
    A row a record of the new level, in the order in which they come first.

    Raises
    ------
    TableError
        A column is not there, holds lists, or a record would be in two splits.

    Examples
    --------
    >>> df = pl.DataFrame({"subject": ["01", "01"], "run": ["1", "2"], "bold": ["/a", "/b"],
    ...                    "bold_sidecar": [None, None], "age": [31, 31]})
    >>> pivot(df, "subject").select("subject", "run", "bold", "age").row(0)
    ('01', ['1', '2'], ['/a', '/b'], 31)
    """
    schema = frame.collect_schema()
    keys: list[str] = _keys(level, schema)
    listed: list[str] = [name for name in schema if name not in keys and _goes_along(name, schema)]
    plain = [name for name in schema if name not in (*keys, *listed)]
    differ = _differing(frame, keys, plain)
    if "split" in differ:
        raise TableError(
            f"records of one {' and '.join(keys)} are in different splits: pivot first and split "
            "then, or split by the same columns"
        )
    columns = [pl.col(n).first() if n in plain and n not in differ else pl.col(n) for n in schema]
    grouped = frame.group_by(keys, maintain_order=True)
    return grouped.agg(c for n, c in zip(schema, columns, strict=True) if n not in keys)


def _keys(level: str | Sequence[str], schema: pl.Schema) -> list[str]:
    wanted = _LEVELS.get(level, (level,)) if isinstance(level, str) else tuple(level)
    for name in wanted:
        if name not in schema:
            raise TableError(f"there is no column {name!r} to pivot to; {hint(name, schema)}")
        if isinstance(schema[name], pl.List):
            raise TableError(f"the column {name!r} holds lists already: pivot once, to what is due")
    if not wanted:
        raise TableError('pivot needs a level, such as "subject"')
    return list(dict.fromkeys(("dataset", *wanted) if "dataset" in schema else wanted))


def _goes_along(name: str, schema: pl.Schema) -> bool:
    """Whether a column belongs to each file: a role, what was read for it, a lazy tensor."""
    roles = roles_of(schema)
    of_role = any(name == role or name.startswith(f"{role}_") for role in roles)
    return (of_role and name not in IDENTIFYING) or isinstance(schema[name], pl.BaseExtension)


def _differing(frame: Frame, keys: list[str], plain: list[str]) -> list[str]:
    """Return the columns that have more than one value within a record."""
    if not plain:
        return []
    counts = frame.lazy().group_by(keys).agg(pl.col(plain).n_unique())
    most = counts.select(pl.col(plain).max()).collect()
    return [name for name in plain if (most[name][0] or 0) > 1]
