"""The workflow that Pydra runs: one node, split over the tasks."""

from __future__ import annotations

from typing import Any

from pydra.compose import python, workflow
from pydra.engine.audit import Audit

from entense.execute.pydra.tasks import Handle, attempt, keep


class Still(Audit):  # type: ignore[misc]  # Pydra is untyped
    """An audit that notes nothing, and stays where it is.

    Pydra's own changes the working folder of this process, which is the user's, for the whole run.
    """

    def start_audit(self, odir: Any) -> None:
        """Start nothing."""
        self.odir = odir


@python.define(outputs=["out"])  # type: ignore[untyped-decorator]
def Run(handle: Handle) -> str:  # noqa: N802  # Pydra makes a class of it
    """Run a task where a worker of Pydra's put it; ours place it themselves."""
    keep(handle, attempt(handle))
    return handle.outcome


@workflow.define(outputs=["outcomes"])  # type: ignore[untyped-decorator]
def Tasks(handles: list[Handle]) -> list[str]:  # noqa: N802
    """Run all of them; the names of the files that say how each ended."""
    run: Any = workflow.add(Run().split(handle=handles).combine("handle"), name="run")
    return run.out  # type: ignore[no-any-return]
