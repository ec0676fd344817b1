"""Tables whose records trip workers (see `trips`), written here, there, by a driver that dies."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from lying import files

import entense as et
from entense.archive.repair import repair

DRIVER = Path(__file__).with_name("driver.py")
OPTIONS = {"process": {}, "dask": {}, "debug": {}, "slurm": {"poll_seconds": 0.2}}
SLURM = pytest.param("slurm", marks=pytest.mark.slurm)
CUT = {"shard_records": 1, "columns": ["age"]}


def wait_for(fact, seconds=90):
    """Return what is so, once something is; fail when it does not come about."""
    end = time.monotonic() + seconds
    while not (found := fact()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
    return found


@dataclass
class Trips:
    """Records of which some trip workers, a shard each; `due` has the files of a serial write."""

    folder: Path
    worker: str
    meets: dict = field(default_factory=dict)  # row to what it meets
    count: int = 6

    def __post_init__(self):
        import trips  # noqa: F401  registers the op

        self.out, self.gate = self.folder / "out", self.folder / "gate"
        self.gate.mkdir()
        for row in range(self.count):
            self.put(row, np.random.default_rng(row).normal(size=(10, 4)))

    def input(self, row):
        return self.folder / f"{row}.npy"

    def put(self, row, array):
        """Replace the array of a record, which meets what it met before."""
        array = array.astype("f4")
        array[0, 0] = self.meets.get(row, 0)
        np.save(self.input(row), array)

    @property
    def table(self):
        rows = range(self.count)
        frame = pl.DataFrame(
            {
                "dataset": "ds",
                "subject": [f"{row:02}" for row in rows],
                "ts": [str(self.input(row)) for row in rows],
                "age": [20 + row for row in rows],
            }
        )
        return frame.entense.transform(z=et.array("ts").apply("trip", gate=str(self.gate)))

    @property
    def asked(self):
        where = {"executor": "pydra", "worker": self.worker, "modules": ["trips"], "tasks": 3}
        return CUT | where | OPTIONS[self.worker]

    def open(self):
        """Have nothing trip any more, but for what raises."""
        (self.gate / "open").touch()

    def serial(self, **options):
        """Write in this process, with the gate open; return the files."""
        self.open()
        try:
            et.write(self.table, self.folder / "due", **CUT, **options)
        finally:
            (self.gate / "open").unlink()
        return files(self.folder / "due")

    def write(self, **options):
        return et.write(self.table, self.out, **self.asked | options)

    def repair(self):
        return repair(self.table, self.out)

    def drive(self, **options):
        """Start a process that writes: a script without a guard."""
        table = self.folder / "table.parquet"
        self.table.write_parquet(table)
        command = [sys.executable, DRIVER, table, self.out, json.dumps(self.asked | options)]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TRIPS": str(self.folder)}
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)

    def waiting(self):
        """Return the process that waits for the gate, and its job of SLURM's."""
        (note,) = wait_for(lambda: [*self.gate.glob("*.waits")])
        return int(note.stem), note.read_text()

    def done(self, count):
        """Return what is on the disk of each shard, once so many have their receipts."""
        receipts = self.out / ".entense" / "receipts"
        wait_for(lambda: len([*receipts.glob("*.json")]) == count)
        return self.kept(sorted(path.stem for path in receipts.glob("*.json")))

    def kept(self, names):
        """Return which files they are, and since when they are as they are."""
        stats = {name: next(self.out.rglob(f"{name}.tar")).stat() for name in names}
        return {name: (one.st_ino, one.st_mtime_ns) for name, one in stats.items()}

    def meanwhile(self, act):
        """Do something, beside this thread, once a record waits."""

        def run():
            act(*self.waiting())

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def left(self):
        """Return the processes that the driver has left, jobs aside."""
        mark, found = os.fsencode(f"TRIPS={self.folder}"), []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(entry.name)
            except OSError:
                continue
        return found


def is_running(pid):
    """Say whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
