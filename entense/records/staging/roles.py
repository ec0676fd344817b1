"""What a role asks for, and the files that answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError, hint
from entense.index.entities import FILE_SCHEMA, IDENTIFYING, NUMBERED
from entense.records.staging.queries import (
    Query,
    candidates,
    number,
    other_names,
    read_query,
    with_others,
    without_twins,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOG = logging.getLogger("entense")
HEMISPHERES = ("L", "R")


@dataclass(frozen=True)
class Role:
    """A role of `stage` that asks for more than a query can say: what `role` makes."""

    query: Mapping[str, object]
    many: bool = False
    optional: bool = False
    on: tuple[str, ...] | None = None


def role(
    query: Mapping[str, object],
    *,
    many: bool = False,
    optional: bool = False,
    on: str | Sequence[str] | None = None,
) -> Role:
    """Describe a role of `stage` that takes several files, may be lacking, or matches loosely.

    Parameters
    ----------
    query
        ``{column: value}``; a list of values means any of them, None means absent.
    many
        Take all files that match a record, as a sorted list, instead of the best one.
    optional
        The role may match no file at all; `drop_incomplete` does not ask for it, and the column
        ``R_found`` says where it is filled.
    on
        The identifying entities in which a file and a record must agree, whatever the others say:
        ``"subject"`` for the anatomical image of another session. All by default.

    Raises
    ------
    TableError
        `on` names what is no identifying entity.

    Examples
    --------
    >>> role({"suffix": "T1w", "desc": "preproc"}, on="subject").on
    ('subject',)
    """
    names = (on,) if isinstance(on, str) else on if on is None else tuple(on)
    for name in names or ():
        if name not in IDENTIFYING:
            raise TableError(
                f"a role cannot match on {name!r}: it identifies no record; "
                f"{hint(name, IDENTIFYING)}"
            )
    return Role(query, many, optional, names)


@dataclass(frozen=True)
class Wanted:
    """A role as it was read: its name, its query in one form, and the files that match it.

    `files` has a column ``_file`` that numbers them.
    """

    name: str
    role: Role
    query: Query
    files: pl.DataFrame
    paired: bool  # its files are hemispheres: two fill a record
    twins: int  # files that were left aside for their .nii

    @property
    def matched(self) -> list[str]:
        """The entities in which files and records are compared."""
        return list(IDENTIFYING if self.role.on is None else self.role.on)

    @property
    def binding(self) -> list[str]:
        """Those in which a file may not contradict its record."""
        return [name for name in self.matched if name not in self.query]

    @property
    def slot(self) -> list[str]:
        """The columns that tell apart the places that a record has for files of this role."""
        return ["hemi"] if self.paired else []

    @property
    def timed(self) -> bool:
        """Whether its files have a repetition time."""
        if self.files.is_empty():
            return "bold" in self.query.get("suffix", [])
        return "bold" in self.files["suffix"]

    @property
    def columns(self) -> list[str]:
        """The columns of the record table that are the role's."""
        found = [self.found] if self.role.optional else []
        return [self.name, self.sidecar, *([self.tr] if self.timed else []), *found]

    @property
    def sidecar(self) -> str:
        """The column of its JSON files."""
        return f"{self.name}_sidecar"

    @property
    def tr(self) -> str:
        """The column of its repetition time."""
        return f"{self.name}_tr"

    @property
    def found(self) -> str:
        """The column that says whether an optional role is filled."""
        return f"{self.name}_found"


