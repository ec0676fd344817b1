"""What our workers share: Pydra keeps the graph, and the task itself runs without it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from pydra.engine.result import Result, save
from pydra.workers.base import Worker

from entense.errors import ExecutionError
from entense.execute.pydra.tasks import Handle, Outcome, keep


class Placing(Worker):  # type: ignore[misc]  # Pydra is untyped
    """A worker of Pydra that places a task somewhere and keeps how it ended.

    The other side needs no Pydra, no pickle and no lock: it gets the task as JSON. A task that
    failed is a result like any other here, or Pydra would drop the results of all.
    """

    _plugin_name = "entense"

    def __init__(self) -> None:
        self.loop: Any = None  # Pydra sets it
        self.problem: ExecutionError | None = None  # what ends the run, and not one task
        self.at_once: int | None = None  # so many tasks; None where nobody knows

    def prepare(self) -> None:  # most need nothing
        """Get ready to run; raises an ExecutionError where that cannot be."""

    @abstractmethod
    async def place(self, handle: Handle) -> Outcome:
        """Run a task somewhere, and return how it ended."""

    async def run(self, job: Any, rerun: bool = False) -> Any:
        """Run a job of Pydra's."""
        handle = job.task.handle
        try:
            keep(handle, await self.place(handle))
        except ExecutionError as error:
            self.problem = error
            raise
        outputs = job.task.Outputs(out=handle.outcome)
        result = Result(cache_dir=job.cache_dir, outputs=outputs, task=job.task)
        save(job.cache_dir, result=result)
        return result

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: processes and connections stay where they are."""
        return {"loop": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set the nothing."""
        self.loop = None
