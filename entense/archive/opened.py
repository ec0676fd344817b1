"""Shards held open between readings."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT = 32  # files a thread holds open; systems allow a process 1,024, some 256


class Descriptor:
    """A file open for reading, closed when nobody has it any more."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.number)
        self._file = os.fstat(self.number)

    def is_at(self, path: Path) -> bool:
        """Whether it is still this file that `path` names; an OSError where there is none."""
        return os.path.samestat(path.stat(), self._file)


class Opened(threading.local):
    """The files that a thread read last; one that was replaced is opened anew.

    Each thread has its own, so that there is no lock which a fork could find taken. All are closed
    with the thread, or when the archive that they belong to is gone. `check` may raise before one
    is opened.
    """

    def __init__(self, check: Callable[[], None] | None = None) -> None:
        self._check = check
        self._files: dict[Path, Descriptor] = {}

    def __reduce__(self) -> tuple[type[Opened], tuple[Any, ...]]:
        """Travel without descriptors: another process has none of them."""
        return Opened, (self._check,)

    def descriptor(self, path: Path) -> Descriptor:
        """Return `path`, open; an OSError where it cannot be. Keep it for as long as you read."""
        file = self._files.pop(path, None)
        if file is None or not file.is_at(path):
            if self._check:
                self._check()
            file = Descriptor(path)
        self._files[path] = file  # as the last, so that the first is the one to let go
        if len(self._files) > LIMIT:
            del self._files[next(iter(self._files))]
        return file
