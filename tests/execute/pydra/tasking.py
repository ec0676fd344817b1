"""What tests ask of tasks and of processes."""

import os
import time
from pathlib import Path


def said(task):
    """Return what a task wrote."""
    return Path(task.job).with_suffix(".out").read_text()


def has_started(task):
    """Say whether a task that waits is at it."""
    out = Path(task.job).with_suffix(".out")
    return out.exists() and bool(out.read_text())


def wait_for(fact, seconds=30):
    """Return once something is so; fail when it does not come about."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def is_running(pid):
    """Say whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes_of(folder):
    """Return the processes that have a folder in what they were started with."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(folder) in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
