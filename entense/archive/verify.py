"""Every byte of an archive, compared with what was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from entense.archive.folder import checksum
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from entense.archive.manifest import File
    from entense.archive.read import Archive


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

    def __init__(self, folder: Path, damage: Sequence[Damage]) -> None:
        super().__init__(
            f"the archive {folder} is damaged; copy these files again, or run entense repair (or "
            "write again), which mends them:" + "".join(f"\n  {one}" for one in damage)
        )
        self.damage = tuple(damage)


def verify(archive: Archive) -> Verified:
    """Read every byte of an archive; see `Archive.verify`."""
    from entense.progress import progress

    manifest = archive.manifest
    files = [manifest.records, *manifest.masks.values(), *manifest.shards]
    found = [_damage(archive, file) for file in progress(files, what="verify", unit="file")]
    if damage := [one for one in found if one]:
        raise DamagedError(archive.folder, damage)
    total = sum(file.bytes for file in files)
    return Verified(len(manifest.shards), len(archive) - manifest.failures, total)


def _damage(archive: Archive, file: File) -> Damage | None:
    size, crc = checksum(archive.folder / file.path)
    if (size, crc) == (file.bytes, file.crc32c):
        return None
    if size < 0:
        what = "is missing"
    elif size != file.bytes:
        what = f"has {size} bytes where {file.bytes} were written"
    else:
        what = "has changed bytes"
    rows = _rows(archive, file)
    spoilt = [row for row in rows if _is_spoilt(archive, row)]
    if rows and not spoilt:
        what += " around the tensors of some of its records"
    return Damage(file.path, what, tuple(archive.records["record"][spoilt or rows]))


def _rows(archive: Archive, file: File) -> list[int]:
    """Return the rows of the records of a shard; none of another file."""
    if file not in archive.manifest.shards:
        return []
    place = list(archive.manifest.shards).index(file)  # type: ignore[arg-type]
    return (archive.records["shard"] == place).arg_true().to_list()


def _is_spoilt(archive: Archive, row: int) -> bool:
    try:
        for tensor in archive.schema:
            archive.read(row, tensor)
    except ArchiveError:
        return True
    return False
