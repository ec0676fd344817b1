"""What SLURM says of jobs: squeue alone is asked, as many clusters keep no accounts."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from entense.errors import ExecutionError
from entense.execute.pydra.tasks import Handle, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entense.execute.pydra.tasks import How

_LOG = logging.getLogger("entense")

SCRIPT = "job.sh"  # in the folder of a run, while there may be jobs of it

_HOW: dict[str, How] = {"CANCELLED": "cancelled", "TIMEOUT": "timeout", "DEADLINE": "timeout"}
_HOW |= {"OUT_OF_MEMORY": "killed", "FAILED": "killed"}
_ENDED = {*_HOW, "COMPLETED", "NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED"}
_REMEDY = {
    "timeout": "give it longer (time=)",
    "killed": "often it was out of memory: give it more (memory=)",
    "cancelled": "run it again",
    "lost": "run it again",
}
_TURN = {"None", "Resources", "Priority"}  # why a job waits that will have its turn
# looks in a row that show nothing: some disks show a new file to other machines a minute late
_PATIENCE = 13
_RUNS = f"run-{'[0-9a-f]' * 12}/{SCRIPT}"  # of no other name: scancel takes what it is given
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
        self._states: dict[str, str] | None = None
        self._looked = float("-inf")
        self._told: set[str] = set()

    async def outcome(self, job: str, handle: Handle) -> Outcome:
        """Wait for a job to end, and return its outcome, or SLURM's word if it left none."""
        silent = 0
        while True:
            await asyncio.sleep(self.seconds)
            states = await self._look()
            if left := _left(handle):
                return left
            if states is None:
                continue
            state = states.get(job, "GONE")
            silent = silent + 1 if state.split(" ")[0] in ("GONE", "COMPLETED") else 0
            if silent > _PATIENCE or state.split(" ")[0] in _ENDED - {"COMPLETED"}:
                return _said(handle, job, state)

    async def _look(self) -> dict[str, str] | None:
        """Return the states of the jobs; None where SLURM does not answer, which says nothing."""
        async with self._looking:
            if time.monotonic() - self._looked >= self.seconds:
                self._states = await asyncio.to_thread(_states, self._name)
                self._looked = time.monotonic()
                self._tell(self._states or {})
            return self._states

    def _tell(self, states: Mapping[str, str]) -> None:
        """Warn once of each reason why jobs wait that may never begin."""
        waiting = [state[9:-1] for state in states.values() if state.startswith("PENDING (")]
        for reason, number in Counter(waiting).items():
            if reason not in self._told | _TURN:
                self._told.add(reason)
                _LOG.warning(
                    "SLURM lets %d of the jobs wait, and says why: %s; if that does not pass (see "
                    "`squeue --name=%s`), stop this run and ask for something else: what is done "
                    "is kept",
                    *(number, reason, self._name),
                )


def name_of(folder: Path) -> str:
    """Return what the jobs of a run are called, by its folder."""
    return f"entense-{folder.name.removeprefix('run-')}"


def stop_left(cache: Path) -> None:
    """Cancel the jobs that drivers left which were killed, and wait until they are gone.

    Only for a `cache` on which no other driver is at work: its jobs would be cancelled too.

    Examples
    --------
    >>> stop_left(Path("a-cache-of-no-run"))
    """
    for script in sorted(Path(cache).glob(_RUNS)):
        if not shutil.which("scancel"):
            raise ExecutionError(
                f"{script.parent}: a run that was killed may have left jobs of SLURM, and this "
                "machine has no scancel to stop them; run again where jobs are submitted from, or "
                "delete that folder once they have ended"
            )
        cancel(name_of(script.parent))
        script.unlink()


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
    """Run a command of SLURM's; one that cannot be started has failed."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:  # a login node with too many processes, for one
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]}: {error.strerror}")


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
