"""Where the parts of an archive are written, by name: in this process, or in others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from entense.archive.writer import serial
from entense.errors import ArchiveError
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

    @property
    def said(self) -> dict[str, Any]:
        """It as `write` takes it."""
        said = {name: value for name, value in vars(self).items() if name != "options"}
        return {**said, **self.options}


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
    if replace(where, modules=()) != Elsewhere():
        raise ArchiveError(
            "worker, cores, gpus, tasks and a worker's options are of other processes; "
            'give executor="pydra" too, or leave them out'
        )
    return partial(serial, memory=memory)


register_executor("serial", _serial)
