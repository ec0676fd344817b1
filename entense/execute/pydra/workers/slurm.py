"""Jobs of a SLURM cluster, one a task; asks squeue alone, as many clusters keep no accounts."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from entense.errors import ExecutionError
from entense.execute.pydra.tasks import Handle, Outcome
from entense.execute.pydra.workers.base import Placing
from entense.execute.pydra.workers.children import python_path, threads
from entense.execute.pydra.workers.slurm_queue import SCRIPT, Queue, call, cancel, name_of, number

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from entense.execute.pydra.tasks import Task

_PASSING = ("limit", "timed out", "temporarily")  # refusals that end as other jobs do


class Slurm(Placing):
    """Submits each task as a job and waits for it; closing it cancels what is left.

    Parameters
    ----------
    folder
        The folder of the run, on storage that the nodes share.
    arguments
        Of sbatch, for every task.
    poll_seconds
        How often the queue is looked at.
    """

    def __init__(self, folder: Path, arguments: Sequence[str], poll_seconds: float) -> None:
        super().__init__()
        self._name, self._logs, self._script = name_of(folder), folder / "logs", folder / SCRIPT
        self._arguments = list(arguments)
        self._running: set[str] = set()
        self._has_given_up = False
        self._queue = Queue(self._name, poll_seconds)

    def prepare(self) -> None:
        """Raise an ExecutionError where there is no SLURM."""
        if not shutil.which("sbatch"):
            raise ExecutionError(
                "worker='slurm' needs sbatch, and this machine has none; run on a node from which "
                "jobs are submitted, or with worker='process'"
            )

    async def place(self, handle: Handle) -> Outcome:
        """Submit a task and wait for its job."""
        if not self._script.exists():  # before the first job: `stop_left` goes by it
            self._script.write_text(_script())
        job = await self._submitted(handle)
        outcome = await self._queue.outcome(job, handle)
        self._running.discard(job)
        self._has_given_up |= outcome.how == "lost"
        if outcome.error is None:
            return outcome
        return Outcome(outcome.how, f"{outcome.error} (log: {self._logs / f'slurm-{job}.err'})")

    def command(self, task: Task, *rest: str) -> list[str]:
        """Return the line that submits a task."""
        return [
            "sbatch",
            "--parsable",
            "--no-requeue",
            f"--job-name={self._name}",
            f"--output={self._logs / 'slurm-%j.out'}",
            f"--error={self._logs / 'slurm-%j.err'}",
            f"--cpus-per-task={task.cores}",
            f"--mem={-(-task.memory // 2**20)}M",
            *([f"--gres=gpu:{task.gpus}"] if task.gpus else []),
            *self._arguments,
            *rest,
        ]

    def drawn(self, tasks: Sequence[Task]) -> str:
        """Say how the largest task would be submitted."""
        largest = max(tasks, key=lambda task: (task.memory, task.cores))
        return f"slurm: {shlex.join(self.command(largest, self._script.name, '<task>'))}"

    def close(self) -> None:
        """Cancel the jobs that are left: those just being submitted, those given up."""
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        try:
            if self._running or self._has_given_up:
                cancel(self._name)
            self._script.unlink(missing_ok=True)
        except ExecutionError as error:
            self.problem = error  # `follow` raises it: Pydra has a loop to close yet

    async def _submitted(self, handle: Handle) -> str:
        """Return the number of a task's job; where a limit is met, submit it again later."""
        while True:
            done = await asyncio.to_thread(self._submit, handle)
            if not done.returncode:
                return number(done.stdout)
            if not self._running or not any(word in done.stderr.lower() for word in _PASSING):
                raise ExecutionError(
                    f"{handle.task.name}: sbatch refused it: {done.stderr.strip()}; see "
                    "partition=, time=, memory=, cores= and sbatch_args="
                )
            await asyncio.sleep(self._queue.seconds)

    def _submit(self, handle: Handle) -> subprocess.CompletedProcess[str]:
        """Submit a task."""
        file = Path(handle.outcome).with_suffix(".task")
        file.write_text(handle.to_json())
        done = call(*self.command(handle.task, str(self._script), str(file)))
        if not done.returncode:
            self._running.add(number(done.stdout))
        return done


def _script() -> str:
    """Return what a job runs: this Python, with what this Python finds, on the cores it got."""
    cores = threads("${SLURM_CPUS_PER_TASK:-1}")
    exports = [f"export {name}={value}" for name, value in cores.items()]
    exports += [f"export {name}={shlex.quote(value)}" for name, value in python_path().items()]
    run = f'exec {shlex.quote(sys.executable)} -P -m entense.execute.pydra.serve "$1"'
    return "\n".join(["#!/bin/sh", *exports, run, ""])
