"""From files to records: a row a data instance, a column a role."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.errors import TableError
from entense.index.entities import ENTITIES, FILE_SCHEMA, IDENTIFYING, NUMBERED
from entense.records.staging.elsewhere import strays, warn_of_strays
from entense.records.staging.facts import repetition_time
from entense.records.staging.matching import ROW, match
from entense.records.staging.queries import nothing_matches
from entense.records.staging.roles import HEMISPHERES, Role, Wanted, file_table, read_roles
from entense.records.staging.sidecars import json_files, sidecars

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG = logging.getLogger("entense")


def stage(
    frame: pl.DataFrame | pl.LazyFrame, /, **roles: Mapping[str, object] | Role
) -> pl.LazyFrame:
    """Group the files of a file table into records.

    The first role is the anchor: each file that it matches is a record. A file fills another role
    of a record when it contradicts none of the record's identifying entities, bar those that the
    role's query names; ``run`` and ``echo`` compare as numbers. Of several, the one that shares
    most identifying entities wins, ``func`` before others; where a role has files of one datatype
    for some records and of another for the rest, a warning to the logger ``entense`` counts them.
    JSON files are candidates only when a query asks for an extension; a ``.nii`` and ``.nii.gz``
    pair counts once.

    Where the files that match are of both hemispheres, and `hemi` is not in the query or is
    ``["L", "R"]``, the two are one role, a struct with the fields ``L`` and ``R``.

    Parameters
    ----------
    frame
        A file table, as `scan` makes it.
    **roles
        Name of a role -> its query, ``{column: value}``, or what `role` makes of one; a list of
        values means any of them, None means absent. A query may name an entity that BIDS does not
        know.

    Returns
    -------
    LazyFrame
        Sorted; columns ``dataset``, the identifying entities, and for each role R: ``R``, its path
        (String; Struct of two for hemispheres, List for many; null where a record lacks it),
        ``R_sidecar`` (List(String), the JSON files that speak of it by BIDS inheritance, nearest
        first; null where there are none), where its files are BOLD ``R_tr`` (Float64, seconds:
        null where no sidecar has it, NaN where one cannot be read), which is read from disk only
        when the column is used, and where it is optional ``R_found`` (Boolean).

    Raises
    ------
    TableError
        A query names no column, a role matches nothing, two files fill one role equally well, or
        two anchor files are one record.

    See Also
    --------
    explain_stage : what each role lacks, without raising.

    Examples
    --------
    >>> from entense.index.entities import FILE_SCHEMA
    >>> names = ["/sub-01_bold.nii.gz", "/sub-01_desc-confounds_timeseries.tsv"]
    >>> files = pl.DataFrame({"path": names, "suffix": ["bold", "timeseries"], "subject": "01"})
    >>> files = files.with_columns(
    ...     pl.lit(None, kind).alias(c) for c, kind in FILE_SCHEMA.items() if c not in files.columns
    ... ).with_columns(dataset=pl.lit("mine"))
    >>> records = stage(files, bold={"suffix": "bold"}, confounds={"suffix": "timeseries"})
    >>> records.select("subject", "bold", "confounds").collect().row(0)
    ('01', '/sub-01_bold.nii.gz', '/sub-01_desc-confounds_timeseries.tsv')
    """
    files = file_table(frame)
    wanted = read_roles(files, roles)
    for one in wanted:
        if one.files.is_empty() and not one.role.optional:
            raise nothing_matches(one.name, one.query, files)
    records, filled = match(wanted)
    for one, pairs, odd in zip(wanted, filled, strays(wanted, filled), strict=True):
        _check_ties(one, pairs, anchor=one is wanted[0])
        _say_spaces(one, pairs, records)
        warn_of_strays(one, odd, records)
    jsons = json_files(files)
    for one, pairs in zip(wanted, filled, strict=True):
        for column in (_paths(one, pairs), _sidecars(one, pairs, jsons)):
            records = records.join(column, on=ROW, how="left", maintain_order="left")
    made = [expression for one in wanted for expression in _made(one)]
    columns = [column for one in wanted for column in one.columns]
    return records.lazy().with_columns(made).select("dataset", *IDENTIFYING, *columns)


def _paths(role: Wanted, pairs: pl.DataFrame) -> pl.DataFrame:
    files = pairs.sort(ROW, "_file")
    place = role.files.select(pl.col("path", "hemi").gather(files["_file"]))
    found = files.select(ROW).with_columns(place)
    if role.paired:
        path = pl.col("path")
        sides = [path.filter(pl.col("hemi") == side).first().alias(side) for side in HEMISPHERES]
        return found.group_by(ROW).agg(pl.struct(sides).alias(role.name))
    if role.role.many:
        return found.group_by(ROW, maintain_order=True).agg(pl.col("path").alias(role.name))
    return found.select(ROW, pl.col("path").alias(role.name))


def _sidecars(role: Wanted, pairs: pl.DataFrame, jsons: pl.DataFrame) -> pl.DataFrame:
    return sidecars(pairs, role.files, jsons).rename({"sidecar": role.sidecar})


def _made(role: Wanted) -> list[pl.Expr]:
    seconds = [repetition_time(role.sidecar).alias(role.tr)] if role.timed else []
    files = pl.col(role.name)
    parts = [files.struct.field(side) for side in HEMISPHERES] if role.paired else [files]
    there = pl.all_horizontal(part.is_not_null() for part in parts).alias(role.found)
    return [*seconds, *([there] if role.role.optional else [])]


def _check_ties(role: Wanted, pairs: pl.DataFrame, *, anchor: bool) -> None:
    ties = pairs.filter("tied")
    if ties.is_empty():
        return
    numbers = ties.filter(pl.col(ROW) == ties[ROW].min())["_file"]
    tied = role.files.filter(pl.col("_file").is_in(numbers.implode())).sort(*role.slot, "path")
    first, second = tied.head(2).drop("_file").to_dicts()
    what = (
        f"are one record of {role.name!r}"
        if anchor
        else f"fill the role {role.name!r} equally well"
    )
    raise TableError(
        f"the files {first['path']} and {second['path']} {what}: "
        + _remedy(role, first, second, anchor=anchor)
    )


def _say_spaces(role: Wanted, pairs: pl.DataFrame, records: pl.DataFrame) -> None:
    """Warn where a record's name tells no space and the file of a role tells one."""
    if "space" not in role.binding or role.files["space"].null_count() == len(role.files):
        return
    files = role.files.select("_file", "space", "datatype")
    unnamed = records.filter(pl.col("space").is_null()).select(ROW)
    odd = pairs.join(unnamed, on=ROW, how="semi").join(files, on="_file")
    odd = odd.filter(pl.col("space").is_not_null(), datatype="func")
    if len(odd):
        _LOG.warning(
            "%d records tell no space, and their %r is in %s: query one space for both, or "
            '"space": None for the run\'s own',
            *(odd[ROW].n_unique(), role.name, ", ".join(odd["space"].unique().sort())),
        )


