"""Every byte of an archive, compared with what was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from entense.archive.manifest import ShardFile
from entense.archive.store import checksum
from entense.errors import ArchiveError
from entense.progress import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entense.archive.manifest import File, Series
    from entense.archive.read import Archive
    from entense.archive.store import Place


@dataclass(frozen=True)
class Verified:
    """What was found right: numbers of shards and records, and bytes read."""

    shards: int
    records: int
    bytes: int

    def __str__(self) -> str:
        return (
            f"{self.records} records in {self.shards} shards are right "
            f"({self.bytes / 1e6:.1f} MB read)"
        )


@dataclass(frozen=True)
class Damage:
    """A file that is not what was written.

    Parameters
    ----------
    file
        Its path in the archive.
    what
        What is wrong with it, as an error says it.
    records
        The ids of the records that it spoils, or may spoil where only bytes around them changed.
    """

    file: str
    what: str
    records: tuple[str, ...] = ()

    def __str__(self) -> str:
        whose = f"; records {', '.join(self.records)}" if self.records else ""
        return f"{self.file} {self.what}{whose}"


class DamagedError(ArchiveError):
    """Files of an archive are damaged.

    Attributes
    ----------
    damage
        What is wrong with each of them.
    """

    def __init__(self, folder: Place, damage: Sequence[Damage]) -> None:
        super().__init__(
            f"the archive {folder} is damaged; copy these files again, or run entense repair (or "
            "write again), which mends them:" + "".join(f"\n  {one}" for one in damage)
        )
        self.damage = tuple(damage)


def verify(archive: Archive) -> Verified:
    """Read every byte of an archive; see `Archive.verify`."""
    manifest, files = archive.manifest, archive.manifest.files
    found = [_damage(archive, file) for file in progress(files, what="verify", unit="file")]
    if damage := [one for one in found if one]:
        raise DamagedError(archive.folder, damage)
    total = sum(file.bytes for file in files)
    return Verified(len(manifest.shards), len(archive) - manifest.failures, total)


def _damage(archive: Archive, file: File) -> Damage | None:
    size, crc = checksum(archive.folder / file.path, file.bytes)
    if (size, crc) == (file.bytes, file.crc32c):
        return None
    if size < 0:
        what = "is missing"
    elif size > file.bytes:
        what = f"has more than the {file.bytes} bytes that were written"
    elif size < file.bytes:
        what = f"has {size} bytes where {file.bytes} were written"
    else:
        what = "has changed bytes"
    if not isinstance(file, ShardFile):
        return Damage(file.path, what, ())
    rows, series = _rows(archive, file), archive.manifest.series[file.series]
    first = series.format == archive.manifest.format  # of the others no places are known
    spoilt = [row for row in rows if first and _is_spoilt(archive, row, series)]
    if first and not spoilt:
        what += " around the tensors of some of its records"
    return Damage(file.path, what, tuple(archive.records["record"][spoilt or rows]))


def _rows(archive: Archive, file: ShardFile) -> list[int]:
    """Return the rows of the records that a shard holds, or a shard of its number."""
    shards, series = archive.manifest.shards, archive.manifest.series[file.series]
    if series.format == archive.manifest.format:
        first = list(shards).index(file)
        while (
            first and not shards[first].records
        ):  # the rest of the record that begins in the one before
            first -= 1
        alike = [first]
    else:
        part = (file.split, file.number)
        alike = [n for n, shard in enumerate(shards) if (shard.split, shard.number) == part]
    place = archive.records[series.tensors[0]].struct.field("shard")
    return place.is_in(alike).fill_null(value=False).arg_true().to_list()


def _is_spoilt(archive: Archive, row: int, series: Series) -> bool:
    try:
        for tensor in series.tensors:
            archive.read(row, tensor)
    except ArchiveError:
        return True
    return False
