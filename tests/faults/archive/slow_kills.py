"""Killed by SIGKILL at more than 200 moments of a write: what is left is never taken for whole.

Run by `make faults`; pytest does not collect it by itself. Each kill ends a process of its own
(`writer.py`, which writes nine shards of a tiny table), in one of two ways:

- *at a point*: before the Nth call that changes the disk (writev, half of which is done first,
  fsync, replace, unlink, mkdir, rmdir), N at random among all of them: two kills of three;
- *at a moment*: from outside, some random time after it said that it begins: the third.

What it finds is at random too: an empty folder, what was left by one or more that were killed, or
a whole archive of which an input was replaced. Between a kill and the rerun an input is replaced
at times. The rerun, in this process, must end in the bytes of an undisturbed write, and must
compute again only the records whose shard is not there, whole, of the inputs as they are.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import npy_tables
import numpy as np
import pytest
from lying import files

from entense.archive import open_archive
from entense.archive.write import write
from entense.errors import ArchiveError

WRITER = Path(__file__).with_name("writer.py")
OPTIONS = {"columns": ["age", "sex"], "shard_size": "9kB"}
REPLACED = 3  # the record whose input has two versions
ROUNDS, KILLS = 6, 34


class Bench:
    """A table of nine records, a record a shard, and what its archive is to be.

    Its input of one record has two versions, each with a time of change of its own.
    """

    def __init__(self, folder):
        arrays = [np.random.default_rng(i).normal(size=(30, 40)).astype("f4") for i in range(9)]
        self.inputs, self.out = folder / "inputs", folder / "out"
        self.records = npy_tables.table(
            self.inputs,
            {"clean": arrays},
            age=[20.0 + i for i in range(9)],
            sex=["f", "m", None] * 3,
        )
        self.records.write_parquet(folder / "plan.parquet")
        self.plan, self.version = folder / "plan.parquet", 0
        self.due = []
        for version in (0, 1):
            self.put(version)
            write(self.records, folder / f"due-{version}", **OPTIONS)
            self.due.append(files(folder / f"due-{version}"))
        process, began = self.start("none", 0), time.monotonic()
        self.calls = int(process.stdout.readline())
        self.seconds = time.monotonic() - began
        process.communicate()
        shutil.rmtree(self.out)

    def put(self, version):
        path = self.inputs / f"clean-{REPLACED}.npy"
        np.save(path, np.full((30, 40), version, "f4"))
        os.utime(path, ns=(version * 10**9, version * 10**9))
        self.version = version

    def start(self, fault, number):
        command = [sys.executable, WRITER, self.plan, self.out, fault, str(number)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "writing\n"
        return process

    def kill(self, chance):
        """Start a writer and kill it; whether it was killed before it was done."""
        if chance.random() < 2 / 3:
            last = self.calls // 3 if self.out.exists() else self.calls  # less is left to do
            process = self.start("kill", chance.randint(1, last))
            process.communicate()
        else:
            process = self.start("none", 0)
            try:
                process.communicate(timeout=chance.uniform(0, self.seconds))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        assert process.returncode in (0, -signal.SIGKILL)
        return process.returncode != 0

    def whole_shards(self):
        """Return each shard on the disk that is as it is due, and when it was written."""
        found, due = files(self.out), self.due[self.version]
        receipts = {name: f".entense/receipts/{Path(name).stem}.json" for name in due}
        return {
            name: (self.out / name).stat().st_mtime_ns
            for name in due
            if name.endswith(".tar")
            and all(found.get(one) == due[one] for one in (name, receipts[name]))
        }


def visible(found):
    return {name: content for name, content in found.items() if not name.startswith(".entense/")}


def check_what_opens_is_whole(bench):
    try:
        archive = open_archive(bench.out)
    except ArchiveError as error:
        assert "is unfinished" in str(error) or "there is no archive" in str(error)
        return False
    assert archive.verify().records == 9
    assert visible(files(bench.out)) in [visible(due) for due in bench.due]
    return True


def check_rerun(bench, computed):
    kept = bench.whole_shards()
    computed.clear()
    write(bench.records, bench.out, **OPTIONS)
    assert files(bench.out) == bench.due[bench.version]
    assert {name: (bench.out / name).stat().st_mtime_ns for name in kept} == kept
    names = [name for name in bench.due[0] if name.endswith(".tar")]
    assert computed == [row for row, name in enumerate(names) if name not in kept]


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_killed_anywhere_a_rerun_ends_in_the_same_bytes(tmp_path, computed, seed):
    chance, bench, seen = random.Random(seed), Bench(tmp_path), Counter()
    while seen["killed"] < KILLS:
        seen["killed"] += bench.kill(chance)
        seen["refused"] += not check_what_opens_is_whole(bench)
        if chance.random() < 1 / 3:
            continue  # the next writer dies too
        if chance.random() < 1 / 2:
            bench.put(1 - bench.version)
        check_rerun(bench, computed)
        if chance.random() < 1 / 2:
            shutil.rmtree(bench.out)
        else:
            bench.put(1 - bench.version)
    assert ROUNDS * KILLS >= 200
    assert seen["refused"] > KILLS // 3
