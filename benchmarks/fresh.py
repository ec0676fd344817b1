"""Run a function in a fresh process, so that its peak memory is its own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median

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


@dataclass(frozen=True)
class Contender:
    """What is measured for a row: a function of this package, and its JSON arguments."""

    bench: str
    name: str
    unit: str
    function: str
    arguments: tuple[object, ...]


def in_turns(contenders: Sequence[Contender], rounds: int) -> list[Row]:
    """Measure each in a process of its own, all of them once a round; return medians.

    By turns, so that what else the machine does meets all alike.
    """
    answers = [[measure(c.function, *c.arguments) for c in contenders] for _ in range(rounds)]
    return [_middle(*each) for each in zip(contenders, zip(*answers, strict=True), strict=True)]


def _middle(who: Contender, answers: Sequence[tuple[dict, float]]) -> Row:
    seconds = [found["seconds"] for found, _ in answers]
    peak = max(peak for _, peak in answers)
    note = str(answers[0][0]["note"])
    if len(answers) > 1:
        note += f"; median of {len(answers)}, {min(seconds):.3g} to {max(seconds):.3g}"
    return Row(who.bench, who.name, median(seconds), who.unit, peak, note)


def measure(function: str, *arguments: object) -> tuple[dict, float]:
    """Call ``module:function`` of this package with JSON arguments in a process of its own.

    Returns what it returned, and the peak of its resident memory in MB.
    """
    answer = json.loads(_elsewhere(function, json.dumps(arguments)).splitlines()[-1])
    return answer["result"], answer["peak_mb"]


def _elsewhere(function: str, arguments: str) -> str:
    """Return what the process says."""
    command = [sys.executable, "-m", "benchmarks.fresh", function, arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{function} failed: its own words are above")
    return done.stdout


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
