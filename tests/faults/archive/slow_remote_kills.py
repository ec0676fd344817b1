"""Killed by SIGKILL at many moments of a write to an object store: a rerun ends in the same bytes.

Run by `make faults`; pytest does not collect it by itself. The store is in this process. Each kill
ends a process of its own (`remote_writer.py`), two of three before or after the Nth request that
changes the store, N at random, the third some random time after it said that it begins. Between a
kill and the rerun an input is replaced at times, or a shard or a receipt in the store.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import npy_tables
import numpy as np
import pytest
from buckets import bucket, server  # noqa: F401  fixtures
from lying import files, plain

import entense as et
from entense.archive.write import write
from entense.errors import ArchiveError

WRITER = Path(__file__).with_name("remote_writer.py")
OPTIONS = {"columns": ["age", "sex"], "shard_size": "9kB"}
REPLACED = 3  # the record whose input has two versions
ROUNDS, KILLS = 3, 10

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of moto


class Bench:
    """A table of nine records, a record a shard, and what its archive is to be.

    Its input of one record has two versions, each with a time of change of its own.
    """

    def __init__(self, folder, bucket):  # noqa: F811
        arrays = [np.random.default_rng(i).normal(size=(30, 40)).astype("f4") for i in range(9)]
        self.inputs, self.bucket, self.version = folder / "inputs", bucket, 0
        self.records = npy_tables.table(
            self.inputs,
            {"clean": arrays},
            age=[20.0 + i for i in range(9)],
            sex=["f", "m", None] * 3,
        )
        self.plan = folder / "plan.parquet"
        self.records.write_parquet(self.plan)
        self.due = []
        for version in (0, 1):
            self.put(version)
            write(self.records, folder / f"due-{version}", **OPTIONS)
            self.due.append(plain(files(folder / f"due-{version}")))
        began, process = time.monotonic(), self.start(0)
        self.moments = int(process.communicate()[0])
        self.seconds = time.monotonic() - began
        self.clear()

    def put(self, version):
        path = self.inputs / f"clean-{REPLACED}.npy"
        np.save(path, np.full((30, 40), version, "f4"))
        os.utime(path, ns=(version * 10**9, version * 10**9))
        self.version = version

    def clear(self):
        for name in self.bucket.contents():
            self.bucket.delete(name)

    def start(self, number):
        command = [sys.executable, WRITER, self.plan, self.bucket.url, str(number)]
        env = os.environ | self.bucket.server.environment
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        assert process.stdout.readline() == "writing\n"
        return process

    def kill(self, chance):
        """Start a writer and kill it; whether it was killed before it was done."""
        at = chance.random() < 2 / 3
        process = self.start(chance.randint(1, self.moments) if at else 0)
        try:
            process.communicate(timeout=None if at else chance.uniform(0, self.seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        assert process.returncode in (0, -signal.SIGKILL)
        return process.returncode != 0

    def good(self):
        """Return how often each shard was put that is there, with its receipt, as it is due."""
        found, due = plain(self.bucket.contents()), self.due[self.version]
        receipts = {name: f".entense/receipts/{Path(name).stem}.json" for name in due}
        return {
            name: n
            for name, n in self.bucket.versions().items()
            if name.endswith(".tar")
            and all(found.get(one) == due[one] for one in (name, receipts[name]))
        }

    def spoil(self, chance):
        """Delete or damage a shard or a receipt, if there is one."""
        names = [name for name in self.bucket.contents() if name.endswith((".tar", "0.json"))]
        if names and chance.random() < 1 / 2:
            self.bucket.delete(chance.choice(names))
        elif names:
            name = chance.choice(names)
            content = bytearray(self.bucket.get(name))
            content[chance.randrange(len(content))] ^= 4
            self.bucket.put(name, bytes(content))


def check_what_opens_is_whole(bench):
    try:
        archive = et.open(**bench.bucket.to)
    except ArchiveError as error:
        assert "is unfinished" in str(error) or "there is no archive" in str(error)
        return False
    assert archive.verify().records == 9
    return True


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_killed_anywhere_a_rerun_ends_in_the_same_bytes(tmp_path, bucket, computed, seed):  # noqa: F811
    chance, bench, seen = random.Random(seed), Bench(tmp_path, bucket), Counter()
    while seen["killed"] < KILLS:
        seen["killed"] += bench.kill(chance)
        seen["refused"] += not check_what_opens_is_whole(bench)
        if chance.random() < 1 / 3:
            continue  # the next writer dies too
        if chance.random() < 1 / 2:
            bench.put(1 - bench.version)
        if chance.random() < 1 / 2:
            bench.spoil(chance)
        good = bench.good()
        computed.clear()
        write(bench.records, **bucket.to, **OPTIONS)
        assert plain(bucket.contents()) == bench.due[bench.version]
        assert {name: bucket.versions()[name] for name in good} == good
        names = [name for name in bench.due[0] if name.endswith(".tar")]
        assert computed == [row for row, name in enumerate(names) if name not in good]
        seen["kept"] += len(good)
        if chance.random() < 1 / 2:
            bench.clear()
        else:
            bench.put(1 - bench.version)
    assert seen["refused"] > KILLS // 3
    assert seen["kept"] > KILLS
