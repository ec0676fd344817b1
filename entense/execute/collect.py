"""Materialise the lazy tensors of a table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from entense.errors import RecordError, TableError
from entense.execute.serial import Outcome, run
from entense.plan.survey import survey
from entense.progress import progress
from entense.records.identity import with_record_id
from entense.tensors import lazy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl


def collect(frame: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """Compute every lazy tensor of a table.

    Parameters
    ----------
    frame
        A record table with lazy tensors. All of it is held in memory: take `head` or `filter`
        first, and `write` what is large.

    Returns
    -------
    The table with Arrow tensor columns in place of the lazy ones: ``arrow.fixed_shape_tensor``
    with named dims where all records have one shape, else ``entense.ragged_tensor`` (a struct of
    ``data`` and ``shape``). `to_numpy` gives the arrays.

    Raises
    ------
    RecordError
        One error that lists every record that failed.

    Examples
    --------
    >>> import polars as pl, entense as et
    >>> et.collect(pl.DataFrame({"age": [31]}))["age"].to_list()
    [31]
    """
    table = frame.lazy().collect()
    lazy.check_no_lists(table.schema)
    known = survey(table)
    if not known.tensors:
        return table
    rows = range(table.height)
    running = progress(run(known, rows), what="collect", unit="records", total=len(rows))
    outcomes = [_copied(outcome) for outcome in running]
    _raise(outcomes, table)
    return table.with_columns(
        lazy.arrow_tensors(
            name,
            [out.arrays[name] for out in outcomes if out.arrays],
            next((spec[name].dims for spec in known.specs if spec), ()),
        )
        for name in known.tensors
    )


def _copied(outcome: Outcome) -> Outcome:
    """Return an outcome whose arrays outlive the next one."""
    if outcome.arrays is None:
        return outcome
    return replace(outcome, arrays={name: array.copy() for name, array in outcome.arrays.items()})


def _raise(outcomes: Sequence[Outcome], table: pl.DataFrame) -> None:
    names = _names(table)
    failed = [f"{names[out.row]}: {out.error}" for out in outcomes if out.error]
    if failed:
        raise RecordError(
            f"{len(failed)} of {len(outcomes)} records cannot be computed:\n  "
            + "\n  ".join(failed)
        )


def _names(table: pl.DataFrame) -> list[str]:
    """Return the records' ids, or row numbers where a table has none."""
    try:
        return with_record_id(table)["record"].to_list()
    except TableError:
        return [f"row {row}" for row in range(table.height)]
