"""SIGTERM, which schedulers and `timeout` send: the run ends as by Ctrl-C, the process of it."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Asked(BaseException):  # as KeyboardInterrupt: no error that a user's code should catch
    """Someone asked this process to end."""


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let what is within clean up before this process dies of a SIGTERM.

    A handler of the user's own is left to do what it does; outside the main thread there is none.
    """
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _ask)
    try:
        yield
    except _Asked:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _ask(*_: object) -> None:
    """Raise, once: a second SIGTERM would break the cleaning up."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Asked
