"""Every byte of an archive, compared with what was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from entense.archive.folder import checksum
from entense.errors import ArchiveError

if TYPE_CHECKING:
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


def verify(archive: Archive) -> Verified:
    """Read every byte of an archive; see `Archive.verify`."""
    from entense.progress import progress

    manifest, files = archive.manifest, archive.manifest.files
    wrong = []
    for file in progress(files, what="verify", unit="file"):
        wrong += _wrong(archive, file)
    if wrong:
        raise ArchiveError(
            f"the archive {archive.folder} is damaged; copy these files again, or run write "
            "again, which mends them:" + "".join(f"\n  {line}" for line in wrong)
        )
    total = sum(file.bytes for file in files)
    return Verified(len(manifest.shards), len(archive) - manifest.failures, total)


def _wrong(archive: Archive, file: File) -> list[str]:
    size, crc = checksum(archive.folder / file.path)
    if (size, crc) == (file.bytes, file.crc32c):
        return []
    if size < 0:
        what = "is missing"
    elif size != file.bytes:
        what = f"has {size} bytes where {file.bytes} were written"
    else:
        what = "has changed bytes"
    return [f"{file.path} {what}{_whose(archive, file)}"]


def _whose(archive: Archive, file: File) -> str:
    """Name the records that a damaged shard spoils: those whose tensors do, else all."""
    if file not in archive.manifest.shards:
        return ""
    place = list(archive.manifest.shards).index(file)  # type: ignore[arg-type]
    rows = (archive.records["shard"] == place).arg_true().to_list()
    spoilt = [row for row in rows if _is_spoilt(archive, row)]
    ids = archive.records["record"][spoilt or rows].to_list()
    what = "records" if spoilt else "around the tensors of some of the records"
    return f"; {what} {', '.join(ids)}"


def _is_spoilt(archive: Archive, row: int) -> bool:
    try:
        for tensor in archive.schema:
            archive.read(row, tensor)
    except ArchiveError:
        return True
    return False
