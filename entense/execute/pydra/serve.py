"""A worker process: reads tasks as JSON lines from stdin, answers each with a line on stdout.

Plain subprocesses rather than multiprocessing: they never import `__main__` again, so that scripts
without a guard, notebooks and programs read from stdin are all the same to them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from entense.execute.pydra.tasks import Handle, attempt, keep


def serve(parent: int) -> None:
    """Run what comes, in one process, until nobody asks any more."""
    stay_with(parent)
    asked, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what a task prints is no answer: to the log with it
    for line in asked:
        answers.write(answer(line) + "\n")


def answer(line: str) -> str:
    """Run a task and say how it ended, both in JSON."""
    return attempt(Handle.from_json(line)).to_json()


def once(file: str) -> None:
    """Run the one task of a file and leave its outcome beside it, as a job of a cluster does.

    The job ends well even where the task did not: its outcome may be seen later than its end.
    """
    handle = Handle.from_json(Path(file).read_text())
    keep(handle, attempt(handle))


def stay_with(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end, with all that was started here, once it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """End the group of this process when its parent is another."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    once(sys.argv[1])
