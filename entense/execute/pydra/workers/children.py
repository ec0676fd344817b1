"""Processes that are started here: each keeps to its cores, and none outlives this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from entense.errors import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from entense.execute.pydra.tasks import Task

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


def places(tasks: Sequence[Task], n_procs: int | None) -> list[Place]:
    """Return where processes go: as many as the cores and GPUs of this machine hold."""
    if n_procs is not None and n_procs < 1:
        raise ExecutionError(f"n_procs={n_procs} are no processes; give 1 or more")
    cores, gpus = max(task.cores for task in tasks), max(task.gpus for task in tasks)
    available = _cores()
    devices = _devices(gpus) if gpus else []
    most = min(max(1, len(available) // cores), len(devices) // gpus if gpus else len(tasks))
    number = min(n_procs or most, len(tasks))
    return [
        Place(
            tuple(sorted({available[(i * cores + j) % len(available)] for j in range(cores)})),
            tuple(devices[(i * gpus + j) % len(devices)] for j in range(gpus)) if gpus else None,
        )
        for i in range(number)
    ]


def told(processes: int) -> str:
    """Say how many processes there are."""
    return f"{processes} process{'es' if processes > 1 else ''}"


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


def _cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _devices(wanted: int) -> list[str]:
    """Return the GPUs of this machine."""
    from pathlib import Path

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = [d.name.removeprefix("nvidia") for d in sorted(Path("/dev").glob("nvidia[0-9]*"))]
    devices = there if visible is None else [one for one in visible.split(",") if one]
    if len(devices) < wanted:
        raise ExecutionError(
            f"a task asks for {wanted} GPUs and this machine shows {len(devices)}; "
            "ask for fewer, or set CUDA_VISIBLE_DEVICES"
        )
    return devices
