"""What is submitted again after tasks that died, and what is not; the tasks are done here."""

import fcntl
import json
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import here
import pytest

from entense.archive.write import write
from entense.distribute import run as distributed
from entense.distribute.batch import write_batch

ASKED = {"executor": "pydra", "modules": ["npy_tables"], "shard_records": 1, "tasks": 2}


@pytest.fixture
def counted(monkeypatch):
    """Each number of records that the bar counts."""
    numbers = []
    monkeypatch.setattr(distributed.Counter, "add", lambda _, number, *more: numbers.append(number))
    return numbers


def shards(folder):
    """Return which files they are, and since when they are as they are."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*.tar")}


def test_a_batch_that_is_run_again_goes_on_where_it_was(records, tmp_path, monkeypatch, counted):
    """As Dask does to those of a worker that it took for dead."""
    before = []

    def twice(task):
        write_batch(task.job)
        before.append(shards(tmp_path / "out"))
        return here.done(task)

    here.install(monkeypatch, twice)
    archive = write(records, tmp_path / "out", **ASKED)
    after = shards(tmp_path / "out")
    assert all(then.items() <= after.items() for then in before)
    assert counted == [1] * 9
    assert archive.verify().records == 9


def test_a_batch_is_written_by_one_at_a_time(records, tmp_path, monkeypatch):
    """A worker that was taken for dead may be at it still, when another is given its batch."""

    def held(task):
        with Path(task.job).open("r+") as file, ThreadPoolExecutor(1) as pool:
            fcntl.flock(file, fcntl.LOCK_EX)
            other = pool.submit(write_batch, task.job)
            assert not wait([other], timeout=1).done
            assert not shards(tmp_path / "out")
            fcntl.flock(file, fcntl.LOCK_UN)
            other.result()
        return "done", None

    here.install(monkeypatch, held)
    assert write(records, tmp_path / "out", **ASKED | {"tasks": 1}).verify().records == 9


def test_what_is_told_of_a_part_is_of_its_records_alone(records, tmp_path, monkeypatch):
    for i in (1, 2, 4):
        (tmp_path / "inputs" / f"clean-{i}.npy").write_bytes(b"\x93NUMPY no more")
    lines = []

    def told(task):
        here.done(task)
        lines.extend(map(json.loads, Path(task.job).with_suffix(".said").read_text().splitlines()))
        return "done", None

    here.install(monkeypatch, told)
    archive = write(records, tmp_path / "out", **ASKED, on_error="skip")
    assert [len(line["errors"]) for line in lines] == [1] * 9
    assert sum(error is not None for line in lines for error in line["errors"]) == 3
    assert archive.records["error"].drop_nulls().len() == 3
