"""What is submitted again after tasks that died, and what is not; the tasks are done here."""

import fcntl
import json
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import here
import pytest

from entense.archive import locks
from entense.archive.failures import FailedRecordsError
from entense.archive.write import write
from entense.distribute import run as distributed
from entense.distribute.batch import write_batch
from entense.errors import ArchiveError, ExecutionError

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
        write_batch(task.job, task.digest)
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
            other = pool.submit(write_batch, task.job, task.digest)
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


def test_what_dies_is_tried_again_in_no_more_tasks_than_before(records, tmp_path, monkeypatch):
    there = here.install(monkeypatch, here.killed, here.done)
    assert write(records, tmp_path / "out", **ASKED).verify().records == 9
    assert [len(tasks) for tasks in there.tasks] == [2, 2]


def test_a_record_is_to_blame_at_its_second_death_alone(records, tmp_path, monkeypatch):
    dies = partial(here.killed_by, "ds_sub-03")
    here.install(monkeypatch, here.killed, dies, here.done)
    assert write(records, tmp_path / "once", **ASKED).verify().records == 9
    here.install(monkeypatch, here.killed, dies, dies, here.done)
    with pytest.raises(FailedRecordsError, match="kills every process") as error:
        write(records, tmp_path / "twice", **ASKED)
    assert list(error.value.failures) == ["ds_sub-03"]
    assert len(shards(tmp_path / "twice")) == 8


def test_a_task_that_waited_in_a_process_that_another_killed_is_tried_again(
    records, tmp_path, monkeypatch
):
    """As Dask may have it, while a worker that died is replaced."""

    def the_first_kills(task):
        if task is there.tasks[-1][0]:
            return here.killed(task, "ds_sub-03")
        return "killed", f"{task.name}: with its process"

    there = here.install(monkeypatch, here.killed, the_first_kills, here.done)
    assert write(records, tmp_path / "out", **ASKED).verify().records == 9
    assert len(there.tasks) == 3


def test_a_task_that_is_lost_costs_no_record(records, tmp_path, monkeypatch):
    def lost(task):
        here.killed(task, "ds_sub-03" if "train" in task.name else "ds_sub-07")
        return "lost", f"{task.name}: PREEMPTED"

    asked = ASKED | {"shard_records": 6, "on_error": "skip"}
    there = here.install(monkeypatch, lost, lost, here.done)
    with pytest.raises(ExecutionError, match="PREEMPTED"):
        write(records, tmp_path / "out", **asked)
    assert len(there.tasks) == 2
    here.install(monkeypatch, here.done)
    assert write(records, tmp_path / "out", **asked).verify().records == 9


@pytest.mark.parametrize("how", ["killed", "done"])
def test_where_no_task_gets_anywhere_it_is_told_at_once(records, tmp_path, monkeypatch, how):
    there = here.install(monkeypatch, lambda _: (how, None if how == "done" else "no python3"))
    told = "no python3" if how == "killed" else r"it is done, but nothing in .* says so here"
    with pytest.raises(ExecutionError, match=told):
        write(records, tmp_path / "out", **ASKED)
    assert len(there.tasks) == 1


def test_a_worker_that_was_given_up_is_waited_for(records, tmp_path, monkeypatch):
    """Else two would write one shard, and each would rename what the other has half written."""
    monkeypatch.setattr(locks, "PATIENCE", -1)
    workers, jobs = [], []

    def lost(task):
        workers.append(locks.sharing(Path(task.job).parents[1]))
        workers[-1].__enter__()
        jobs.append(task.job)
        return "lost", "nobody knows"

    there = here.install(monkeypatch, lost, here.done)
    with pytest.raises(ArchiveError, match=r"or that were given up, still write into .*out"):
        write(records, tmp_path / "out", **ASKED)
    assert len(there.tasks) == 1
    for worker in workers:
        worker.__exit__(None, None, None)
    assert write(records, tmp_path / "out", **ASKED).verify().records == 9


def test_a_task_that_was_given_up_cannot_begin_later(records, tmp_path, monkeypatch):
    jobs = []

    def lost(task):
        jobs.append(task)
        return "lost", "nobody knows"

    def late(task):
        with pytest.raises(ArchiveError, match="is not what was planned"):
            write_batch(jobs[0].job, jobs[0].digest)
        return here.done(task)

    here.install(monkeypatch, lost, late)
    assert write(records, tmp_path / "out", **ASKED).verify().records == 9


def test_a_disk_is_never_asked_for_a_file_that_is_to_come(records, tmp_path, monkeypatch):
    """One over a network may say for a minute that it is not there."""

    def there(task):
        assert Path(task.job).with_suffix(".said").exists()
        return here.done(task)

    here.install(monkeypatch, there)
    write(records, tmp_path / "out", **ASKED)
