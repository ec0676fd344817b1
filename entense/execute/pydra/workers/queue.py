"""What SLURM says of jobs: squeue alone is asked, as many clusters keep no accounts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from entense.errors import ExecutionError
from entense.execute.pydra.tasks import Handle, Outcome

if TYPE_CHECKING:
    from entense.execute.pydra.tasks import How

JOBS = "slurm-jobs"  # the file in the folder of a run: the name of its jobs, then their numbers

_HOW: dict[str, How] = {"CANCELLED": "cancelled", "TIMEOUT": "timeout", "DEADLINE": "timeout"}
_HOW |= {"OUT_OF_MEMORY": "killed", "FAILED": "killed"}
_ENDED = {*_HOW, "COMPLETED", "NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED"}
_REMEDY = {
    "timeout": "give it longer (time=)",
    "killed": "often it was out of memory: give it more (memory=)",
    "cancelled": "run it again",
    "lost": "run it again",
}
_PATIENCE = 5  # looks in a row that show nothing of a job
_STOPPING = 120  # attempts to cancel jobs, half a second each


class Queue:
    """The jobs of a run, looked at once for all who wait.

    Parameters
    ----------
    name
        What the jobs are called.
    seconds
        Between two looks.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self.seconds = seconds
        self._name, self._looking = name, asyncio.Lock()
        self._states: dict[str, str] = {}
        self._looked = float("-inf")

    async def outcome(self, job: str, handle: Handle) -> Outcome:
        """Wait for a job to end, and return its outcome, or SLURM's word if it left none."""
        silent = 0
        while True:
            await asyncio.sleep(self.seconds)
            state = (await self._look()).get(job, "GONE")
            left = _left(handle)
            silent = silent + 1 if state in ("GONE", "COMPLETED") else 0
            if left or silent > _PATIENCE or state.split(" ")[0] in _ENDED - {"COMPLETED"}:
                return left or _said(handle, job, state)

    async def _look(self) -> dict[str, str]:
        """Return the states of the jobs."""
        async with self._looking:
            if time.monotonic() - self._looked >= self.seconds:
                states = await asyncio.to_thread(_states, self._name)
                self._states = self._states if states is None else states  # its word of before
                self._looked = time.monotonic()
            return self._states


def stop_left(cache: Path) -> list[str]:
    """Cancel the jobs that drivers left which were killed, and wait until they are gone.

    Only for a `cache` on which no other driver is at work: its jobs would be cancelled too.

    Returns
    -------
    list of str
        The numbers of the jobs that those drivers had submitted.

    Examples
    --------
    >>> stop_left(Path("a-cache-of-no-run"))
    []
    """
    jobs: list[str] = []
    for file in sorted(Path(cache).glob(f"run-*/{JOBS}")):
        name, *submitted = file.read_text().splitlines()
        cancel(name)
        jobs += [line.split(" ")[0] for line in submitted]
        file.unlink()
    return jobs


def cancel(name: str) -> None:
    """Cancel all jobs of a name, and wait until none of them writes any more."""
    for _ in range(_STOPPING):
        told = call("scancel", f"--name={name}")
        states = _states(name)
        if states is not None and all(s.split(" ")[0] in _ENDED for s in states.values()):
            return
        time.sleep(0.5)
    raise ExecutionError(
        f"jobs of SLURM called {name} do not end ({told.stderr.strip()}); look for them with "
        f"`squeue --name={name}` before you run again"
    )


def number(told: str) -> str:
    """Return the number of a job as `sbatch --parsable` told it."""
    return told.split(";", maxsplit=1)[0].strip()


def call(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of SLURM's."""
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603


def _states(name: str) -> dict[str, str] | None:
    """Return the state of each job of a name; None where SLURM does not answer."""
    columns = "JobID:20,State:20,exit_code:12,Reason:60"
    told = call("squeue", "--noheader", "--states=all", f"--name={name}", f"--Format={columns}")
    if told.returncode:
        return None
    jobs = (line.split(maxsplit=3) for line in told.stdout.splitlines())
    return {job: _worded(state, int(code), reason) for job, state, code, reason in jobs}


def _worded(state: str, status: int, reason: str) -> str:
    """Return a state with what explains it: a signal, a code, or SLURM's reason."""
    if state != "FAILED":
        return f"{state} ({reason.strip()})"
    code = os.waitstatus_to_exitcode(status)
    return f"FAILED ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"


def _left(handle: Handle) -> Outcome | None:
    """Return the outcome that a job has left."""
    file = Path(handle.outcome)
    return Outcome.from_json(file.read_text()) if file.exists() else None


def _said(handle: Handle, job: str, state: str) -> Outcome:
    """Return the outcome of a job that left none, by what SLURM says."""
    how = _HOW.get(state.split(" ", maxsplit=1)[0], "lost")
    told = "is unknown to SLURM" if state == "GONE" else f"ended: {state}"
    return Outcome(how, f"{handle.task.name}: SLURM job {job} {told}; {_REMEDY[how]}")
