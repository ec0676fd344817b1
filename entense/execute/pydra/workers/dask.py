"""Dask: a scheduler that is there, or one of our own with processes of this machine."""

from __future__ import annotations

import asyncio
import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from entense.errors import ExecutionError
from entense.execute.pydra.serve import answer
from entense.execute.pydra.tasks import Handle, Outcome
from entense.execute.pydra.workers.base import Placing
from entense.execute.pydra.workers.children import end, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path

    from entense.execute.pydra.tasks import How, Task
    from entense.execute.pydra.workers.crew import Crew

# a nanny replaces a worker that was killed; Dask's LocalCluster would import `__main__` again
_WORKER = (
    "from entense.execute.pydra.serve import stay_with; stay_with({parent}); "
    "from distributed.cli.dask_worker import main; main({arguments})"
)
_OFTEN = ", often because their machine was out of memory; run fewer at a time or on a larger one"


class Dask(Placing):
    """Hands each task to Dask as a future.

    Parameters
    ----------
    address
        Of a scheduler; None for one of our own.
    crew
        The worker processes of our own.
    folder
        The folder of the run.
    """

    def __init__(self, address: str | None, crew: Crew | None, folder: Path) -> None:
        super().__init__()
        self._address, self._crew, self._folder = address, crew, folder
        self.at_once = len(crew.places) if crew else None
        self._connecting = asyncio.Lock()
        # one task a process of ours: Dask holds those that wait on a worker to blame for its death
        self._free = asyncio.Semaphore(self.at_once) if self.at_once else nullcontext()
        self._processes: list[subprocess.Popen[str]] = []
        self._scheduler: Any = None
        self._security: Any = None
        self._client: Any = None

    def prepare(self) -> None:
        """Raise an ExecutionError where Dask is not installed; warn where memory is not for all."""
        try:
            import cryptography  # noqa: F401
            import distributed  # noqa: F401
        except ImportError as error:
            raise ExecutionError(
                f"worker='dask' needs Dask ({error}); pip install 'entense[dask]'"
            ) from error
        if self._crew:
            self._crew.warn()

    async def place(self, handle: Handle) -> Outcome:
        """Submit a task and wait for its future."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        async with self._connecting:
            self._client = self._client or await self._connect()
        try:
            async with self._free:
                said = await self._client.submit(answer, handle.to_json(), pure=False)
        except KilledWorker:
            return _failed(handle, "killed", f"the Dask worker that ran it died{_OFTEN}")
        except FutureCancelledError as error:
            return _failed(handle, "cancelled", f"Dask cancelled it ({error}); run it again")
        except Exception as error:  # Dask's own: a worker without entense, for one
            return _failed(handle, "lost", f"Dask: {type(error).__name__}: {error}")
        return Outcome.from_json(said)

    def drawn(self, tasks: Sequence[Task]) -> str:
        """Say where the tasks would run."""
        return f"dask: {self._address or f'a scheduler of its own, {self._crew}'}"

    def close(self) -> None:
        """Release the futures, and end the processes of our own."""
        for process in self._processes:
            end(process)
        self.loop.run_until_complete(self._disconnect())

    async def _connect(self) -> Any:
        """Return a client of the scheduler, which is started where there is none."""
        from distributed import Client

        address = self._address or await self._start()
        try:
            return await Client(
                address, asynchronous=True, set_as_default=False, security=self._security
            )
        except (OSError, ValueError) as error:
            raise ExecutionError(
                f"address={address!r}: no Dask scheduler answers ({error}); start one there with "
                "`dask scheduler`, or leave address= out"
            ) from error

    async def _start(self) -> str:
        """Start a scheduler and its workers; return its address."""
        from distributed import Scheduler, Security

        assert self._crew  # noqa: S101  # as there is no address
        self._security = security = Security.temporary()  # others of this machine are kept out
        self._scheduler = await Scheduler(
            protocol="tls",
            security=security,
            host="127.0.0.1",
            port=0,
            dashboard=False,
            dashboard_address="127.0.0.1:0",
            # what killed a worker is not given to others: who asked decides what is tried again
            allowed_failures=0,
        )
        address: str = self._scheduler.address
        scratch = str(self._folder / "dask")
        arguments = [address, "--nthreads=1", "--memory-limit=0", "--no-dashboard"]
        arguments += [f"--local-directory={scratch}", "--death-timeout=60"]
        keys = self._folder / "dask.pem"
        keys.touch(mode=0o600)
        keys.write_text(security.tls_worker_key + security.tls_worker_cert)
        arguments += [f"--tls-{part}={keys}" for part in ("ca-file", "cert", "key")]
        call = _WORKER.format(parent=os.getpid(), arguments=arguments)
        for i, place in enumerate(self._crew.places):
            log = self._folder / "logs" / f"dask-{i}.log"
            self._processes.append(start(place, call, log, answers=False))
        return address

    async def _disconnect(self) -> None:
        """Close what was connected."""
        for one in (self._client, self._scheduler):
            if one is not None:
                await one.close()


def _failed(handle: Handle, how: How, why: str) -> Outcome:
    """Return the outcome of a task that has left none."""
    return Outcome(how, f"{handle.task.name}: {why}")
