"""From what a user says to a worker of Pydra's."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Any

from entense.errors import ExecutionError, hint
from entense.execute.pydra.workers.crew import Crew

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from entense.execute.pydra.tasks import Task


def choose(worker: Any, tasks: Sequence[Task], folder: Path, options: dict[str, Any]) -> Any:
    """Return the worker that was asked for, ready to be handed to Pydra.

    Raises an ExecutionError where there is none of that name, an option is not one of its, or a
    package is missing.
    """
    os.environ.setdefault("NO_ET", "1")  # no telemetry
    try:
        from pydra.engine.submitter import Worker  # pydra.workers first is a circle of imports
    except ImportError as error:
        raise ExecutionError(
            f"executor='pydra' needs Pydra ({error}); pip install 'entense[pydra]'"
        ) from error
    if isinstance(worker, str) and worker in _OURS:
        return _called(_OURS[worker], worker, options, tasks, folder)
    make = type(worker) if isinstance(worker, Worker) else _theirs(worker, Worker)
    if make is Worker.plugin("cf"):
        raise ExecutionError(
            f"worker={worker!r} forks this process, and what JAX and Polars have begun here then "
            "waits for ever; use worker='process'"
        )
    if make is not type(worker):
        return _called(make, worker, options)
    if options:
        raise ExecutionError(
            f"worker={worker!r} is there already, so that {next(iter(options))}= comes too late; "
            "give it to the worker when you make it"
        )
    return worker


def _processes(tasks: Sequence[Task], folder: Path, *, n_procs: int | None = None) -> Any:
    from entense.execute.pydra.workers.process import Processes

    return Processes(Crew.of(tasks, n_procs), folder / "logs")


def _dask(
    tasks: Sequence[Task], folder: Path, *, address: str | None = None, n_procs: int | None = None
) -> Any:
    from entense.execute.pydra.workers.dask import Dask

    return Dask(address, None if address else Crew.of(tasks, n_procs), folder)


def _slurm(
    tasks: Sequence[Task],
    folder: Path,
    *,
    partition: str | None = None,
    time: str | int | None = None,
    account: str | None = None,
    sbatch_args: Sequence[str] = (),
    poll_seconds: float = 5.0,
) -> Any:
    from entense.execute.pydra.workers.slurm import Slurm

    if isinstance(sbatch_args, str):
        raise ExecutionError(f"sbatch_args={sbatch_args!r} is one string; give a list of strings")
    if not isinstance(poll_seconds, int | float) or poll_seconds <= 0:
        raise ExecutionError(
            f"poll_seconds={poll_seconds!r} is no time between two looks; give seconds, such as 5"
        )
    named = {"partition": partition, "time": time, "account": account}
    arguments = [f"--{name}={value}" for name, value in named.items() if value is not None]
    return Slurm(folder, [*arguments, *sbatch_args], poll_seconds)


_OURS: dict[str, Callable[..., Any]] = {"process": _processes, "dask": _dask, "slurm": _slurm}


def _theirs(worker: Any, base: Any) -> Callable[..., Any]:
    """Return a class of worker of Pydra's or of the user's."""
    if isinstance(worker, type) and issubclass(worker, base):
        return worker
    there = {*_OURS, *(str(name) for name in base.available_plugins())}
    if not isinstance(worker, str) or worker.replace("-", "_") not in there:
        raise ExecutionError(f"worker={worker!r} is no worker; {hint(worker, sorted(there))}")
    if worker == "sge":
        from entense.execute.pydra.workers.sge import Sge

        return Sge
    return base.plugin(worker)  # type: ignore[no-any-return]


def _called(make: Callable[..., Any], name: object, options: dict[str, Any], *given: Any) -> Any:
    """Make a worker with options, which must be its own."""
    parameters = list(inspect.signature(make).parameters)[len(given) :]
    for option in options:
        if option not in parameters:
            raise ExecutionError(
                f"worker={name!r} has no option {option!r}; {hint(option, parameters)}"
            )
    return make(*given, **options)
