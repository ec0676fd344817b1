"""Fetching ahead: the files of coming records arrive while those before are computed."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
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
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="entense-fetch")
    ahead = _Ahead(iter(rows), pool, deque())
    try:
        ahead.go_on()
        yield ahead.done
    finally:
        ahead.stop()
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Row:
    size: int
    fetches: tuple[Future[Held], ...]


@dataclass(frozen=True)
class _Ahead:
    coming: Iterator[Iterable[str]]
    pool: ThreadPoolExecutor
    rows: deque[_Row]

    def go_on(self) -> None:
        """Fetch for further rows, as far as there is room."""
        while len(self.rows) < _ROWS and self._has_room():
            paths = next(self.coming, None)
            if paths is None:
                return
            remote = [path for path in dict.fromkeys(paths) if files.is_remote(path)]
            size = sum((files.version_of(path) or (0,))[0] or 0 for path in remote)
            self.rows.append(_Row(size, tuple(self.pool.submit(_hold, path) for path in remote)))

    def _has_room(self) -> bool:
        held = sum(row.size for row in self.rows)
        return not held or held < capacity() // 2

    def done(self) -> None:
        """Let the files of the first row go."""
        if self.rows:
            _let_go(self.rows.popleft())
        self.go_on()

    def stop(self) -> None:
        """Let all files go."""
        while self.rows:
            _let_go(self.rows.popleft())


def _hold(path: str) -> Held:
    held = files.local(path)
    held.__enter__()
    return held


def _let_go(row: _Row) -> None:
    for future in row.fetches:
        if not future.cancel():
            future.add_done_callback(_release)


def _release(future: Future[Held]) -> None:
    if future.exception() is None:
        future.result().__exit__(None, None, None)
