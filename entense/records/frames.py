"""What the steps on frames share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
"""A function of frames returns the kind that it was given."""


def roles_of(schema: pl.Schema) -> list[str]:
    """Name the roles of a record table: the columns that have a sidecar column beside them.

    Examples
    --------
    >>> roles_of(pl.Schema({"subject": pl.String, "bold": pl.String, "bold_sidecar": pl.String}))
    ['bold']
    """
    return [name for name in schema if f"{name}_sidecar" in schema]


def distinct(frame: pl.DataFrame | pl.LazyFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Collect the distinct rows of some columns, and nothing else of the frame.

    Examples
    --------
    >>> distinct(pl.DataFrame({"a": [1, 1], "b": [2, 3]}), ["a"]).rows()
    [(1,)]
    """
    return frame.lazy().select(columns).unique(maintain_order=True).collect()


def attach(frame: Frame, table: pl.DataFrame, on: Sequence[str]) -> Frame:
    """Join a collected table to each row of a frame, which keeps its order and its kind.

    Examples
    --------
    >>> attach(pl.DataFrame({"a": [2, 1]}), pl.DataFrame({"a": [1], "b": [5]}), ["a"]).rows()
    [(2, None), (1, 5)]
    """
    if isinstance(frame, pl.DataFrame):
        return frame.join(table, on=on, how="left", maintain_order="left")
    return frame.join(table.lazy(), on=on, how="left", maintain_order="left")
