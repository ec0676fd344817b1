"""Mending a damaged archive: only what is damaged is computed again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from entense.archive import folder as folders
from entense.archive import manifest as names
from entense.archive.folder import Begun, difference
from entense.archive.options import Options
from entense.archive.store import checksum
from entense.archive.write import Work, plan_archive
from entense.archive.writer import serial
from entense.errors import ArchiveError
from entense.sizes import bytes_of

if TYPE_CHECKING:
    import polars as pl


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
    frame: pl.DataFrame | pl.LazyFrame, path: str | Path, *, memory: str | int | None = None
) -> Repaired:
    """Write the damaged or lost files of an archive again, and nothing else.

    The archive remembers the options that `write` was given. Every shard that is computed again
    comes out as it was, to the byte.

    Parameters
    ----------
    frame
        The table that the archive was written from, its input files unchanged.
    path
        The archive's folder; `open` may refuse it, where its manifest or records.parquet is lost.
    memory
        As in `write`.

    Returns
    -------
    Repaired
        The shards and other files that were written again, and how many shards were kept.

    Raises
    ------
    ArchiveError
        When there is no archive, when the table is not the one it was written from, or when input
        files have changed since; nothing has been touched then. When records fail now, its
        attribute `failures` has the reasons.

    Examples
    --------
    >>> import polars as pl
    >>> repair(pl.DataFrame({"record": ["a"]}), "nowhere")
    Traceback (most recent call last):
    entense.errors.ArchiveError: nothing in nowhere says how its archive was written; mend the \
path, or run write again
    """
    folder = Path(path)
    begun = folders.begun_in(folder)
    if begun is None or not begun.options:
        raise ArchiveError(
            f"nothing in {folder} says how its archive was written; mend the path, or run write "
            "again"
        )
    work = plan_archive(frame, folder, Options(**begun.options))
    _check_fits(work, begun)
    with folders.locked(folder):
        before = _sums(folder)
        budget = None if memory is None else bytes_of(memory, "memory")
        work.complete(partial(serial, memory=budget))
    mended = [name for name, found in _sums(folder).items() if before.get(name) != found]
    written = tuple(work.writer.written)
    receipts = (folders.kept(folder, part.name) for part in work.parts)
    there = sum(len(receipt.files) for receipt in receipts if receipt)
    return Repaired(written, tuple(mended), there - len(written))


def _check_fits(work: Work, begun: Begun) -> None:
    """Raise where something else than what was there would be written."""
    folder = work.writer.folder
    how = difference(begun, work.begun)
    if gained := sorted(set(work.begun.records) - set(begun.records)):
        how = how or f"has not {len(gained)} records of this table, such as {gained[0]}"
    if how:
        raise ArchiveError(
            f"the archive {folder} {how}; give the table that it was written from, or run write"
        )
    receipts = [(part, folders.kept(folder, part.name)) for part in work.parts]
    changed = [p.name for p, receipt in receipts if receipt and not work.writer.fits(receipt, p)]
    if changed:
        raise ArchiveError(
            f"the table or the input files of {len(changed)} shards of {folder}, such as "
            f"{changed[0]}, have changed since they were written; put those back, or run write, "
            "which computes these shards anew"
        )


def _sums(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and checksum of each file that is no shard."""
    files = [folder / names.NAME, folder / names.RECORDS, *(folder / names.MASKS).glob("*")]
    return {str(file.relative_to(folder)): checksum(file) for file in sorted(files)}
