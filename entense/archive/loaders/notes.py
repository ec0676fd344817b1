"""What was left out, noted by every process that has a copy of a dataset."""

from __future__ import annotations

import json
import os
import weakref
from pathlib import Path
from tempfile import mkstemp

from entense.archive.loaders.source import Skipped


class Notes:
    """A list of what was left out; copies in other processes of this machine add to the same.

    It is a temporary file, because a worker can be started in ways that share nothing else. It goes
    with the first copy.

    Examples
    --------
    >>> import pickle
    >>> notes = Notes()
    >>> pickle.loads(pickle.dumps(notes)).add(Skipped("ds_sub-01", "it is damaged"))
    >>> notes.all()
    [Skipped(record='ds_sub-01', reason='it is damaged')]
    """

    def __init__(self) -> None:
        number, name = mkstemp(prefix="entense-skipped-")
        os.close(number)
        self._file = Path(name)
        weakref.finalize(self, _remove, self._file, os.getpid())

    def add(self, skipped: Skipped) -> None:
        """Note what was left out; of several processes that do so at once none loses a line."""
        with self._file.open("ab", buffering=0) as file:
            file.write(f"{json.dumps(skipped)}\n".encode())

    def all(self) -> list[Skipped]:
        """Return all that was noted."""
        return [Skipped(*json.loads(line)) for line in self._file.read_bytes().splitlines()]

    def __reduce__(self) -> tuple[object, ...]:
        return _copy, (self._file,)


def _copy(file: Path) -> Notes:
    """Return what adds to a file, or on another machine a list of its own."""
    if not file.exists():
        return Notes()
    notes = Notes.__new__(Notes)
    notes._file = file
    return notes


def _remove(file: Path, process: int) -> None:
    if os.getpid() == process:  # and not a fork of it
        file.unlink(missing_ok=True)
