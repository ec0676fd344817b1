"""Pydra's worker of SGE, mended: that of 1.0a12 fails at its first job."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from pydra.workers.sge import SgeWorker

from entense.errors import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entense.execute.pydra.tasks import Task


class Sge(SgeWorker):  # type: ignore[misc]  # Pydra is untyped
    """Submits tasks as arrays of jobs; what a task asks for is said in `default_qsub_args`."""

    _plugin_name = "sge"

    def prepare(self) -> None:
        """Raise an ExecutionError where there is no SGE."""
        if not shutil.which("qsub"):
            raise ExecutionError(
                "worker='sge' needs qsub, and this machine has none; run on a node from which jobs "
                "are submitted, or with worker='process'"
            )
        # 1.0a12 adds to a dict, and looks for results by a call that Pydra has no more
        self.threads_used, self.poll_for_result_file = 0, False

    def drawn(self, tasks: Sequence[Task]) -> str:
        """Say how tasks would be submitted."""
        asked = self.default_qsub_args or "memory and cores as the queue gives them"
        return f"sge of Pydra: qsub -t … {asked} (default_qsub_args=)"
