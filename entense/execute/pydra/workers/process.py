"""Processes of this machine that live for many tasks: compiled programs stay warm."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING

from entense.execute.pydra.tasks import Handle, Outcome
from entense.execute.pydra.workers.base import Placing
from entense.execute.pydra.workers.children import Place, close, end, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path

    from entense.execute.pydra.tasks import Task
    from entense.execute.pydra.workers.crew import Crew


class Server:
    """A process that is asked for one task at a time, and replaced when it dies of one.

    Parameters
    ----------
    place
        The cores and GPUs that it has.
    log
        Where what it says goes.
    """

    def __init__(self, place: Place, log: Path) -> None:
        self._place, self._log = place, log
        self._process: subprocess.Popen[str] | None = None
        self._starting = threading.Lock()
        self._is_over = False

    def ask(self, handle: Handle) -> Outcome:
        """Have a task run, and wait for it."""
        process = self._running()
        assert process.stdin and process.stdout  # noqa: S101  # as it was started
        try:
            process.stdin.write(handle.to_json() + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        return self._told(Outcome.from_json(answer)) if answer else self._died(handle, process)

    def end(self) -> None:
        """Kill the process, and start no other."""
        with self._starting:
            self._is_over = True
            if self._process:
                end(self._process)

    def close(self) -> None:
        """Close the pipes of a process that has ended and that nobody asks."""
        if self._process:
            close(self._process)

    def _running(self) -> subprocess.Popen[str]:
        """Return the process, a new one where there is none."""
        with self._starting:
            if self._is_over:
                raise ChildProcessError("the run is over")
            if self._process is None:
                call = f"from entense.execute.pydra.serve import serve; serve({os.getpid()})"
                self._process = start(self._place, call, self._log)
            return self._process

    def _died(self, handle: Handle, process: subprocess.Popen[str]) -> Outcome:
        """Say what ended the process, and forget it."""
        end(process)
        close(process)
        self._process = None
        code = process.returncode
        cause = (
            f"was killed by {signal.Signals(-code).name}, often because the machine was out of "
            "memory; run fewer at a time (n_procs=) or let it take less (memory=)"
            if code < 0
            else f"ended with code {code} in the middle"
        )
        return self._told(Outcome("killed", f"{handle.task.name}: its process {cause}"))

    def _told(self, outcome: Outcome) -> Outcome:
        """Add to an error where there is more of it."""
        if outcome.error is None:
            return outcome
        return Outcome(outcome.how, f"{outcome.error} (log: {self._log})")


class Processes(Placing):
    """Places tasks on a crew of processes.

    Parameters
    ----------
    crew
        Who they are.
    logs
        The folder of their logs.
    """

    def __init__(self, crew: Crew, logs: Path) -> None:
        super().__init__()
        self._crew, self.at_once = crew, len(crew.places)
        self._servers = [Server(p, logs / f"process-{i}.log") for i, p in enumerate(crew.places)]
        self._free: SimpleQueue[Server] = SimpleQueue()
        for server in self._servers:
            self._free.put(server)
        self._threads = ThreadPoolExecutor(self.at_once, thread_name_prefix="entense-ask")

    def prepare(self) -> None:
        """Warn where memory is not for all."""
        self._crew.warn()

    async def place(self, handle: Handle) -> Outcome:
        """Wait for a free process and run it there."""
        return await self.loop.run_in_executor(self._threads, self._ask, handle)  # type: ignore[no-any-return]

    def drawn(self, tasks: Sequence[Task]) -> str:
        """Say where the tasks would run."""
        return f"process: {self._crew}"

    def close(self) -> None:
        """End the processes."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for server in self._servers:
            server.end()
        self._threads.shutdown(wait=True)
        for server in self._servers:
            server.close()

    def _ask(self, handle: Handle) -> Outcome:
        """Ask whichever process is free."""
        server = self._free.get()
        try:
            return server.ask(handle)
        finally:
            self._free.put(server)
