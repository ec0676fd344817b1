"""Fetching ahead: the files of coming records arrive while those before are computed."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from entense import files
from entense.index.fetch import capacity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    Held = AbstractContextManager[Path]

AT_ONCE = 8  # fetches
_ROWS = 16  # records ahead, at most


@contextmanager
def fetch_ahead(rows: Iterable[Iterable[str]]) -> Iterator[Callable[[], None]]:
    """Fetch what is not on this machine, up to eight files at once, and hold it for its record.

    No more is held ahead than half of the cache takes. Files that are here cost a look at each; a
    fetch that fails is left to the record, which says so when it opens the file.

    Parameters
    ----------
    rows
        The paths and URLs of each record, in the order in which the records are computed.

    Yields
    ------
    A function to call once a record, when it is done with: its files are let go, and the fetching
    goes on.

    Examples
    --------
    >>> with fetch_ahead([["/a.nii"], ["/b.nii"]]) as done:
    ...     done()
    ...     done()
    """
    ahead = _Ahead(iter(rows))
    try:
        ahead.go_on()
        yield ahead.done
    finally:
        ahead.stop()


@dataclass(eq=False)
class _File:
    """A file that is fetched ahead."""

    path: str
    size: int = 0
    held: Held | None = None
    wanted: bool = True


class _Ahead:
    def __init__(self, coming: Iterator[Iterable[str]]) -> None:
        self._coming, self._rows = coming, deque[list[_File]]()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="entense-fetch")
        self._changed, self._taken = threading.Condition(), 0  # bytes held ahead

    def go_on(self) -> None:
        """Look at further rows, and fetch what is not here."""
        while len(self._rows) < _ROWS and (paths := next(self._coming, None)) is not None:
            row = [_File(path) for path in dict.fromkeys(paths) if files.is_remote(path)]
            self._rows.append(row)
            for file in row:
                self._pool.submit(self._fetch, file)

    def done(self) -> None:
        """Let the files of the first row go, and fetch further ones."""
        if self._rows:
            self._let_go(self._rows.popleft())
        self.go_on()

    def stop(self) -> None:
        """Let all files go."""
        while self._rows:
            self._let_go(self._rows.popleft())
        self._pool.shutdown(cancel_futures=True)

    def _fetch(self, file: _File) -> None:
        """Fetch a file when there is room for it, and hold it while it is wanted."""
        if not self._has_taken(file):
            return
        held = _opened(file.path)
        with self._changed:
            if held is not None and file.wanted:
                file.held = held
                return
        self._give_back(file, held)

    def _has_taken(self, file: _File) -> bool:
        """Wait for room; whether the file is wanted still."""
        file.size = (files.version_of(file.path) or (0,))[0] or 0
        most = capacity() // 2

        def has_room() -> bool:
            return not (file.wanted and self._taken and self._taken + file.size > most)

        with self._changed:
            self._changed.wait_for(has_room)
            self._taken += file.size if file.wanted else 0
            return file.wanted

    def _let_go(self, row: list[_File]) -> None:
        for file in row:
            with self._changed:
                file.wanted = False
                self._changed.notify_all()
            if file.held is not None:
                self._give_back(file, file.held)

    def _give_back(self, file: _File, held: Held | None) -> None:
        if held is not None:
            held.__exit__(None, None, None)
        with self._changed:
            self._taken -= file.size
            self._changed.notify_all()


def _opened(path: str) -> Held | None:
    held = files.local(path)
    try:
        held.__enter__()
    except Exception:  # the record meets it too, and says so
        return None
    return held
