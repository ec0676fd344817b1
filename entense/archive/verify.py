"""Every byte of an archive, compared with what was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from entense.archive.folder import checksum
from entense.archive.manifest import ShardFile
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from entense.archive.manifest import File, Series
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
    if not isinstance(file, ShardFile):
        return ""
    rows, series = _rows(archive, file), archive.manifest.series[file.series]
    first = series.format == archive.manifest.format  # of the others no places are known
    spoilt = [row for row in rows if first and _is_spoilt(archive, row, series)]
    ids = archive.records["record"][spoilt or rows].to_list()
    what = "records" if spoilt else "around the tensors of some of the records"
    return f"; {what} {', '.join(ids)}"


def _rows(archive: Archive, file: ShardFile) -> list[int]:
    """Return the rows of the records that a shard holds, or a shard of its number."""
    shards, series = archive.manifest.shards, archive.manifest.series[file.series]
    if series.format == archive.manifest.format:
        alike = [list(shards).index(file)]
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
