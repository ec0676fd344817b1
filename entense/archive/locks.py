"""Who may write into an archive's folder: one process, and those that write for it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING

from entense.archive.folder import HIDDEN, RUNS
from entense.archive.shard import make_root, refusals
from entense.errors import ArchiveError
from entense.execute.pydra import stop_left

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

PATIENCE = 60  # seconds that workers have to notice that nobody waits for them
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other writer out of `folder`, or be kept out; a writer that dies lets go.

    The workers that a killed one has left are stopped, or waited for: this is the only one then.
    """
    with refusals(folder):
        make_root(folder / HIDDEN)
        fd = os.open(folder / HIDDEN / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if not _is_free(fd):
            raise ArchiveError(
                f"another process is writing into {folder}; wait until it is done, "
                "or choose another folder"
            )
        _end_killed(folder / RUNS)
        yield
    finally:
        os.close(fd)


def sharing(runs: Path) -> AbstractContextManager[None]:
    """Say that this process writes parts for a run whose tasks are within `runs`."""
    return _held(runs / "workers", fcntl.LOCK_SH)


def in_turn(batch: Path) -> AbstractContextManager[None]:
    """Wait until no other process writes the parts of a batch, and keep others waiting."""
    return _held(batch, fcntl.LOCK_EX)


@contextmanager
def alone(runs: Path) -> Iterator[None]:
    """Wait until no worker writes for a run within `runs`; an ArchiveError where one goes on."""
    fd = os.open(runs / "workers", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    end = monotonic() + PATIENCE
    try:
        while not _is_free(fd):
            if monotonic() > end:
                raise ArchiveError(
                    f"workers of an earlier run, or that were given up, still write into "
                    f"{runs.parents[1]}; cancel their jobs, or wait until they end, and write again"
                )
            sleep(0.2)
        yield
    finally:
        os.close(fd)


def _end_killed(runs: Path) -> None:
    """Stop, or wait for, the workers of a run that was killed; clear away its tasks."""
    if not runs.exists():
        return
    for cache in runs.glob("*/pydra"):
        stop_left(cache)
    with alone(runs):
        shutil.rmtree(runs, ignore_errors=True)


@contextmanager
def _held(file: Path, how: int) -> Iterator[None]:
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        with suppress(OSError):  # some network disks have no locks: then care is the user's
            fcntl.flock(fd, how)
        yield
    finally:
        os.close(fd)


def _is_free(fd: int) -> bool:
    """Lock a file, if nobody holds it; where the disk has no locks, care is the user's."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True
