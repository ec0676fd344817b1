"""Write the archive of a saved table to an object store, and die at a given moment.

    python remote_writer.py table.parquet url [N]

Sends SIGKILL at the Nth of the moments just before and just after a request that changes the
store. Prints "writing", and at the end how many moments there were.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "archive"))
sys.path.insert(0, str(Path(__file__).parents[3]))

import npy_tables
import polars as pl
import pytest
import s3fs

from entense.archive.write import write

seen = []


def watched(name, limit):
    call = getattr(s3fs.S3FileSystem, name)

    def moment():
        seen.append(name)
        if len(seen) == limit:
            os.kill(os.getpid(), signal.SIGKILL)

    async def watching(*args, **kwargs):
        moment()
        found = await call(*args, **kwargs)
        moment()
        return found

    return watching


def main(table, url, number="0"):
    npy_tables.install(pytest.MonkeyPatch())
    for name in ("_put_file", "_pipe_file", "_rm_file"):
        setattr(s3fs.S3FileSystem, name, watched(name, int(number)))
    print("writing", flush=True)
    write(pl.read_parquet(table), url, columns=["age", "sex"], shard_size="9kB")
    print(len(seen), flush=True)


main(*sys.argv[1:])
