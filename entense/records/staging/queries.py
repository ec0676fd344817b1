"""Which files a role's query asks for."""

from __future__ import annotations

from functools import reduce
from operator import and_, or_
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError, hint
from entense.index.entities import ENTITIES, NUMBERED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Query = dict[str, list[str | None]]  # column -> the values that it may have


def read_query(role: str, query: Mapping[str, object], columns: Iterable[str]) -> Query:
    """Bring a query to one form, lists of labels, and check its names.

    Parameters
    ----------
    role
        Whose query it is.
    query
        Column -> a value, a list of values (any of them), or None (absent).
    columns
        The columns that there are.

    Raises
    ------
    TableError
        It names a column that does not exist.

    Examples
    --------
    >>> read_query("bold", {"run": [1, 2], "desc": None}, ["run", "desc"])
    {'run': ['1', '2'], 'desc': [None]}
    """
    known = [name for name in columns if name not in ("path", "root", "others")]
    for name in query:
        if name not in known:
            raise TableError(
                f"the role {role!r} asks for {name!r}, which no file has; {hint(name, known)}"
            )
    return {name: _labels(name, value) for name, value in query.items()}


def _labels(name: str, value: object) -> list[str | None]:
    values = value if isinstance(value, list | tuple | set | frozenset) else [value]
    prefix = f"{ENTITIES[name]}-" if name in ENTITIES else ""
    return [None if one is None else str(one).removeprefix(prefix) for one in values]


def number(name: str, column: pl.Expr) -> pl.Expr:
    """Make the labels of a numbered entity comparable: ``01`` is ``1``.

    Examples
    --------
    >>> df = pl.DataFrame({"run": "01", "task": "01"})
    >>> df.select(number(name, pl.col(name)) for name in df.columns).row(0)
    ('1', '01')
    """
    return column.str.replace(r"^0+(\d)", "${1}") if name in NUMBERED else column


def with_others(files: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Make a column of each name that the map ``others`` has: an entity that BIDS does not know.

    Examples
    --------
    >>> files = pl.DataFrame({"path": ["/sub-01_foo-x_bold.nii", "/sub-01_bold.nii"],
    ...                       "others": [[{"key": "foo", "value": "x"}], None]})
    >>> with_others(files, ["foo"])["foo"].to_list()
    ['x', None]
    """
    asked = set(names) - set(files.columns)
    there = sorted(asked & set(other_names(files))) if asked else []
    return files.with_columns(_other(name).alias(name) for name in there)


def other_names(files: pl.DataFrame) -> list[str]:
    """Name the entities of a file table that BIDS does not know.

    Examples
    --------
    >>> other_names(pl.DataFrame({"others": [[{"key": "foo", "value": "x"}]]}))
    ['foo']
    """
    entries = files.select(pl.col("others").drop_nulls()).explode("others").drop_nulls()
    return entries["others"].struct.field("key").unique().sort().to_list()


def _other(name: str) -> pl.Expr:
    entry = pl.element().struct
    values = pl.element().filter(entry.field("key") == name).struct.field("value")
    return pl.col("others").list.eval(values).list.first()


def candidates(files: pl.DataFrame, query: Query) -> pl.DataFrame:
    """Keep the files that a query asks for, sidecars only if it asks for an extension.

    Examples
    --------
    >>> files = pl.DataFrame({"path": ["/a_bold.nii", "/a_bold.json"], "suffix": "bold",
    ...                       "extension": [".nii", ".json"]})
    >>> candidates(files, {"suffix": ["bold"]})["path"].to_list()
    ['/a_bold.nii']
    """
    sidecar = pl.col("extension").str.ends_with(".json")
    start = pl.lit(True) if "extension" in query else ~sidecar.fill_null(False)
    return files.filter(reduce(and_, (_any_of(*item) for item in query.items()), start))


def without_twins(files: pl.DataFrame) -> pl.DataFrame:
    """Of a ``.nii`` and a ``.nii.gz`` of one name keep the first, which need not be inflated.

    Examples
    --------
    >>> files = pl.DataFrame({"path": ["/a.nii", "/a.nii.gz", "/b.nii.gz"]})
    >>> without_twins(files)["path"].to_list()
    ['/a.nii', '/b.nii.gz']
    """
    plain = pl.col("path").str.strip_suffix(".gz")
    return files.filter((pl.col("path") == plain) | ~plain.is_in(files["path"].implode()))


def _any_of(name: str, values: list[str | None]) -> pl.Expr:
    column = number(name, pl.col(name))
    tests = [column.eq_missing(number(name, pl.lit(value, pl.String))) for value in values]
    return reduce(or_, tests, pl.lit(False))


def nothing_matches(role: str, query: Query, files: pl.DataFrame) -> TableError:
    """Say that no file matches a query, and what there is instead.

    Examples
    --------
    >>> files = pl.DataFrame({"path": "/a", "suffix": "bold", "space": "T1w", "extension": ".nii"})
    >>> str(nothing_matches("bold", {"suffix": ["bold"], "space": ["MNI"]}, files))
    "no file matches the role 'bold' (suffix='bold', space='MNI'); there is space: T1w"
    """
    files = with_others(files, query)
    others = {name: {k: v for k, v in query.items() if k != name} for name in query}
    there = {name: candidates(files, rest)[name].unique() for name, rest in others.items()}
    if not any(len(values) for values in there.values()):
        there = {name: files[name].unique() for name in query}
    found = "; ".join(f"{name}: {_some(values)}" for name, values in there.items() if len(values))
    asked = ", ".join(f"{name}={_show(values)}" for name, values in query.items())
    message = f"no file matches the role {role!r} ({asked}); there is {found or 'nothing else'}"
    if "bold" in query.get("suffix", []) and "bold" not in files["suffix"]:
        message += f"; {_why_no_bold(files)}"
    elif "desc" in query and not files["desc"].count():
        message += _derivatives(files)
    return TableError(message)


def _derivatives(files: pl.DataFrame) -> str:
    """Say where the derivatives of a raw dataset are, if they lie inside it."""
    inside = (Path(root, "derivatives") for root in files["root"].drop_nulls().unique().sort())
    folder = next((one for one in inside if one.is_dir()), None)
    if folder is None:
        return ""
    return f'; derivatives are scanned beside the raw data: et.scan([…, "{folder}/…"])'


def _why_no_bold(files: pl.DataFrame) -> str:
    if files["path"].str.contains("/MNINonLinear/", literal=True).any():
        return "these subjects have no MNINonLinear/Results: get the functional packages too"
    return "fMRIPrep run with --level minimal writes no BOLD: run it with --level full"


def _show(values: list[str | None]) -> str:
    return repr(values[0] if len(values) == 1 else values)


def _some(values: pl.Series, most: int = 12) -> str:
    shown = ["(absent)" if value is None else value for value in values.sort(nulls_last=True)]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more
