"""What this machine has for processes: cores, GPUs, memory."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from entense.errors import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path("/")
# how a cgroup says what it may take, what it takes, and what of that the system takes back at
# will: of version 2, and, below `memory`, of version 1
_CGROUPS = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def devices(wanted: int) -> list[str]:
    """Return the GPUs of this machine; an ExecutionError where they are fewer than a task wants."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = [d.name.removeprefix("nvidia") for d in sorted(Path("/dev").glob("nvidia[0-9]*"))]
    devices = there if visible is None else [one for one in visible.split(",") if one]
    if len(devices) < wanted:
        raise ExecutionError(
            f"a task asks for {wanted} GPUs and this machine shows {len(devices)}; "
            "ask for fewer, or set CUDA_VISIBLE_DEVICES"
        )
    return devices


def memory() -> int:
    """Return how many bytes processes can still take: no end of them where nothing says so."""
    return min((*_of_machine(), *_of_cgroups()), default=sys.maxsize)


def _of_machine() -> Iterator[int]:
    told = _said(_ROOT / "proc/meminfo", r"MemAvailable:\s+(\d+) kB")
    if told is not None:
        yield told * 1024


def _of_cgroups() -> Iterator[int]:
    """Yield what the cgroups leave that this process is in: a container's, those of SLURM."""
    try:
        lines = (_ROOT / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for _, controllers, path in (line.split(":", 2) for line in lines):
        for version in _CGROUPS.keys() & {*controllers.split(",")}:
            top = _ROOT / "sys/fs/cgroup" / version
            here = top / path.lstrip("/")
            for cgroup in (here, *here.parents[: len(here.parts) - len(top.parts)]):
                yield from _left(cgroup, *_CGROUPS[version])


def _left(cgroup: Path, limit: str, taken: str, cached: str) -> Iterator[int]:
    most = _said(cgroup / limit, r"^(\d+)$")
    if most is None:  # "max", or no such cgroup within this container
        return
    back = _said(cgroup / "memory.stat", rf"^{cached} (\d+)$") or 0
    yield max(0, most - (_said(cgroup / taken, r"^(\d+)$") or 0) + back)


def _said(file: Path, pattern: str) -> int | None:
    """Return the number that a file says."""
    try:
        found = re.search(pattern, file.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
