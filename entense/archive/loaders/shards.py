"""The shards of a split as files for a reader that is not ours, and checks less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entense.errors import ArchiveError

if TYPE_CHECKING:
    from entense.archive.read import Archive


def shard_files(archive: Archive, split: str | None, series: int) -> list[str]:
    """Return the absolute paths of a split's shards of a series.

    An ArchiveError where one is missing or cut, which the others would read in part without a
    word, or leads out of the archive's folder.
    """
    archive.rows(split)  # names a split that is not there
    shards = archive.manifest.shards_of(split, series)
    folder = archive.local.resolve()
    paths = [(folder / shard.path).resolve() for shard in shards]
    for shard, path in zip(shards, paths, strict=True):
        if not path.is_relative_to(folder):
            raise ArchiveError(
                f"{shard.path} of {archive.folder} leads to {path}, out of its folder; do not "
                "trust this archive: write it again"
            )
        if not path.exists() or path.stat().st_size != shard.bytes:
            raise ArchiveError(
                f"{path} is missing or cut; copy it again, or run write again, which mends it"
            )
    return [str(path) for path in paths]
