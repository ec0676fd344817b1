"""Materialise the lazy tensors of a table."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Literal, cast, overload

import polars as pl

from entense.errors import RecordError, TableError
from entense.execute.serial import Outcome, run
from entense.plan.fuse import how_of
from entense.plan.host import FEW, warn_of_noise
from entense.plan.survey import survey
from entense.progress import progress
from entense.records.identity import with_record_id
from entense.sizes import bytes_of
from entense.tensors import lazy

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from entense.plan.survey import Survey


@overload
def collect(
    frame: pl.DataFrame | pl.LazyFrame,
    *,
    streaming: Literal[False] = ...,
    chunk_size: int = ...,
    memory: str | int | None = ...,
    without: Sequence[str] = ...,
    fusion: str = ...,
) -> pl.DataFrame: ...
@overload
def collect(
    frame: pl.DataFrame | pl.LazyFrame,
    *,
    streaming: Literal[True],
    chunk_size: int = ...,
    memory: str | int | None = ...,
    without: Sequence[str] = ...,
    fusion: str = ...,
) -> Iterator[pl.DataFrame]: ...
def collect(
    frame: pl.DataFrame | pl.LazyFrame,
    *,
    streaming: bool = False,
    chunk_size: int = 16,
    memory: str | int | None = None,
    without: Sequence[str] = (),
    fusion: str = "greedy",
) -> pl.DataFrame | Iterator[pl.DataFrame]:
    """Compute every lazy tensor of a table.

    Parameters
    ----------
    frame
        A record table with lazy tensors.
    streaming
        False: all of it is held in memory; take `head` or `filter` first, and `write` what is
        large. True: an iterator of tables of `chunk_size` records each, of which only the one that
        is asked for, and what is on its way, are held.
    chunk_size
        Records in a table of the stream.
    memory
        About how much memory the computation may take: ``"4GB"`` or a number of bytes.
    without, fusion
        Rules to leave out, and how steps are fused; see `explain`.

    Returns
    -------
    The table with Arrow tensor columns in place of the lazy ones: ``arrow.fixed_shape_tensor``
    with named dims where all records have one shape, else ``entense.ragged_tensor`` (a struct of
    ``data`` and ``shape``). `to_numpy` gives the arrays.

    Raises
    ------
    RecordError
        One error that lists every record that failed; of a stream at its end, when all the others
        have come.
    RecipeError
        Where a record cannot be computed within `memory`.

    Examples
    --------
    >>> import polars as pl, entense as et
    >>> et.collect(pl.DataFrame({"age": [31]}))["age"].to_list()
    [31]
    >>> [len(part) for part in et.collect(pl.DataFrame({"age": [31, 40, 28]}), streaming=True)]
    [3]
    """
    if chunk_size < 1:
        raise TableError(f"chunk_size={chunk_size} holds no record; give 1 or more")
    table = frame.lazy().collect()
    lazy.check_no_lists(table.schema)
    budget = None if memory is None else bytes_of(memory, "memory", error=TableError)
    known = survey(table, how=how_of(without, fusion))
    if streaming:
        return _chunks(table, known, budget, chunk_size)
    if not known.tensors:
        return table
    (whole,) = _chunks(table, known, budget, max(table.height, 1))
    return whole


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
            next((spec[name].dims for spec in known.specs if spec), ()),
            ragged=len({spec[name].shape for spec in known.specs if spec}) > 1,
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
