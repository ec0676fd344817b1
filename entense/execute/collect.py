"""Materialise the lazy tensors of a table in this process."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, cast

import polars as pl

from entense.errors import RecordError, TableError
from entense.execute.serial import Outcome, run
from entense.plan.host import FEW, warn_of_noise
from entense.plan.survey import survey
from entense.progress import progress
from entense.records.identity import with_record_id
from entense.tensors import lazy

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from entense.plan.fuse import How
    from entense.plan.survey import Survey


def chunks(
    frame: pl.DataFrame | pl.LazyFrame, size: int | None, memory: int | None, how: How
) -> Iterator[pl.DataFrame]:
    """Yield a table in chunks of some records (None: in one), its lazy tensors computed here.

    A RecordError at the end lists the records that failed; a chunk that is all there is, is not
    yielded then.
    """
    table = frame.lazy().collect()
    lazy.check_no_lists(table.schema)
    known = survey(table, how=how)
    if size is None and not known.tensors:
        return iter([table])
    return _chunks(table, known, memory, size or max(table.height, 1))


def _chunks(
    table: pl.DataFrame, known: Survey, memory: int | None, size: int
) -> Iterator[pl.DataFrame]:
    """Yield tables of some rows, without those that fail; then raise, where some did."""
    rows = range(table.height if known.tensors else 0)
    computed = cast("Generator[Outcome]", run(known, rows, memory=memory, keeps=True))
    failed: list[Outcome] = []
    few: dict[str, list[int]] = {name: [] for name in known.tensors}
    with closing(computed):
        running = progress(computed, what="collect", unit="records", total=len(rows))
        for start in range(0, max(table.height, 1), size):
            outcomes = list(islice(running, size))
            failed += [outcome for outcome in outcomes if outcome.error]
            for name, rows_of in few.items():
                rows_of += [one.row for one in outcomes if _is_noise(one, name)]
            if failed and size >= table.height:
                break  # it is a table for which all are due
            yield _materialised(table[start : start + size], known, outcomes)
            del outcomes  # the next chunk comes, and one is held
    for name, rows_of in few.items():
        warn_of_noise(name, [_names(table)[row] for row in rows_of], table.height)
    _raise(failed, table)


def _is_noise(outcome: Outcome, name: str) -> bool:
    counts = outcome.counts.get(name, {})
    return bool(counts.get("freedom", FEW + 1) <= FEW)


def _materialised(table: pl.DataFrame, known: Survey, outcomes: Sequence[Outcome]) -> pl.DataFrame:
    good = [outcome.error is None for outcome in outcomes]
    kept = table.filter(pl.Series(good, dtype=pl.Boolean)) if known.tensors else table
    return kept.with_columns(
        lazy.arrow_tensors(
            name,
            [out.arrays[name] for out in outcomes if out.arrays],
            next((spec[name].dims for spec in known.specs), ()),
            ragged=len({spec[name].shape for spec in known.specs}) > 1,
        )
        for name in known.tensors
    )


def _raise(failed: Sequence[Outcome], table: pl.DataFrame) -> None:
    if failed:
        names = _names(table)
        raise RecordError(
            f"{len(failed)} of {table.height} records cannot be computed:\n  "
            + "\n  ".join(f"{names[outcome.row]}: {outcome.error}" for outcome in failed)
        )


def _names(table: pl.DataFrame) -> list[str]:
    """Return the records' ids, or row numbers where a table has none."""
    try:
        return with_record_id(table)["record"].to_list()
    except TableError:
        return [f"row {row}" for row in range(table.height)]