def file_table(frame: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """Collect a file table, checked.

    Raises
    ------
    TableError
        It lacks columns.

    Examples
    --------
    >>> file_table(pl.DataFrame(schema=FILE_SCHEMA)).height
    0
    """
    files = frame.lazy().collect()
    missing = [name for name in FILE_SCHEMA if name not in files.columns]
    if missing:
        raise TableError(
            f"stage needs a table of files, as scan makes it; this one has no {', '.join(missing)}"
        )
    return files


def read_roles(
    files: pl.DataFrame, roles: Mapping[str, Mapping[str, object] | Role]
) -> list[Wanted]:
    """Find the files of each role; there may be none.

    Raises
    ------
    TableError
        There is no role, one is not described as it should be, or two would make one column.

    Examples
    --------
    >>> read_roles(pl.DataFrame(schema=FILE_SCHEMA), {"bold": {"suffix": "bold"}})[0].columns
    ['bold', 'bold_sidecar', 'bold_tr']
    """
    if not roles:
        raise TableError('stage needs a role, such as stage(bold={"suffix": "bold"})')
    described = {name: _described(name, value) for name, value in roles.items()}
    _check_anchor(*next(iter(described.items())))
    wider = with_others(files, (column for one in described.values() for column in one.query))
    # what speaks for many subjects (/task-rest_events.tsv) is no record beside what is of one
    anchored = wider.filter(pl.col("subject").is_not_null())
    first, *others = [_wanted(name, one, wider) for name, one in described.items()]
    own = _wanted(first.name, first.role, anchored) if len(anchored) else first
    wanted = [first if own.files.is_empty() else own, *others]
    _check_names(wanted)
    _say_twins(wanted)
    return wanted


def _described(name: str, value: object) -> Role:
    described = value if isinstance(value, Role) else role(value)  # type: ignore[arg-type]
    if not isinstance(described.query, Mapping):
        raise TableError(
            f'the role {name!r} needs a query such as {{"suffix": "bold"}}, not {described.query!r}'
        )
    return described


def _check_anchor(name: str, anchor: Role) -> None:
    if anchor != Role(anchor.query):
        raise TableError(
            f"the first role, {name!r}, makes the records, a file a record: it cannot be many or "
            "optional, nor match on anything; put another role first"
        )


def _wanted(name: str, described: Role, files: pl.DataFrame) -> Wanted:
    unknown = set(described.query) - set(files.columns)
    columns = [*files.columns, *(other_names(files) if unknown else ())]
    query = read_query(name, described.query, columns)
    found = candidates(files, query)
    kept = in_order(without_twins(found)).with_row_index("_file")
    paired = not described.many and _are_hemispheres(query, kept)
    return Wanted(name, described, query, kept, paired, len(found) - len(kept))


def _are_hemispheres(query: Query, files: pl.DataFrame) -> bool:
    sides = query.get("hemi", files["hemi"].unique().to_list())
    return sorted(map(str, sides)) == list(HEMISPHERES)


def in_order(files: pl.DataFrame) -> pl.DataFrame:
    """Sort files as people count: by dataset and identifying entities, then by path.

    Examples
    --------
    >>> from entense.index.entities import FILE_SCHEMA
    >>> files = pl.DataFrame({"path": ["/run-10", "/run-9"], "run": ["10", "9"]})
    >>> files = files.with_columns(
    ...     pl.lit(None, kind).alias(c) for c, kind in FILE_SCHEMA.items() if c not in files.columns
    ... )
    >>> in_order(files)["path"].to_list()
    ['/run-9', '/run-10']
    """
    names = [name for name in ("dataset", *IDENTIFYING) if files[name].n_unique() > 1]
    return files.sort(*(key for name in names for key in _order(name)), "path")


def _order(name: str) -> list[pl.Expr]:
    label = number(name, pl.col(name))
    return [label.cast(pl.Int64, strict=False), label] if name in NUMBERED else [label]


def _check_names(wanted: Sequence[Wanted]) -> None:
    taken = {"dataset", *IDENTIFYING}
    for one in wanted:
        if clash := taken.intersection(one.columns):
            raise TableError(
                f"the role {one.name!r} would make a second column {min(clash)!r}: rename it"
            )
        taken.update(one.columns)


def _say_twins(wanted: Sequence[Wanted]) -> None:
    twins = {one.name: one.twins for one in wanted if one.twins}
    if twins:
        each = ", ".join(f"{name} {count}" for name, count in twins.items())
        _LOG.warning("files that are there as .nii and .nii.gz count once, as .nii: %s", each)
