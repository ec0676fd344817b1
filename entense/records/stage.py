"""From files to records: a row a data instance, a column a role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from entense.errors import TableError
from entense.index.entities import ENTITIES, FILE_SCHEMA, IDENTIFYING, NUMBERED
from entense.records.queries import Query, candidates, nothing_matches, number, read_query
from entense.records.sidecars import repetition_time, with_sidecars

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROW = "_row"


class _Role(NamedTuple):
    name: str
    query: Query
    files: pl.DataFrame

    @property
    def columns(self) -> list[str]:
        return [self.name, f"{self.name}_sidecar", *([self.tr] if self.timed else [])]

    @property
    def timed(self) -> bool:
        return "bold" in self.files["suffix"]

    @property
    def tr(self) -> str:
        return f"{self.name}_tr"


def stage(frame: pl.DataFrame | pl.LazyFrame, /, **roles: Mapping[str, object]) -> pl.LazyFrame:
    """Group the files of a file table into records.

    The first role is the anchor: each file that it matches is a record. A file fills another role
    of a record when it contradicts none of the record's identifying entities, bar those that the
    role's query names; ``run`` and ``echo`` compare as numbers. Of several, the one that shares
    most identifying entities wins, ``func`` before others. JSON files are candidates only when a
    query asks for an extension; a ``.nii`` and ``.nii.gz`` pair counts once.

    Parameters
    ----------
    frame
        A file table, as `scan` makes it.
    **roles
        Name of a role -> its query, ``{column: value}``; a list of values means any of them,
        None means absent.

    Returns
    -------
    LazyFrame
        Sorted; columns ``dataset``, the identifying entities, and for each role R: ``R`` (path,
        null where a record lacks it), ``R_sidecar`` (path of its JSON) and, where its files are
        BOLD, ``R_tr`` (Float64, seconds: null where the sidecar lacks it, NaN where it cannot be
        read), which is read from disk only when the column is used.

    Raises
    ------
    TableError
        A query names no column, a role matches nothing, two files fill one role equally well, or
        two anchor files are one record.

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
    files = with_sidecars(_file_table(frame))
    anchor, *others = _read_roles(files, roles)
    records = _records(anchor)
    for role in others:
        records = _fill(records, role)
    timed = [role for role in (anchor, *others) if role.timed]
    columns = [column for role in (anchor, *others) for column in role.columns]
    return (
        records.lazy()
        .with_columns(repetition_time(f"{role.name}_sidecar").alias(role.tr) for role in timed)
        .select("dataset", *IDENTIFYING, *columns)
    )


def _file_table(frame: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    files = frame.lazy().collect()
    missing = [name for name in FILE_SCHEMA if name not in files.columns]
    if missing:
        raise TableError(
            f"stage needs a table of files, as scan makes it; this one has no {', '.join(missing)}"
        )
    return files


def _read_roles(files: pl.DataFrame, roles: Mapping[str, Mapping[str, object]]) -> list[_Role]:
    if not roles:
        raise TableError('stage needs a role, such as stage(bold={"suffix": "bold"})')
    columns = [name for name in files.columns if name != "sidecar"]
    read = [_read_role(name, query, files, columns) for name, query in roles.items()]
    taken = ["dataset", *IDENTIFYING]
    for role in read:
        if clash := set(role.columns) & set(taken):
            raise TableError(
                f"the role {role.name!r} would make a second column {min(clash)!r}: rename it"
            )
        taken += role.columns
    return read


def _read_role(name: str, query: object, files: pl.DataFrame, columns: Sequence[str]) -> _Role:
    if not isinstance(query, Mapping):
        raise TableError(
            f'the role {name!r} needs a query such as {{"suffix": "bold"}}, not {query!r}'
        )
    labels = read_query(name, query, columns)
    found = candidates(files, labels)
    if found.is_empty():
        raise nothing_matches(name, labels, files)
    return _Role(name, labels, found)


def _records(anchor: _Role) -> pl.DataFrame:
    keys = ["dataset", *(number(name, pl.col(name)) for name in IDENTIFYING)]
    numbers = [pl.col(name).cast(pl.Int64, strict=False) for name in NUMBERED]
    order = ["dataset", *IDENTIFYING, "path"]
    files = anchor.files.with_columns(_key=pl.struct(keys)).sort(
        *(numbers[NUMBERED.index(name)] if name in NUMBERED else name for name in order), *order
    )
    same = files.filter(pl.col("_key").is_duplicated())
    if len(same):
        first, second = same.filter(pl.col("_key") == same["_key"].first()).head(2).to_dicts()
        raise TableError(
            f"the files {first['path']} and {second['path']} are one record of {anchor.name!r}: "
            + _remedy(anchor, first, second)
        )
    return files.select("dataset", *IDENTIFYING, *_paths(anchor)).with_row_index(_ROW)


def _paths(role: _Role) -> list[pl.Expr]:
    return [pl.col("path").alias(role.name), pl.col("sidecar").alias(f"{role.name}_sidecar")]


def _fill(records: pl.DataFrame, role: _Role) -> pl.DataFrame:
    """Add the role's file to each record, by a join on what all have and a test of the rest."""
    entities = [number(name, pl.col(name)) for name in IDENTIFYING]
    ours = records.select(_ROW, "dataset", *entities)
    theirs = role.files.select(
        "dataset", *entities, *_paths(role), "path", func=pl.col("datatype").eq_missing("func")
    )
    binding = [name for name in IDENTIFYING if name not in role.query]
    exact = [n for n in binding if not ours[n].null_count() + theirs[n].null_count()]
    loose = [name for name in IDENTIFYING if name not in exact]
    same = {name: pl.col(name) == pl.col(f"{name}_right") for name in loose}
    pairs = ours.join(theirs, on=["dataset", *exact]).filter(
        pl.lit(True), *(same[name].fill_null(True) for name in binding if name in same)
    )
    shared = pl.sum_horizontal(pl.lit(0), *(test.fill_null(False) for test in same.values()))
    score = 2 * shared + pl.col("func")
    best = pairs.with_columns(score=score).filter(
        pl.col("score") == pl.col("score").max().over(_ROW)
    )
    _check_ties(best, role)
    chosen = best.select(_ROW, role.name, f"{role.name}_sidecar")
    return records.join(chosen, on=_ROW, how="left", maintain_order="left")


def _check_ties(best: pl.DataFrame, role: _Role) -> None:
    ties = best.filter(pl.col(_ROW).is_duplicated()).sort(_ROW, "path")
    if ties.is_empty():
        return
    paths = ties.filter(pl.col(_ROW) == ties[_ROW].first())["path"].head(2)
    first, second = role.files.filter(pl.col("path").is_in(paths.implode())).sort("path").to_dicts()
    raise TableError(
        f"the files {first['path']} and {second['path']} fill the role {role.name!r} equally well: "
        + _remedy(role, first, second)
    )


def _remedy(role: _Role, first: Mapping[str, object], second: Mapping[str, object]) -> str:
    for name in (*ENTITIES, "suffix", "extension", "datatype"):
        ours, theirs = first[name], second[name]
        if not _same(name, ours, theirs):
            return f"say which {name!r} the query of {role.name!r} means, {ours!r} or {theirs!r}"
    return "their names mean the same, so scan only one of them"


def _same(name: str, ours: object, theirs: object) -> bool:
    if name in NUMBERED:
        return str(ours).lstrip("0") == str(theirs).lstrip("0")
    return ours == theirs
