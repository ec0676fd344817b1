"""Files that fill a role from another datatype than it has for the other records."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import polars as pl

from entense.records.identity import record_name
from entense.records.staging.matching import ROW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entense.records.staging.roles import Wanted

_LOG = logging.getLogger("entense")


def strays(wanted: Sequence[Wanted], filled: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """Find the records for which a role's file does not come from where it does for the others.

    That is the datatype of the record's own file (the anchor's) where any alike has it there, and
    else the most frequent one. A role that takes many files, or asks for a datatype, has none; nor
    does a file without a datatype count, as one at the top of a dataset that speaks for many.

    Parameters
    ----------
    wanted
        The roles; the first is the anchor.
    filled
        For each its pairs, as `match` makes them.

    Returns
    -------
    list of DataFrame
        For each role: ``_row``, ``found`` and ``usual`` (String, the datatypes).

    Examples
    --------
    >>> from entense.index.entities import FILE_SCHEMA
    >>> from entense.records.staging.matching import match
    >>> from entense.records.staging.roles import read_roles
    >>> wanted = read_roles(pl.DataFrame(schema=FILE_SCHEMA), {"bold": {}})
    >>> strays(wanted, match(wanted)[1])[0].columns
    ['_row', 'found', 'usual']
    """
    sources = [_sources(*one) for one in zip(wanted, filled, strict=True)]
    own = sources[0].rename({"found": "own"}).unique(ROW)
    return [_strays(*one, own) for one in zip(wanted, sources, strict=True)]


def warn_of_strays(role: Wanted, some: pl.DataFrame, records: pl.DataFrame) -> None:
    """Count the records whose file is a stray, name one, and say how to have none instead."""
    if some.is_empty():
        return
    odd = records.drop("dataset").join(some, on=ROW, maintain_order="left")
    first = odd.select("found", "usual", record=record_name(odd.schema)).row(0, named=True)
    _LOG.warning(
        "%d of %d records fill the role %r from elsewhere than the others (%s: %s, not %s): "
        'say "datatype": "%s" in its query, and it is missing there',
        *(odd[ROW].n_unique(), len(records), role.name),
        *(first["record"], first["found"], first["usual"], first["usual"]),
    )


def _sources(role: Wanted, pairs: pl.DataFrame) -> pl.DataFrame:
    found = role.files["datatype"].gather(pairs["_file"])
    return pairs.select(ROW, found=found).unique(maintain_order=True)


def _strays(role: Wanted, sources: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    if role.role.many or "datatype" in role.query:
        sources = sources.clear()
    found, theirs = pl.col("found"), pl.col("own")
    is_own = (found == theirs).any().over("own")
    usual = pl.when(is_own).then("own").otherwise(found.mode().min().over("own"))
    told = sources.drop_nulls("found").join(own, on=ROW, maintain_order="left")
    return told.select(ROW, "found", usual=usual).filter(found != pl.col("usual"))
