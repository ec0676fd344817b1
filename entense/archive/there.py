"""A folder of an object store that an archive is written to: an object is whole, or not there.

What a disk takes a temporary file, syncs and a change of name for, a store does by itself.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, ClassVar

from awscrt.checksums import crc32c

from entense.archive import locks, store
from entense.archive.folder import HIDDEN, RUNS
from entense.archive.manifest import File
from entense.archive.shard import refusals
from entense.errors import ArchiveError
from entense.index.fetch import filesystem, version_in
from entense.index.fetch.retry import SpoiltError
from entense.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from entense.archive.shard import Shard
    from entense.archive.store import Remote
    from entense.index.fetch import Version

    Send = Callable[[Any, str], object]  # takes a filesystem and a path in it

PART = 2**24  # bytes: ten parts of a shard are in memory at once
MOST, UNIT = 10_000, 2**18  # as many parts as S3 takes; Google's are multiples of so many bytes


class There:
    """A folder of an object store; its files go by their relative names.

    What lies there is listed once, when the writing begins: a request tells of a thousand files.

    Parameters
    ----------
    place
        The folder.
    scratch
        A folder of this machine, or one that all machines see which write; None: a temporary one.
    """

    at_once: ClassVar[int] = 8  # requests

    def __init__(self, place: Remote, scratch: Path | None = None) -> None:
        self.place, self._given, self._scratch = place, scratch, scratch
        self._listed: dict[str, Version] | None = None

    def __str__(self) -> str:
        return str(self.place)

    @property
    def making(self) -> Path:
        """The folder of this machine in which shards come to be."""
        assert self._scratch is not None  # noqa: S101  `locked` gave one
        name = sha256(self.place.url.rstrip("/").encode()).hexdigest()[:16]
        return self._scratch / f"entense-{name}"

    @property
    def address(self) -> tuple[str, str | None]:
        """What `home_of` takes in another process."""
        return self.place.url, None if self._scratch is None else str(self._scratch.absolute())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Have a folder to make shards in, and keep out other writers with the same scratch."""
        self._scratch = self._given or Path(mkdtemp(prefix="entense-"))
        with locks.locked(self.making):
            try:
                self._listed = self._list()
                yield
            finally:
                if not (self.making / RUNS).exists():  # else errors name what lies there
                    shutil.rmtree(self.making if self._given else self._scratch, ignore_errors=True)

    def check_shared(self, worker: Any) -> None:
        """Raise where other processes could not write there."""
        if self.place.options:
            raise ArchiveError(
                "storage_options= hold secrets, which are in no file of a task; leave them out, "
                "and give them to the workers by their environment or configuration files, or by "
                "et.register_storage in a module that modules= names"
            )
        if worker != "process" and self._given is None:
            raise ArchiveError(
                "workers on other machines find their tasks in a folder that all of them see; "
                f"give such a folder as scratch= to write to {self}"
            )

    def others(self) -> bool:
        """Whether anything but what is hidden lies there."""
        return any(not name.startswith(f"{HIDDEN}/") for name in self._known())

    def check_links(self) -> None:
        """Do nothing: a store has no links."""

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        if self._listed is not None:
            return name in self._listed
        return (self.place / name).exists()

    def read(self, name: str) -> bytes:
        """Return what a small file of ours holds; nothing where it is not there."""
        if self._listed is None or name in self._listed:
            # a receipt may be longer than a manifest: each record's parcels are in it
            size, _ = (self._listed or {}).get(name, (0, None))
            with suppress(FileNotFoundError):
                return (self.place / name).read_bytes(size or 0)
        return b""

    def names(self, inside: str) -> list[str]:
        """Return the files of a folder in it."""
        return sorted(name for name in self._known() if name.startswith(f"{inside}/"))

    def save(self, name: str, content: bytes) -> None:
        """Write a small file; leave it alone if it has this content already."""
        if not self.is_whole(File(name, len(content), crc32c(content))):
            self._put(name, len(content), lambda files, path: files.pipe_file(path, content))

    def remove(self, *names: str) -> None:
        """Remove files that are there."""
        there = [name for name in names if self._listed is None or name in self._listed]
        for name in in_threads(self._remove, there, self.at_once):
            if self._listed is not None:
                self._listed.pop(name, None)

    def is_whole(self, file: File, said: str | None = None) -> bool:
        """Whether a file has the size and the bytes that are known of it.

        It is not read where the store says of it what it said when it was put there.
        """
        if self._listed is not None:
            size, token = self._listed.get(file.path, (None, None))
            if size != file.bytes:
                return False
            if said and said == token:
                return True
        return store.is_whole(self.place, file)

    def finish(self, shard: Shard[Any], name: str) -> dict[str, str]:
        """Put a closed shard under its name; return what the store says of it, beside that."""
        path = shard.temporary
        with refusals(path.parent):
            size = path.stat().st_size
        step = max(PART, -(-size // MOST // UNIT) * UNIT)
        token = self._put(
            name, size, lambda files, to: files.put_file(str(path), to, chunksize=step)
        )
        return {name: token} if token else {}

    def lost(self, names: Sequence[str]) -> list[str]:
        """Return those of some files that are not there."""
        found = self._list()
        return [name for name in names if name not in found]

    def _known(self) -> dict[str, Version]:
        if self._listed is None:
            self._listed = self._list()
        return self._listed

    def _list(self) -> dict[str, Version]:
        """Return name to size and what tells one content from another, of all that lies there."""
        return self.place.asked(partial(_found, self.place), "listed")

    def _put(self, name: str, size: int, send: Send) -> str | None:
        file = self.place / name
        said = file.asked(partial(_sent, file, size, send), "written")
        if self._listed is not None:
            self._listed[name] = said
        return None if said[1] is None else str(said[1])

    def _remove(self, name: str) -> str:
        file = self.place / name
        file.asked(partial(_removed, file), "removed")
        return name


def _found(place: Remote) -> dict[str, Version]:
    files, top = filesystem(place.url, place.options)
    files.invalidate_cache()
    try:
        found = files.find(top, detail=True)
    except FileNotFoundError:
        return {}
    # some tools make an object of a folder's name, which is none of its files
    objects = {path: said for path, said in found.items() if said["type"] == "file"}
    named = {path.removeprefix(f"{top}/"): said for path, said in objects.items()}
    return {name: version_in(said) for name, said in named.items() if name and name[-1] != "/"}


def _sent(file: Remote, size: int, send: Send) -> Version:
    """Have a file put; return what the store says of it, which must be of its size."""
    files, path = filesystem(file.url, file.options)
    try:
        send(files, path)
    except FileNotFoundError as error:
        raise ArchiveError(
            f"{file} cannot be written ({error}); see that its bucket is there, or mend the address"
        ) from error
    files.invalidate_cache(path)
    said = version_in(files.info(path))
    if said[0] != size:
        raise SpoiltError(f"{said[0]} of {size} bytes are there")
    return said


def _removed(file: Remote) -> None:
    files, path = filesystem(file.url, file.options)
    with suppress(FileNotFoundError):
        files.rm_file(path)
