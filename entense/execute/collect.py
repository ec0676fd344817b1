"""A table in chunks, with what was computed in the place of its lazy tensors."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias, cast

import polars as pl

from entense.errors import RecordError, TableError
from entense.execute.serial import Outcome, run
from entense.plan.host import FEW, warn_of_noise
from entense.plan.survey import survey
from entense.progress import progress
from entense.records.identity import with_record_id
from entense.tensors import lazy

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from entense.plan.fuse import How


Kind: TypeAlias = "tuple[tuple[str, ...], bool]"
"""The dimensions of a tensor, and whether its shape differs."""


def computed(
    table: pl.DataFrame, size: int | None, memory: int | None, how: How
) -> Iterator[pl.DataFrame]:
    """Yield a table in chunks of some records (None: in one), its lazy tensors computed here."""
    lazy.check_no_lists(table.schema)
    known = survey(table, how=how)
    if size is None and not known.tensors:
        return iter([table])
    specs = known.specs
    kinds = {
        name: (specs[0][name].dims if specs else (), len({spec[name].shape for spec in specs}) > 1)
        for name in known.tensors
    }
    rows = range(table.height if known.tensors else 0)
    return chunks(table, kinds, run(known, rows, memory=memory, keeps=True), size)


def chunks(
    table: pl.DataFrame, kinds: Mapping[str, Kind], outcomes: Iterator[Outcome], size: int | None
) -> Iterator[pl.DataFrame]:
    """Yield a table in chunks of some records (None: in one) as these came out.

    A RecordError at the end lists the records that failed; a chunk that is all there is, is not
    yielded then.
    """
    size = size or max(table.height, 1)
    failed: list[Outcome] = []
    few: dict[str, list[int]] = {name: [] for name in kinds}
    with closing(cast("Generator[Outcome]", outcomes)):
        total = table.height if kinds else 0
        running = progress(outcomes, what="collect", unit="records", total=total)
        for start in range(0, max(table.height, 1), size):
            some = list(islice(running, size))
            failed += [outcome for outcome in some if outcome.error]
            for name, rows_of in few.items():
                rows_of += [one.row for one in some if _is_noise(one, name)]
            if failed and size >= table.height:
                break  # it is a table for which all are due
            yield _materialised(table[start : start + size], kinds, some)
            del some  # the next chunk comes, and one is held
    for name, rows_of in few.items():
        warn_of_noise(name, [names_of(table)[row] for row in rows_of], table.height)
    _raise(failed, table)


def _is_noise(outcome: Outcome, name: str) -> bool:
    counts = outcome.counts.get(name, {})
    return bool(counts.get("freedom", FEW + 1) <= FEW)


def _materialised(
    table: pl.DataFrame, kinds: Mapping[str, Kind], outcomes: Sequence[Outcome]
) -> pl.DataFrame:
    good = [outcome.error is None for outcome in outcomes]
    kept = table.filter(pl.Series(good, dtype=pl.Boolean)) if kinds else table
    return kept.with_columns(
        lazy.arrow_tensors(
            name, [o.arrays[name] for o in outcomes if o.arrays], dims, ragged=ragged
        )
        for name, (dims, ragged) in kinds.items()
    )


def _raise(failed: Sequence[Outcome], table: pl.DataFrame) -> None:
    if failed:
        names = names_of(table)
        raise RecordError(
            f"{len(failed)} of {table.height} records cannot be computed:\n  "
            + "\n  ".join(f"{names[outcome.row]}: {outcome.error}" for outcome in failed)
        )


def names_of(table: pl.DataFrame) -> list[str]:
    """Return the records' ids, or row numbers where a table has none."""
    try:
        return with_record_id(table)["record"].to_list()
    except TableError:
        return [f"row-{row}" for row in range(table.height)]
