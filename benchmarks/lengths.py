"""100 runs of 100 lengths, beside 100 runs of one length, their mean."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.anatomy import SMALL, TINY
from benchmarks.data import Runs, make_runs
from benchmarks.fresh import Aim, Contender, Row, in_turns, warm

LIMIT = 1.1


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Measure both sets, each in a process of its own that has computed another record."""
    half, mean, grid = (2, 120, TINY) if quick else (50, 150, SMALL)
    lengths = [mean + i for i in range(-half, half + 1) if i]
    # one more of the mean length comes first, for the process to warm up with
    sets = {
        "entense, many lengths": make_runs(cache, [mean, *lengths], grid),
        "one length": make_runs(cache, [mean, *[mean] * len(lengths)], grid),
    }
    return [row for what in ("voxels", "parcels") for row in _pair(sets, what, 1 if quick else 5)]


def _pair(sets: dict[str, Runs], what: str, rounds: int) -> list[Row]:
    for runs in sets.values():
        warm(*runs.bolds)
    many, one = in_turns(
        [
            Contender(f"lengths, {what}", name, "file", "lengths:ours", (str(runs.folder), what))
            for name, runs in sets.items()
        ],
        rounds=rounds,
    )
    aim = Aim(f"{what}, many lengths over one", many.seconds / one.seconds, LIMIT)
    return [replace(many, aims=(aim,)), one]


def ours(folder: str, what: str) -> dict:
    """Compute the first run, then time all others in a row, and what JAX compiles meanwhile.

    In memory: the disk's moods are larger than what is looked for.
    """
    from benchmarks.chains import CHAINS, compute

    runs = Runs(Path(folder))
    table = CHAINS[what](runs)
    compute(table.head(1))
    spent = _listen()
    others = table.tail(-1)
    seconds = compute(others)
    note = f"{len(spent['backend_compile'])} compilations; " + ", ".join(
        f"{name} {sum(times):.1f} s" for name, times in spent.items()
    )
    return {"seconds": seconds / others.height, "note": f"of {seconds:.1f} s: {note}"}


def _listen() -> dict[str, list[float]]:
    """Return the seconds of each of JAX's steps from now on: tracing, lowering, compiling."""
    import jax

    spent: dict[str, list[float]] = defaultdict(list)
    spent["backend_compile"] = []

    def note(event: str, seconds: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):
            spent[event.rsplit("/", 1)[1].removesuffix("_duration")].append(seconds)

    jax.monitoring.register_event_duration_secs_listener(note)
    return spent
