"""Processes that are started here: each keeps to its cores, and none outlives this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# that Python keeps to its cores before any package is imported that counts them
_BOOT = "import os; os.sched_setaffinity(0, {cores}) if hasattr(os, 'sched_setaffinity') else 0; "
_THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")


@dataclass(frozen=True)
class Place:
    """What a process has for itself.

    Parameters
    ----------
    cores
        Numbers of the cores that it keeps to.
    gpus
        Devices that it sees; None for whatever this process sees.
    """

    cores: tuple[int, ...]
    gpus: tuple[str, ...] | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment of a process here."""
        seen = {} if self.gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)}
        return os.environ | python_path() | threads(len(self.cores)) | seen


def python_path() -> dict[str, str]:
    """Return what lets another Python find the modules that this one finds."""
    return {"PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in sys.path)}  # noqa: PTH100  # Path("") is "."


def threads(cores: int | str) -> dict[str, str]:
    """Return what keeps BLAS, XLA and Polars to a number of cores, and JAX to what it uses."""
    counts = {f"{library}_NUM_THREADS": str(cores) for library in _THREADS}
    counts |= {"NPROC": str(cores), "POLARS_MAX_THREADS": str(cores)}
    # JAX else takes most of a GPU for itself, and others of the run may be on it
    name = "XLA_PYTHON_CLIENT_PREALLOCATE"
    return counts | {name: os.environ.get(name, "false")}


def start(place: Place, call: str, log: Path, *, answers: bool = True) -> subprocess.Popen[str]:
    """Start a Python that does `call`, a statement; one that answers is talked to by pipes."""
    with log.open("a") as said:
        return subprocess.Popen(  # noqa: S603  # our Python, our words
            [sys.executable, "-P", "-c", _BOOT.format(cores=set(place.cores)) + call],
            stdin=subprocess.PIPE if answers else subprocess.DEVNULL,
            stdout=subprocess.PIPE if answers else said,
            stderr=said,
            text=True,
            env=place.environment(),
            start_new_session=True,  # a Ctrl-C in the terminal is the driver's, and is told by it
        )


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process and all that it started."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def close(process: subprocess.Popen[str]) -> None:
    """Close the pipes of a process that is gone."""
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(BrokenPipeError):  # a line that it did not take
                pipe.close()
