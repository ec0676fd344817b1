"""Write the archive of a saved table, and die, or meet a full disk, at a given moment.

    python writer.py table.parquet out [kill N | limit BYTES]

`kill N` sends SIGKILL just before the Nth call that changes the disk; half of a write is done
first. `limit BYTES` lets no file grow larger (RLIMIT_FSIZE). Prints "writing",
and at the end how many calls there were.
"""

import os
import resource
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "archive"))
sys.path.insert(0, str(Path(__file__).parents[3]))

import npy_tables
import polars as pl
import pytest

from entense.archive.write import write

CALLS = ("writev", "fsync", "replace", "rename", "unlink", "mkdir", "rmdir")
seen = []


def watched(name, limit):
    call = getattr(os, name)

    def watching(*args, **kwargs):
        seen.append(name)
        if len(seen) == limit:
            if name == "writev":
                call(args[0], [bytes(args[1][0])[: len(args[1][0]) // 2]])
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)

    return watching


def main(table, out, fault="", number="0"):
    npy_tables.install(pytest.MonkeyPatch())
    for name in CALLS:
        setattr(os, name, watched(name, int(number) if fault == "kill" else 0))
    if fault == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(number), int(number)))
    print("writing", flush=True)
    write(pl.read_parquet(table), out, columns=["age", "sex"], shard_size="9kB")
    print(len(seen), flush=True)


main(*sys.argv[1:])
