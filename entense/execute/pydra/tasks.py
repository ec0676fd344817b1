"""What a task is, how one is run, and how it ended: all that a worker process must know."""

from __future__ import annotations

import importlib
import json
import os
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from entense.errors import EntenseError, ExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

How = Literal["done", "raised", "killed", "cancelled", "timeout", "lost"]


@dataclass(frozen=True)
class Task:
    """A function to call with a JSON file and a digest, and what that takes.

    Parameters
    ----------
    name
        What an error calls it: ``"train-000003 to train-000007"``.
    entry
        ``"package.module:function"``, a function of two strings. Only functions of entense, or of
        the modules that the caller of `run_tasks` named.
    job
        The first: the absolute path of a JSON file.
    digest
        The other: of all that decides the result, for the function to verify.
    memory
        Bytes that it asks for.
    cores
        Cores that it asks for, and keeps to.
    gpus
        GPUs that it asks for.
    """

    name: str
    entry: str
    job: str
    digest: str
    memory: int
    cores: int = 1
    gpus: int = 0


@dataclass(frozen=True)
class Ended:
    """How a task ended.

    Parameters
    ----------
    task
        The task.
    how
        ``"done"``; ``"raised"`` an exception; ``"killed"`` with its process, by a signal or for
        want of memory; ``"cancelled"`` by someone; ``"timeout"``, stopped by a limit; ``"lost"``:
        nobody knows, as when its node went down.
    error
        What happened and what to do, in a sentence; None where it is done.
    """

    task: Task
    how: How
    error: str | None


@dataclass(frozen=True)
class Outcome:
    """How a task ended, as it travels: in JSON."""

    how: How
    error: str | None = None

    def to_json(self) -> str:
        """Return one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """Read one; raises a ValueError for anything else."""
        said = json.loads(text)
        if not isinstance(said, dict) or said.get("how") not in get_args(How):
            raise ValueError(f"{text[:80]!r} is no outcome of a task")
        return cls(said["how"], said.get("error"))


@dataclass(frozen=True)
class Handle:
    """A task as Pydra and the workers hold it: it hashes by where it is to report.

    Parameters
    ----------
    task
        The task.
    modules
        Modules that the user named: imported before it runs.
    outcome
        The file that its outcome is written to.
    """

    task: Task
    modules: tuple[str, ...]
    outcome: str

    def __bytes_repr__(self, cache: Any) -> Iterator[bytes]:  # Pydra's protocol
        """Yield what Pydra hashes; it gives a workflow of the same hash the handles of the last."""
        yield self.outcome.encode()

    def to_json(self) -> str:
        """Return one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Handle:
        """Read one."""
        said = json.loads(text)
        return cls(Task(**said["task"]), tuple(said["modules"]), said["outcome"])


def attempt(handle: Handle) -> Outcome:
    """Run a task and say how it ended; its traceback goes to stderr, the log of the worker."""
    try:
        for module in handle.modules:
            importlib.import_module(module)
        _function(handle.task.entry)(handle.task.job, handle.task.digest)
    except BaseException as error:  # a task that calls sys.exit has not done its work either
        traceback.print_exc()
        said = str(error) if isinstance(error, EntenseError) else _named(error)
        return Outcome("raised", f"{handle.task.name}: {said}")
    return Outcome("done")


def keep(handle: Handle, outcome: Outcome) -> None:
    """Write an outcome where the driver looks for it, whole or not at all."""
    file = Path(handle.outcome)
    written = file.with_suffix(f".{os.getpid()}")
    written.write_text(outcome.to_json())
    written.replace(file)


def check_entry(task: Task, modules: tuple[str, ...]) -> None:
    """Raise an ExecutionError for a function that no worker would call."""
    module, colon, function = task.entry.partition(":")
    allowed = ("entense", *modules)
    if not (colon and function) or not any(f"{module}.".startswith(f"{a}.") for a in allowed):
        raise ExecutionError(
            f"{task.name}: {task.entry!r} is no function of {' or '.join(allowed)}; "
            "name its module in modules="
        )


def _function(entry: str) -> Callable[[str, str], object]:
    """Return the function of a task, which `check_entry` has let pass."""
    module, _, function = entry.partition(":")
    found: Callable[[str, str], object] = getattr(importlib.import_module(module), function)
    return found


def _named(error: BaseException) -> str:
    """Say what kind of error it is, for those that are not ours."""
    text = str(error).encode(errors="backslashreplace").decode()  # of names that are no UTF-8
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
