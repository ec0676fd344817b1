"""Where the parts of an archive are written, by name: in this process, or in others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from entense.archive.distribute import Distributed, Elsewhere
from entense.archive.writer import serial
from entense.errors import ArchiveError
from entense.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from entense.archive.options import Options
    from entense.archive.writer import Execute

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
    if where != Elsewhere():
        raise ArchiveError(
            "worker, modules, cores, gpus, tasks and a worker's options are of other processes; "
            'give executor="pydra" too, or leave them out'
        )
    return partial(serial, memory=memory)


register_executor("serial", _serial)
register_executor("pydra", Distributed)
