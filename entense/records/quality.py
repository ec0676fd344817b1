"""How still a subject lay: measures of a run from its confounds, without its images."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import polars as pl
from polars import selectors as cs

from entense.errors import RecordError, TableError, hint
from entense.progress import progress
from entense.records.frames import Frame, attach, distinct, roles_of
from entense.records.tables.confounds import read_confounds
from entense.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOG = logging.getLogger("entense")
_THREADS = 8
_MEASURES = {
    "frames": pl.Int64,
    "mean_fd": pl.Float64,
    "max_fd": pl.Float64,
    "censored": pl.Float64,
}
_SECONDS = ("seconds", "kept_seconds")


def quality(
    frame: Frame,
    role: str = "confounds",
    *,
    fd: float = 0.5,
    std_dvars: float = 1.5,
    tr: str | None = None,
) -> Frame:
    r"""Add what the confounds say of each run, to filter by; no image is read.

    The tables are read at the call, each once, whatever they were named by (see `read_confounds`).
    One that cannot be read, or that has neither framewise displacement nor motion, gives nulls and
    is named in a warning to the logger ``entense``.

    Parameters
    ----------
    frame
        A record table.
    role
        The role that holds the tables.
    fd
        Framewise displacement in mm above which a frame counts as censored.
    std_dvars
        Standardised DVARS above which it does.
    tr
        The column of repetition times in seconds; by default the one whose name ends in ``_tr``.

    Returns
    -------
    The frame, of the kind that was given, with ``frames`` (Int64), ``mean_fd`` and ``max_fd``
    (Float64, mm, over all frames but the first, which has none), ``censored`` (Float64, the
    fraction of frames above a threshold or marked as non-steady state), ``seconds`` and
    ``kept_seconds`` (Float64, of all frames and of those that are not censored; null where no
    repetition time is known).

    Raises
    ------
    TableError
        The role or the column is not there, there are several columns of repetition times, or the
        frame has one of the new columns already.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "confounds.tsv")
    ...     _ = path.write_text("framewise_displacement\nn/a\n0.1\n0.7\n0.1\n")
    ...     df = pl.DataFrame({"confounds": str(path), "confounds_sidecar": None, "bold_tr": 2.0})
    ...     quality(df).select("frames", "max_fd", "censored", "kept_seconds").row(0)
    (4, 0.7, 0.25, 6.0)
    """
    schema = frame.collect_schema()
    _check(schema, role)
    seconds = _repetition_time(schema, tr)
    paths = distinct(frame, [role])[role].drop_nulls()
    measured = _measure_all(paths, partial(_measure, fd=fd, std_dvars=std_dvars))
    kept = (pl.col("frames") * (1 - pl.col("censored"))).round()
    frame = frame.with_columns(pl.col(role).cast(pl.String))  # null where no record has one
    return attach(frame, measured.rename({"path": role}), [role]).with_columns(
        seconds=pl.col("frames") * seconds, kept_seconds=kept * seconds
    )


def _check(schema: pl.Schema, role: str) -> None:
    if role not in roles_of(schema):
        raise TableError(f"there is no role {role!r}; {hint(role, roles_of(schema))}")
    if schema[role] not in (pl.String, pl.Null):
        raise TableError(
            f"the role {role!r} holds more than one file a record ({schema[role]}): call quality "
            "before files are put together"
        )
    if taken := [name for name in (*_MEASURES, *_SECONDS) if name in schema]:
        raise TableError(
            f"the table has the column {', '.join(taken)} already: rename or drop it before quality"
        )


def _repetition_time(schema: pl.Schema, tr: str | None) -> pl.Expr:
    there = [name for name in schema if name.endswith("_tr")]
    if tr is not None and tr not in schema:
        raise TableError(f"there is no column {tr!r} of repetition times; {hint(tr, schema)}")
    if tr is None and len(there) > 1:
        raise TableError(f"there are several repetition times, {', '.join(there)}: say tr=…")
    name = tr or next(iter(there), None)
    column = pl.lit(None) if name is None else pl.col(name)
    return column.cast(pl.Float64).fill_nan(None)  # NaN: its sidecar cannot be read


def _measure_all(paths: Iterable[str], measure: partial[dict[str, object]]) -> pl.DataFrame:
    names = list(paths)
    found = in_threads(measure, names, _THREADS)
    rows = list(progress(found, what="reading confounds", unit="tables", total=len(names)))
    _warn([str(row["error"]) for row in rows if row["error"]], len(rows))
    made = pl.DataFrame(rows, schema={**_MEASURES, "error": pl.String})
    return made.drop("error").with_columns(path=pl.Series(names, dtype=pl.String))


def _warn(errors: list[str], total: int) -> None:
    if errors:
        message = "quality: %d of %d tables give no measures: %s"
        _LOG.warning(message, len(errors), total, "; ".join(errors[:5]) + "; …" * (len(errors) > 5))


def _measure(path: str, *, fd: float, std_dvars: float) -> dict[str, object]:
    try:
        table = read_confounds(path)
        return {**_measured(path, table, fd, std_dvars), "error": None}
    except RecordError as error:
        return {**dict.fromkeys(_MEASURES), "error": str(error)}


def _measured(path: str, table: pl.DataFrame, fd: float, std_dvars: float) -> dict[str, object]:
    limits = {"framewise_displacement": fd, "std_dvars": std_dvars}
    there = table.select(cs.by_name(*limits, require_all=False))
    if "framewise_displacement" not in there.columns:
        raise RecordError(f"{path}: has neither framewise displacement nor motion parameters")
    if text := [name for name in there.columns if not there[name].dtype.is_numeric()]:
        raise RecordError(f"{path}: the column {text[0]!r} holds no numbers; mend the table")
    if there.height > 1 and there["framewise_displacement"][1:].drop_nulls().is_empty():
        raise RecordError(f"{path}: the column 'framewise_displacement' is empty; mend the table")
    steady = cs.starts_with("non_steady_state_outlier") & cs.numeric()
    above = [pl.col(name) > limits[name] for name in there.columns]
    censored = pl.any_horizontal(*above, steady > 0).fill_null(False)
    later = pl.col("framewise_displacement").slice(1)
    return table.select(
        frames=pl.len(), mean_fd=later.mean(), max_fd=later.max(), censored=censored.mean()
    ).row(0, named=True)
