"""How many processes this machine holds for tasks, and what each of them has."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from entense.errors import ExecutionError
from entense.execute.pydra.workers import machine
from entense.execute.pydra.workers.children import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from entense.execute.pydra.tasks import Task

T = TypeVar("T")
_LOG = logging.getLogger("entense")


@dataclass(frozen=True)
class Crew:
    """Processes of this machine.

    Parameters
    ----------
    places
        What each of them has.
    held
        How many the machine holds, by what there is no more of.
    each
        Bytes that each may take.
    """

    places: Sequence[Place]
    held: Mapping[str, int]
    each: int

    @classmethod
    def of(cls, tasks: Sequence[Task], n_procs: int | None) -> Crew:
        """Return `n_procs` processes, or as many as this machine holds."""
        if n_procs is not None and n_procs < 1:
            raise ExecutionError(f"n_procs={n_procs} are no processes; give 1 or more")
        cores, gpus, each = (max(getattr(t, w) for t in tasks) for w in ("cores", "gpus", "memory"))
        available, devices = machine.cores(), machine.devices(gpus) if gpus else []
        held = {"cores": len(available) // cores, "memory": machine.memory() // max(each, 1)}
        held |= {"GPUs": len(devices) // gpus} if gpus else {}
        number = min(n_procs or max(1, min(held.values())), len(tasks))
        places = [
            Place(_dealt(available, i, cores), _dealt(devices, i, gpus) if gpus else None)
            for i in range(number)
        ]
        return cls(places, held, each)

    def __str__(self) -> str:
        """Say how many there are, and why no more."""
        number, least = len(self.places), min(self.held, key=self.held.__getitem__)
        said = f"{number} process{'es' if number > 1 else ''}"
        if number > self.held["memory"]:
            return f"{said}, where memory is for {self.held['memory']}"
        if number == self.held[least] and least != "cores":
            return f"{said}: {least} allow{'s' if least == 'memory' else ''} no more"
        each = "each " if number > 1 else ""
        return f"{said}, {each}on cores of its own" if number <= self.held["cores"] else said

    def warn(self) -> None:
        """Warn of processes that may take more memory than there is."""
        number, most = len(self.places), self.held["memory"]
        if number > most:
            _LOG.warning(
                "%s: each may take %.2g GB, and %.2g GB are free; one that finds none is killed: "
                "give %smemory=, which each keeps to",
                *(self, self.each / 1e9, machine.memory() / 1e9),
                f"n_procs={most}, or " if most else "",
            )


def _dealt(things: Sequence[T], number: int, each: int) -> tuple[T, ...]:
    """Return what the process of a number has of things that go round."""
    return tuple(dict.fromkeys(things[(number * each + i) % len(things)] for i in range(each)))
