"""Mending a damaged archive: only what is damaged is computed again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.archive import folder as folders
from entense.archive import manifest as names
from entense.archive.assign import part_name
from entense.archive.difference import difference
from entense.archive.home import home_of
from entense.archive.manifest import Manifest
from entense.archive.options import Options
from entense.archive.store import checksum
from entense.archive.table import read_records, records_table, to_parquet
from entense.archive.write import Work, plan_archive
from entense.archive.writer import serial
from entense.errors import ArchiveError
from entense.sizes import bytes_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from entense.archive.folder import Begun
    from entense.archive.home import Home
    from entense.archive.manifest import ShardFile
    from entense.archive.store import Place


@dataclass(frozen=True)
class Repaired:
    """What `repair` did.

    Parameters
    ----------
    shards
        The shards that it wrote again.
    files
        Its other files that it wrote again: manifest, records.parquet, masks.
    kept
        How many shards were right, and left alone.
    """

    shards: tuple[str, ...]
    files: tuple[str, ...]
    kept: int

    def __str__(self) -> str:
        mended = ", ".join([*self.shards, *self.files]) or "nothing"
        return f"{mended} written again; {self.kept} shards were right and are as they were"


def repair(
    frame: pl.DataFrame | pl.LazyFrame,
    path: str | Place,
    *,
    memory: str | int | None = None,
    storage_options: Mapping[str, Any] | None = None,
    scratch: str | Path | None = None,
) -> Repaired:
    """Write the damaged or lost files of an archive again, and nothing else.

    The archive remembers the options that `write` was given. Every shard that is computed again
    comes out as it was, to the byte.

    Parameters
    ----------
    frame
        The table that the archive was written from, its input files unchanged.
    path
        The archive's folder, or its URL in an object store; `open` may refuse it, where its
        manifest or records.parquet is lost.
    memory, storage_options, scratch
        As in `write`.

    Returns
    -------
    Repaired
        The shards and other files that were written again, and how many shards were kept.

    Raises
    ------
    ArchiveError
        When there is no archive, when the table is not the one it was written from, or when input
        files have changed since; nothing has been touched then. Where that shows only in a shard
        that was computed again, the shard is left as it was. When records fail now, its attribute
        `failures` has the reasons.

    Examples
    --------
    >>> import polars as pl
    >>> repair(pl.DataFrame({"record": ["a"]}), "nowhere")
    Traceback (most recent call last):
    entense.errors.ArchiveError: nothing in nowhere says how its archive was written; mend the \
path, or run write again
    """
    home = home_of(path, storage_options, scratch)
    folders.check_notes(home)
    begun = folders.begun_in(home)
    if begun is None or not begun.options:
        raise ArchiveError(
            f"nothing in {home} says how its archive was written; mend the path, or run write again"
        )
    work = plan_archive(frame, home, _options(begun, home))
    _check_fits(work, begun)
    if manifest := _manifest(home):
        _check_columns(work, manifest)
        work.writer.due = _due(manifest)
    with home.locked():
        before = _sums(home)
        budget = None if memory is None else bytes_of(memory, "memory")
        work.complete(partial(serial, memory=budget))
        mended = [name for name, found in _sums(home).items() if before.get(name) != found]
    written = tuple(work.writer.written)
    receipts = (folders.kept(home, part.name) for part in work.parts)
    there = sum(len(receipt.files) for receipt in receipts if receipt)
    return Repaired(written, tuple(mended), there - len(written))


def _check_fits(work: Work, begun: Begun) -> None:
    """Raise where something else than what was there would be written."""
    home, now = work.writer.home, work.begun()
    how = difference(begun, now)
    if gained := sorted(set(now.records) - set(begun.records)):
        how = how or f"has not {len(gained)} records of this table, such as {gained[0]}"
    if how:
        raise ArchiveError(
            f"the archive {home} {how}; give the table that it was written from, or run write"
        )
    receipts = [(part, folders.kept(home, part.name)) for part in work.parts]
    changed = [p.name for p, receipt in receipts if receipt and not work.writer.fits(receipt, p)]
    if changed:
        raise ArchiveError(
            f"the table or the input files of {len(changed)} shards of {home}, such as "
            f"{changed[0]}, have changed since they were written; put those back, or run write, "
            "which computes these shards anew"
        )
    if not _cut_alike(now, begun):
        raise ArchiveError(
            f"the archive {home} has its records in other splits or shards than this table "
            "would have; give the table that it was written from, or run write"
        )


def _cut_alike(now: Begun, then: Begun) -> bool:
    """Whether no file would be new; one whose record cannot be surveyed now may be missing."""
    files = [set(chain.from_iterable(begun.parts.values())) for begun in (now, then)]
    return now.parts.keys() == then.parts.keys() and files[0] <= files[1]


def _options(begun: Begun, home: Home) -> Options:
    try:
        return Options(**begun.options)
    except TypeError as error:
        raise ArchiveError(
            f"another version of entense wrote {home}, and what it was asked is not known to "
            "this one; repair it with that version, or run write with overwrite=True"
        ) from error


def _manifest(home: Home) -> Manifest | None:
    """Return the manifest; None where it is lost or damaged."""
    try:
        return Manifest.from_json(home.read(names.NAME), home.place / names.NAME)
    except ArchiveError:
        return None


def _check_columns(work: Work, manifest: Manifest) -> None:
    """Raise where records.parquet is right, and would have other columns."""
    home, table = work.writer.home, work.writer.job.table
    try:
        there = read_records(home.place, manifest)
    except ArchiveError:
        return  # it is one of the files to mend
    there = there.drop("split", "shard", "error", *manifest.tensors)
    # as it comes back: a file has fewer kinds of columns than a table
    here = pl.read_parquet(to_parquet(records_table(table, pl.DataFrame())))
    either = dict.fromkeys([*there.columns, *here.columns])
    if other := [name for name in either if not _alike(name, there, here)]:
        raise ArchiveError(
            f"the archive {home} has in its records another column {other[0]!r} than this table; "
            "give the table that it was written from, or run write, which takes this one's"
        )


def _alike(name: str, one: pl.DataFrame, other: pl.DataFrame) -> bool:
    has = name in one.columns and name in other.columns
    return has and one[name].equals(other[name], check_dtypes=True)


def _due(manifest: Manifest) -> dict[str, list[ShardFile]]:
    """Return the files of each part."""
    parts = groupby(manifest.shards, lambda file: part_name(file.split, file.number))
    return {part: list(files) for part, files in parts}


def _sums(home: Home) -> dict[str, tuple[int, int]]:
    """Return size and checksum of each file that is no shard."""
    files = [names.NAME, names.RECORDS, *home.names(names.MASKS)]
    return {file: checksum(home.place / file) for file in sorted(files)}