def _remedy(
    role: Wanted, first: Mapping[str, object], second: Mapping[str, object], *, anchor: bool
) -> str:
    differing = _difference(first, second)
    if differing is None:
        return (
            "their names mean the same; leave one out before stage: "
            f'.filter(pl.col("path") != "{second["path"]}")'
        )
    name, ours, theirs = differing
    both = ', or both with "hemi": ["L", "R"]' if name == "hemi" else ""
    more = "" if anchor else ", or take all that match with et.role(…, many=True)"
    return (
        f"say which {name!r} the query of {role.name!r} means, {ours!r} or {theirs!r}{both}{more}"
    )


def _difference(
    first: Mapping[str, object], second: Mapping[str, object]
) -> tuple[str, object, object] | None:
    ours, theirs = _words(first), _words(second)
    unknown = sorted((ours.keys() | theirs.keys()) - FILE_SCHEMA.keys())
    for name in (*ENTITIES, *unknown, "suffix", "extension", "datatype"):
        if not _same(name, ours.get(name), theirs.get(name)):
            return name, ours.get(name), theirs.get(name)
    return None


def _words(file: Mapping[str, Any]) -> dict[str, object]:
    return dict(file) | {one["key"]: one["value"] for one in file["others"] or ()}


def _same(name: str, ours: object, theirs: object) -> bool:
    if name in NUMBERED:
        return str(ours).lstrip("0") == str(theirs).lstrip("0")
    return ours == theirs
