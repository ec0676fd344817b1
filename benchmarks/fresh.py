"""Run a function in a fresh process, so that its peak memory is its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Aim:
    """What a figure is to be: at most `limit`, or at least."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    def __str__(self) -> str:
        met = self.value >= self.limit if self.at_least else self.value <= self.limit
        word = "at least" if self.at_least else "at most"
        verdict = "met" if met else "MISSED"
        return f"{self.what}: {self.value:.2f}, {word} {self.limit:g} is due: {verdict}"


@dataclass(frozen=True)
class Row:
    """One contender of one benchmark; `seconds` is per `unit`."""

    bench: str
    name: str
    seconds: float
    unit: str
    peak_mb: float
    note: str = ""
    against_ours: float = float("nan")
    aims: tuple[Aim, ...] = ()


def measure(function: str, *arguments: object) -> tuple[dict, float]:
    """Call ``module:function`` of this package with JSON arguments in a process of its own.

    Returns what it returned, and the peak of its resident memory in MB.
    """
    command = [sys.executable, "-m", "benchmarks.fresh", function, json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{function} failed: its own words are above")
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["result"], answer["peak_mb"]


def warm(*paths: Path) -> None:
    """Read files into the page cache, which every contender then finds as warm."""
    buffer = bytearray(2**22)
    for path in paths:
        with path.open("rb") as file:
            while file.readinto(buffer):
                pass


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def peak_mb() -> float:
    """Return this process's peak resident memory.

    Not by getrusage on Linux: its maximum is carried over from the process that spawned this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1e3
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _answer(function: str, arguments: str) -> None:
    module, name = function.split(":")
    result = getattr(import_module(f"benchmarks.{module}"), name)(*json.loads(arguments))
    print()
    print(json.dumps({"result": result, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    _answer(*sys.argv[1:])
