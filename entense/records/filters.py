"""Which records are kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError, hint
from entense.index.entities import FILE_SCHEMA
from entense.records.frames import Frame, distinct, roles_of
from entense.records.staging.queries import read_query
from entense.records.tables.labels import label, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from polars._typing import PolarsDataType

_LOG = logging.getLogger("entense")
_NO_ENTITIES = {"path", "root", "others"}


def drop_incomplete(
    frame: Frame,
    *roles: str,
    by: str | Sequence[str] | None = None,
    over: Sequence[str] | Mapping[str, object] | None = None,
) -> Frame:
    """Drop the records that lack a file for a role, or whole groups of them.

    How many went, and which groups, is logged to ``entense`` as information.

    Parameters
    ----------
    frame
        A record table.
    *roles
        The roles that a record needs; by default all that are not optional. Of a role with several
        files none may be missing.
    by
        The columns whose values make a group, such as ``"subject"``: a group goes as a whole if
        one of its records lacks a file.
    over
        What a group must have: columns, such as ``["session", "task"]``, of which it needs every
        combination that there is in the table, or ``{"session": ["test", "retest"]}``.

    Raises
    ------
    TableError
        A name is not a role or a column, the table has no roles, no record has a value of `over`,
        or `over` comes without `by`.

    Examples
    --------
    >>> df = pl.DataFrame({"subject": ["01", "02", "02"], "session": ["a", "a", "b"],
    ...                    "bold": ["/1a.nii", "/2a.nii", "/2b.nii"], "bold_sidecar": None})
    >>> drop_incomplete(df, by="subject", over=["session"])["bold"].to_list()
    ['/2a.nii', '/2b.nii']
    """
    schema = frame.collect_schema()
    groups = [by] if isinstance(by, str) else list(by or [])
    wanted = [over] if isinstance(over, str) else over or []
    _check_columns(schema, groups, wanted)
    if "subject" in groups and "dataset" in schema and "dataset" not in groups:
        groups.insert(0, "dataset")  # 01 of another one is another subject
    files = (_has_file(pl.col(role), schema[role]) for role in _needed(schema, roles))
    kept = pl.all_horizontal(pl.lit(True), *files)
    if groups:
        kept = kept.all().over(groups)
    if wanted:
        kept &= _has_all(frame, groups, wanted)
    _log(frame, kept, groups)
    return frame.filter(kept)


def include(frame: Frame, **entities: object) -> Frame:
    """Keep the records that all of the given entities fit.

    Parameters
    ----------
    frame
        A record table.
    **entities
        Column -> a value, a list of values (any of them), or None (absent). ``sub-01`` is ``01``,
        and the run ``01`` is ``1``.

    Raises
    ------
    TableError
        A name is no entity, or no record has a value, or all that is asked for together.

    Examples
    --------
    >>> df = pl.DataFrame({"subject": ["01", "02", "02"], "run": ["01", "01", "02"]})
    >>> include(df, subject="sub-02", run=1).rows()
    [('02', '01')]
    """
    return frame.filter(_fits(frame, "include", entities))


def exclude(frame: Frame, **entities: object) -> Frame:
    """Drop the records that all of the given entities fit.

    Parameters
    ----------
    frame
        A record table.
    **entities
        As for `include`: of several, only records that fit each one go.

    Raises
    ------
    TableError
        A name is no entity, or no record has a value, or all that is asked for together.

    Examples
    --------
    >>> df = pl.DataFrame({"subject": ["01", "02", "02"], "run": ["01", "01", "02"]})
    >>> exclude(df, subject="02", run=2).rows()
    [('01', '01'), ('02', '01')]
    """
    return frame.filter(~_fits(frame, "exclude", entities))


def _fits(frame: Frame, step: str, entities: Mapping[str, object]) -> pl.Expr:
    if not entities:
        raise TableError(f'{step} needs an entity, such as {step}(task="rest")')
    query, there = _read(frame, step, entities)
    fits = _matches(query)
    if not there.is_empty() and there.filter(fits).is_empty() and all(map(len, query.values())):
        asked = ", ".join(f"{name} {listed(values)}" for name, values in query.items())
        raise TableError(f"{step}: no record has {asked} together; say one of them, or mend it")
    return fits


def _read(
    frame: Frame, step: str, entities: Mapping[str, object]
) -> tuple[dict[str, pl.Series], pl.DataFrame]:
    """Return the values that each entity may have, in one form, and those that there are."""
    known = [n for n in frame.collect_schema() if n in FILE_SCHEMA and n not in _NO_ENTITIES]
    for name in entities:
        if name not in known:
            raise TableError(
                f"{step} asks for {name!r}, which is no entity here; {hint(name, known)}"
            )
    query = {
        name: pl.DataFrame({name: values}, {name: pl.String}).select(label(name))[name]
        for name, values in read_query(step, entities, known).items()
    }
    there = distinct(frame, list(query)).select(label(name) for name in query)
    for name, values in query.items():
        unknown = values.filter(~values.is_in(there[name].implode(), nulls_equal=True))
        if len(unknown) and len(there):
            values_there = listed(there[name].unique().sort(nulls_last=True), most=12)
            raise TableError(
                f"{step}: no record has {name} {listed(unknown)}; there is: {values_there}"
            )
    return query, there


def _matches(query: Mapping[str, pl.Series]) -> pl.Expr:
    return pl.all_horizontal(
        label(name).is_in(values.implode(), nulls_equal=True) for name, values in query.items()
    )


def _check_columns(schema: pl.Schema, groups: Sequence[str], over: Iterable[str]) -> None:
    for name in (*groups, *over):
        if name not in schema:
            raise TableError(f"there is no column {name!r}; {hint(name, schema)}")
    if over and not groups:
        raise TableError('over=... asks what a group must have: say which, such as by="subject"')


def _needed(schema: pl.Schema, roles: Sequence[str]) -> list[str]:
    known = roles_of(schema)
    if not known:
        raise TableError("drop_incomplete needs a table of records, as stage makes it")
    for role in roles:
        if role not in known:
            raise TableError(f"there is no role {role!r}; {hint(role, known)}")
    return list(roles) or [role for role in known if f"{role}_found" not in schema]


def _has_file(files: pl.Expr, kind: PolarsDataType) -> pl.Expr:
    there = files.is_not_null()
    if isinstance(kind, pl.Struct):
        parts = (_has_file(files.struct.field(one.name), one.dtype) for one in kind.fields)
        return pl.all_horizontal(there, *parts)
    if isinstance(kind, pl.List):
        each = files.list.eval(_has_file(pl.element(), kind.inner)).list.all()
        return there & (files.list.len() > 0).fill_null(False) & each.fill_null(False)
    return there


def _has_all(
    frame: Frame, groups: Sequence[str], over: Sequence[str] | Mapping[str, object]
) -> pl.Expr:
    if not isinstance(over, Mapping):
        combination = pl.struct(label(name).alias(name) for name in over)
        return combination.n_unique().over(groups) == combination.n_unique()
    query, _ = _read(frame, "drop_incomplete", over)
    rows = product(*(values.to_list() for values in query.values()))
    wanted = (
        {name: pl.Series([one], dtype=pl.String) for name, one in zip(query, row, strict=True)}
        for row in rows
    )
    return pl.all_horizontal(pl.lit(True), *(_matches(one).any().over(groups) for one in wanted))


def _log(frame: Frame, kept: pl.Expr, groups: Sequence[str]) -> None:
    if not _LOG.isEnabledFor(logging.INFO):  # it computes the table
        return
    rows = frame.lazy().select(*groups, kept.alias("_kept")).collect()
    gone = rows.filter(~pl.col("_kept"))
    what = ""
    if groups and len(gone):
        names = gone.select(groups).unique(maintain_order=True)
        total = rows.select(groups).n_unique()
        shown = ["/".join(map(str, row)) for row in names.iter_rows()]
        what = f", {len(names)} of {total} groups ({', '.join(groups)} {listed(shown)})"
    _LOG.info("drop_incomplete: %d of %d records went%s", len(gone), len(rows), what)
