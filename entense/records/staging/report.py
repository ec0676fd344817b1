"""What a call of `stage` would find, role by role."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from entense.index.entities import IDENTIFYING
from entense.records.identity import record_name
from entense.records.staging.elsewhere import strays
from entense.records.staging.matching import ROW, match
from entense.records.staging.queries import nothing_matches
from entense.records.staging.roles import HEMISPHERES, Role, Wanted, file_table, read_roles

if TYPE_CHECKING:
    from collections.abc import Mapping

_COUNTS = ("files", "filled", "missing", "ambiguous")
_SCHEMA = {
    "role": pl.String,
    **dict.fromkeys(_COUNTS, pl.Int64),
    "missing_for": pl.String,
    "ambiguous_for": pl.String,
    "elsewhere_for": pl.String,
}
_SHOWN = 5  # groups and names in a text


def explain_stage(
    frame: pl.DataFrame | pl.LazyFrame, /, **roles: Mapping[str, object] | Role
) -> pl.DataFrame:
    """Count, role by role, the records that `stage` fills, and say which it does not.

    What would stop `stage`, a role that no file matches or files that fit equally well, is
    counted here.

    Parameters
    ----------
    frame
        A file table, as `scan` makes it.
    **roles
        The roles, as for `stage`.

    Returns
    -------
    DataFrame
        A row a role: ``role``, ``files`` (that its query matches); of the records, how many are
        ``filled``, ``missing`` (a hemisphere, too) and ``ambiguous`` (several files fit one place
        equally well), which together are all records; and for which: ``missing_for``,
        ``ambiguous_for``, null where there are none. ``elsewhere_for`` says which of the filled
        have a file of another datatype than the others (``sub-02: anat, not func``).

    Raises
    ------
    TableError
        A query names no column, or a role is not described as it should be.

    Examples
    --------
    >>> from entense.index.entities import FILE_SCHEMA
    >>> files = pl.DataFrame({"path": ["/sub-01_bold.nii", "/sub-02_bold.nii", "/sub-01_mask.nii"],
    ...                       "suffix": ["bold", "bold", "mask"], "subject": ["01", "02", "01"]})
    >>> files = files.with_columns(
    ...     pl.lit(None, kind).alias(c) for c, kind in FILE_SCHEMA.items() if c not in files.columns
    ... ).with_columns(dataset=pl.lit("mine"))
    >>> report = explain_stage(files, bold={"suffix": "bold"}, mask={"suffix": "mask"})
    >>> report.select("role", "filled", "missing", "missing_for").rows()
    [('bold', 2, 0, None), ('mask', 1, 1, 'sub-02')]
    """
    files = file_table(frame)
    wanted = read_roles(files, roles)
    records, filled = match(wanted)
    found = zip(wanted, filled, strays(wanted, filled), strict=True)
    rows = [_row(*one, records) for one in found]
    for row, one in zip(rows, wanted, strict=True):
        if one.files.is_empty():
            row["missing_for"] = str(nothing_matches(one.name, one.query, files))
    return pl.DataFrame(rows, _SCHEMA)


def _row(
    role: Wanted, pairs: pl.DataFrame, odd: pl.DataFrame, records: pl.DataFrame
) -> dict[str, object]:
    places = pairs.with_columns(hemi=role.files["hemi"].gather(pairs["_file"])).group_by(ROW)
    state = places.agg(tied=pl.col("tied").any(), places=pl.col("hemi").n_unique())
    needed = len(HEMISPHERES) if role.paired else 1
    ambiguous = records.join(state.filter("tied"), on=ROW, how="semi")
    filled = state.filter(~pl.col("tied"), pl.col("places") >= needed)
    missing = records.join(pl.concat([state.filter("tied"), filled]), on=ROW, how="anti")
    return {
        "role": role.name,
        "files": len(role.files),
        "filled": len(filled),
        "missing": len(missing),
        "ambiguous": len(ambiguous),
        "missing_for": _for_which(missing, records),
        "ambiguous_for": _for_which(ambiguous, records),
        "elsewhere_for": _elsewhere(odd, records),
    }


def _elsewhere(odd: pl.DataFrame, records: pl.DataFrame) -> str | None:
    """Say which records they are, by what their file is and what those of the others are."""
    said = []
    for (found, usual), some in odd.group_by("found", "usual", maintain_order=True):
        which = records.join(some, on=ROW, how="semi")
        said.append(f"{_for_which(which, records)}: {found}, not {usual}")
    return "; ".join(said) or None


def _for_which(some: pl.DataFrame, records: pl.DataFrame) -> str | None:
    """Say which records they are: whole groups, then large parts of groups, then names."""
    if some.is_empty():
        return None
    if 1 < len(some) == len(records):
        return f"all {len(records)} records"
    said: list[str] = []
    rest = some
    while len(said) < _SHOWN and (group := _telling(rest, some, records)):
        said.append(group.said)
        rest = rest.filter(~pl.col(group.entity).eq_missing(pl.lit(group.label)))
    several = [] if records["dataset"].n_unique() > 1 else ["dataset"]
    name = record_name(rest.drop(several).schema)
    names = rest.select(name).to_series().head(_SHOWN - len(said))
    more = [f"and {len(rest) - len(names)} more"] if len(rest) > len(names) else []
    return "; ".join([*said, *names, *more])


class _Group(NamedTuple):
    entity: str
    label: str | None
    rest: int  # records of this label that nothing was said of yet
    part: int
    whole: int

    @property
    def said(self) -> str:
        name = f"{self.entity} {self.label or '(absent)'}"
        return name if self.part == self.whole else f"{name}: {self.part} of {self.whole}"


def _telling(rest: pl.DataFrame, some: pl.DataFrame, records: pl.DataFrame) -> _Group | None:
    """Find the group of records that says most: all of a label's, else the largest part."""
    entities = [name for name in IDENTIFYING if records[name].n_unique() > 1]
    groups = [group for name in entities for group in _groups(name, rest, some, records)]
    if len(rest) <= _SHOWN:  # whose names say more than parts of groups do
        groups = [group for group in groups if group.part == group.whole]
    return max(groups, key=lambda group: (group.part == group.whole, group.rest), default=None)


def _groups(name: str, rest: pl.DataFrame, *others: pl.DataFrame) -> list[_Group]:
    """Count the records of each label; one alone is no group."""
    counts = rest.group_by(name).len().filter(pl.col("len") > 1)
    for i, records in enumerate(others):
        size = records.group_by(name).len(f"len{i}")
        counts = counts.join(size, on=name, nulls_equal=True)
    return [_Group(name, *row) for row in counts.sort(name).rows()]
