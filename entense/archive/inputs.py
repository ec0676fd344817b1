"""What tells the input files of an archive from what they were, or will be."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entense.errors import ArchiveError
from entense.files import MISSING, version_of
from entense.index.fetch import name_of
from entense.progress import progress
from entense.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from entense.index.fetch import Version
    from entense.plan.rows import Row

AT_ONCE = 8  # files asked for at once: it is the disk that takes the time


@dataclass(frozen=True)
class Inputs:
    """The input files of a survey as they were before any of them was read.

    Parameters
    ----------
    rows, versions
        As the survey has them.
    """

    rows: Sequence[Row]
    versions: Mapping[str, Version]

    def hashed(self) -> Inputs:
        """Return the same with the hash of a file where its time of change was."""
        found = progress(
            in_threads(_hash, list(self.versions), AT_ONCE),
            what="hash",
            unit="files",
            total=len(self.versions),
        )
        pairs = zip(self.versions.items(), found, strict=True)
        return replace(self, versions={p: (v[0], sum_ or v[1]) for (p, v), sum_ in pairs})

    def said(self, row: int) -> dict[str, list[Any]]:
        """Return what a receipt says of a row: slot to file name and version."""
        files = sorted(self.rows[row].bound.files.items())
        return {slot: [name_of(path), *self.versions[path]] for slot, path in files}

    def changed(self, paths: Iterable[str]) -> str | None:
        """Say which file is not what it was, so that what was read of it may be of both.

        An ArchiveError where one is not to be seen: in a receipt that would pass for what is wrong
        with it, and stay so once it is seen again.
        """
        for path in paths:
            now = version_of(path) or MISSING
            if now == MISSING != self.versions[path]:
                raise ArchiveError(
                    f"{path}: is not to be seen any more, so it may have changed while it was "
                    "read; see that its disk or server is there, and write again (the shards that "
                    "are finished are kept)"
                )
            if now != self.versions[path]:
                return (
                    f"{path}: changed while the archive was being written; write again when it no "
                    "longer does"
                )
        return None


def _hash(path: str) -> str | None:
    """Return the SHA-256 of a file; None where it is not here, and of a URL or an annexed file."""
    version = version_of(path)
    if version is None or not isinstance(version[1], int) or not Path(path).is_file():
        return None  # what stands for the time of change tells the content already
    with suppress(OSError), Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return None
