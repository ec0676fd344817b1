"""From records to trials."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError, hint
from entense.index.entities import IDENTIFYING
from entense.records.frames import Frame, roles_of
from entense.records.identity import record_name
from entense.records.trials import read_trials

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG = logging.getLogger("entense")
_KEY = "_files"  # the file, or files, of a record as one string
_SHOWN = 5


def events(frame: Frame, role: str = "events") -> Frame:
    r"""Make a row a trial: each record once for each of its trials.

    The files are read at once, each only once: BIDS ``events.tsv``, and the EVs of HCP, a role of
    many ``.txt`` files of three columns without a header, onset, duration and amplitude, whose
    names are the ``trial_type`` (``EVs/0bk_body.txt``; ``Sync.txt`` is none).

    Parameters
    ----------
    frame
        A record table; every record has a file for `role` (see `drop_incomplete`).
    role
        The role of the files, a path or a list of paths.

    Returns
    -------
    DataFrame or LazyFrame
        As given: the columns of the records; ``trial`` (Int64, from 0 within a record, by onset);
        ``onset`` and ``duration`` (Float64, seconds); ``trial_type`` (String); and what other
        columns the files have, each of the type that fits all files, ``n/a`` null. A record whose
        files hold no trial has no row, which is logged to ``entense`` as a warning.

    Raises
    ------
    TableError
        There is no such role, a record lacks a file, a file cannot be read, has no onset column or
        a wrong line, or the records have a column that the events have.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "sub-01_events.tsv")
    ...     _ = path.write_text("onset\tduration\ttrial_type\n4\t1.5\tface\n2\t1.5\thouse\n")
    ...     df = pl.DataFrame({"subject": "01", "events": str(path), "events_sidecar": None})
    ...     events(df).select("subject", "trial", "onset", "trial_type").rows()
    [('01', 0, 2.0, 'house'), ('01', 1, 4.0, 'face')]
    """
    schema = frame.collect_schema()
    _check_level(schema)
    key = _key(schema, role)
    names = [name for name in ("dataset", *IDENTIFYING) if name in schema]
    records = frame.lazy().select(*names, key.alias(_KEY)).collect()
    _check_files(records, role)
    trials = _trials(records, role)
    _check_clash(schema, trials)
    _say_without(records, trials, role)
    return _joined(frame, key, trials)


def _check_level(schema: pl.Schema) -> None:
    """Raise where records hold several runs: the onsets of one would be taken for another's."""
    sidecars = [schema[f"{role}_sidecar"] for role in roles_of(schema)]
    if any(isinstance(one, pl.List) and isinstance(one.inner, pl.List) for one in sidecars):
        raise TableError(
            "the records hold several runs each, and events belong to one: call events before pivot"
        )


def _key(schema: pl.Schema, role: str) -> pl.Expr:
    if role not in schema:
        raise TableError(f"there is no role {role!r}; {hint(role, roles_of(schema))}")
    if schema[role] == pl.List(pl.String):
        return pl.col(role).list.join("\n", ignore_nulls=False)
    if schema[role] != pl.String:
        raise TableError(f"the role {role!r} holds neither paths nor lists of paths of events")
    return pl.col(role)


def _check_files(records: pl.DataFrame, role: str) -> None:
    without = records.filter(pl.col(_KEY).fill_null("") == "")
    if len(without):
        raise TableError(
            f"{len(without)} of {len(records)} records have no file for the role {role!r} "
            f"({_some(without)}): leave them out with .entense.drop_incomplete({role!r})"
        )


def _some(records: pl.DataFrame) -> str:
    schema = records.drop(_KEY).schema
    name = record_name(schema) if len(schema) else pl.col(_KEY)
    names = records.select(name.fill_null("?")).to_series().head(_SHOWN).to_list()
    return ", ".join([*names, *(["…"] if len(records) > _SHOWN else [])])


def _trials(records: pl.DataFrame, role: str) -> pl.DataFrame:
    paths = pl.col(_KEY).str.split("\n").alias("_path")
    files = records.select(_KEY).unique(maintain_order=True).with_columns(paths).explode("_path")
    found, problems = read_trials(files["_path"].unique(maintain_order=True))
    if problems:
        raise _unreadable(problems, role)
    trials = files.join(found.rename({"trial": f"{role}_trial"}, strict=False), on="_path")
    trials = trials.sort(_KEY, "onset", "_path", "_line").drop("_path", "_line")
    trial = pl.int_range(pl.len(), dtype=pl.Int64).over(_KEY).alias("trial")
    return trials.select(_KEY, trial, pl.exclude(_KEY))


def _unreadable(problems: Mapping[str, str], role: str) -> TableError:
    some = [f"{path}: {wrong}" for path, wrong in list(problems.items())[:_SHOWN]]
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return TableError(
        f"{len(problems)} file(s) of the role {role!r} cannot be read as events: "
        f"{'; '.join(some)}{more}; mend them, or leave their records out (filter)"
    )


def _check_clash(schema: pl.Schema, trials: pl.DataFrame) -> None:
    clash = [name for name in trials.columns if name in schema]
    if clash:
        raise TableError(
            f"the events and the records both have the column {', '.join(clash)}: rename or drop "
            f'it in the records, as in .rename({{"{clash[0]}": "{clash[0]}_of_record"}})'
        )


def _say_without(records: pl.DataFrame, trials: pl.DataFrame, role: str) -> None:
    without = records.join(trials, on=_KEY, how="anti", maintain_order="left")
    if len(without):
        _LOG.warning(
            "%d of %d records have no trial in their files for %r, and so no row: %s",
            *(len(without), len(records), role, _some(without)),
        )


def _joined(frame: Frame, key: pl.Expr, trials: pl.DataFrame) -> Frame:
    keyed = frame.with_columns(key.alias(_KEY))
    table = trials if isinstance(keyed, pl.DataFrame) else trials.lazy()
    return keyed.join(table, on=_KEY, maintain_order="left_right").drop(_KEY)
