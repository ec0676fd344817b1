"""An op that meets what the first number of an array says; the workers of tests import it."""

import errno
import os
import signal
import time
from functools import partial
from pathlib import Path

import jax

import entense as et

RAISES, KILLS, WAITS, FILLS = 111.0, 222.0, 333.0, 444.0


@et.op(infer=lambda x, **_: x)
def trip(x, *, gate: str):
    """Return the array; once there is a file `gate`/open only RAISES is met."""
    return jax.pure_callback(partial(_meet, Path(gate)), jax.ShapeDtypeStruct(x.shape, x.dtype), x)


def _meet(gate, x):
    what = float(x[0, 0])
    if what == RAISES:
        raise ValueError("it trips")
    if not (gate / "open").exists():
        {KILLS: _die, WAITS: _wait, FILLS: _fill}.get(what, lambda _: None)(gate)
    return x


def _die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def _wait(gate):
    """Say who waits, of which job of SLURM's, until the gate is open."""
    (gate / f"{os.getpid()}.new").write_text(os.environ.get("SLURM_JOB_ID", ""))
    (gate / f"{os.getpid()}.new").rename(gate / f"{os.getpid()}.waits")
    end = time.monotonic() + 120
    while not (gate / "open").exists() and time.monotonic() < end:
        time.sleep(0.01)


def _fill(_):
    """Have this process see a full disk from here on."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.writev = full
