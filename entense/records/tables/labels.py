"""Labels and ids in one form, to compare them and to show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from entense.index.entities import ENTITIES
from entense.records.staging.queries import number

if TYPE_CHECKING:
    from collections.abc import Iterable


def label(name: str, column: pl.Expr | None = None) -> pl.Expr:
    """Bring labels to one form: text, without the prefix of file names; ``01`` is ``1`` for runs.

    Parameters
    ----------
    name
        The entity, or another column, which is only made text.
    column
        Where the labels are, by default in the column of that name.

    Examples
    --------
    >>> df = pl.DataFrame({"subject": "sub-01", "run": "01", "family": 3})
    >>> df.select(label(name) for name in df.columns).row(0)
    ('01', '1', '3')
    """
    text = (pl.col(name) if column is None else column).cast(pl.String)
    if name not in ENTITIES:
        return text
    return number(name, text.str.strip_prefix(f"{ENTITIES[name]}-"))


def counted(number: int, one: str, many: str) -> str:
    """Say how many there are of something, in the words for one or for many.

    Examples
    --------
    >>> counted(1, "group is", "groups are"), counted(2, "group is", "groups are")
    ('1 group is', '2 groups are')
    """
    return f"{number} {one if number == 1 else many}"


def listed(values: Iterable[object], most: int = 5) -> str:
    """Name the first few of some values.

    Examples
    --------
    >>> listed(range(9)), listed([]), listed(["a", None])
    ('0, 1, 2, 3, 4, …', 'none', 'a, (absent)')
    """
    shown = ["(absent)" if value is None else str(value) for value in values]
    return ", ".join(shown[:most] + ["…"] * (len(shown) > most)) or "none"
