"""A folder of this machine that an archive is written to: a file is whole in it, or not there."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from entense.archive import locks, store
from entense.archive.folder import HIDDEN
from entense.archive.shard import make_folder, refusals, save, unfinished
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from entense.archive.manifest import File
    from entense.archive.shard import Shard


@dataclass(frozen=True)
class Here:
    """A folder of this machine; its files go by their relative names.

    Parameters
    ----------
    place
        The folder.
    """

    place: Path
    at_once: ClassVar[int] = 1  # files that are looked at: more would fight for the disk

    def __str__(self) -> str:
        return str(self.place)

    @property
    def making(self) -> Path:
        """The folder of this machine in which shards come to be."""
        return self.place

    @property
    def address(self) -> tuple[str, str | None]:
        """What `home_of` takes in another process."""
        return str(self.place.absolute()), None

    def locked(self) -> AbstractContextManager[None]:
        """Keep every other writer out, or be kept out; a writer that dies lets go."""
        return locks.locked(self.place)

    def check_shared(self, worker: Any) -> None:
        """Do nothing: who else writes here sees for itself whether the folder is there."""

    def others(self) -> bool:
        """Whether anything but what is hidden lies there; an ArchiveError where it is a file."""
        if self.place.exists() and not self.place.is_dir():
            raise ArchiveError(f"{self} is a file, not a folder; choose another folder to write to")
        with refusals(self.place):
            return self.place.exists() and any(path.name != HIDDEN for path in self.place.iterdir())

    def check_links(self) -> None:
        """Raise where what is written would lie elsewhere."""
        for place, folders, _ in os.walk(self.place):
            if linked := [name for name in folders if (Path(place) / name).is_symlink()]:
                raise ArchiveError(
                    f"{Path(place) / linked[0]} is a link, and what is written there would lie "
                    f"outside {self}; remove it, or choose another folder to write to"
                )

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.place / name).exists()

    def read(self, name: str) -> bytes:
        """Return what a small file of ours holds; nothing where it is not there."""
        with suppress(FileNotFoundError), store.readable(self.place / name):
            return (self.place / name).read_bytes()
        return b""

    def names(self, inside: str) -> list[str]:
        """Return the files of a folder in it."""
        return [f"{inside}/{path.name}" for path in sorted((self.place / inside).glob("*"))]

    def save(self, name: str, content: bytes) -> None:
        """Write a small file whole; leave it alone if it has this content already."""
        # the hidden folder must be: one whose disk has gone must not begin anew
        root = self.place / HIDDEN if name.startswith(f"{HIDDEN}/") else self.place
        make_folder(root, str((self.place / name).parent.relative_to(root)))
        save(self.place / name, content)

    def remove(self, *names: str) -> None:
        """Remove files that are there, and the folders that this leaves empty."""
        with refusals(self.place):
            for path in (self.place / name for name in names):
                path.unlink(missing_ok=True)
                unfinished(path).unlink(missing_ok=True)
                for above in path.relative_to(self.place).parents[:-1]:
                    _remove_if_empty(self.place / above)

    def is_whole(self, file: File, said: str | None = None) -> bool:
        """Whether a file has the size and the bytes that are known of it."""
        return store.is_whole(self.place, file)

    def finish(self, shard: Shard[Any], name: str) -> dict[str, str]:
        """Make a closed shard last, under its name; no store says anything of it."""
        shard.finish()
        return {}

    def lost(self, names: Sequence[str]) -> list[str]:
        """Return those of some files that are not there."""
        return [name for name in names if not (self.place / name).is_file()]


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
