"""Where the parts of an archive are written, by name: in this process, or in others."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from entense.archive.writer import serial
from entense.errors import ExecutionError
from entense.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from entense.archive.options import Options
    from entense.archive.writer import Execute


@dataclass(frozen=True)
class Elsewhere:
    """Where parts are written, and what each task asks for there.

    Parameters
    ----------
    worker
        ``"process"``, ``"dask"``, ``"slurm"``, ``"sge"``, or a worker of Pydra's.
    cores, gpus
        How many a task has.
    tasks
        About how many there are to be; None: as many as their cost asks for.
    modules
        What each process imports first: it registers ops of the user's own.
    options
        The worker's.
    """

    worker: Any = "process"
    cores: int = 1
    gpus: int = 0
    tasks: int | None = None
    modules: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise where it cannot be."""
        for name, value, least in (
            ("cores", self.cores, 1),
            ("gpus", self.gpus, 0),
            ("tasks", self.tasks, 1),
        ):
            if value is not None and value < least:
                raise ExecutionError(f"{name}={value} are too few; give {least} or more")
        if isinstance(self.modules, str):
            raise ExecutionError(
                f"modules={self.modules!r} is one name, a list is due: modules=[{self.modules!r}]"
            )

    def check_here(self) -> None:
        """Raise where something is asked that only other processes have."""
        plain = vars(Elsewhere(modules=self.modules, options=self.options))
        if odd := [*(name for name, it in vars(self).items() if it != plain[name]), *self.options]:
            raise ExecutionError(
                f"{', '.join(sorted(odd))}: misspelt, or of other processes; "
                'give executor="pydra" too, or leave it out'
            )


Make: TypeAlias = "Callable[[Options, int | None, Elsewhere], Execute]"
executors: Registry[Make] = Registry("executor")


def register_executor(name: str, make: Make) -> Make:
    """Register a way of having the parts of an archive written, for ``write(executor=name)``.

    Parameters
    ----------
    name
        What it is called.
    make
        Takes what `write` was asked, how many bytes of memory a process may take (None: as many
        as it needs), and where to run; returns a function of a writer and of the parts that are
        due, which writes them and yields the receipt of each.

    Examples
    --------
    >>> register_executor("here", executors["serial"]) is executors["serial"]
    True
    """
    return executors.add(name, make)


def _serial(asked: Options, memory: int | None, where: Elsewhere) -> Execute:
    where.check_here()
    return partial(serial, memory=memory)


register_executor("serial", _serial)
