"""Workers and drivers that die, disks and folders that fail: on every worker that can have it.

Run by `make faults`, and with SLURM by `make slurm-tests`; pytest does not collect it by itself.
"""

import os
import re
import signal
import subprocess
import threading

import numpy as np
import pytest
from lying import files
from tripping import SLURM, Trips, is_running, wait_for
from trips import FILLS, KILLS, RAISES, WAITS

from entense.archive.failures import FailedRecordsError
from entense.errors import ExecutionError

WORKERS = ["process", "dask", SLURM]


@pytest.fixture
def plan():
    """The real plan, which the other tests here do without."""


@pytest.fixture(params=WORKERS)
def worker(request):
    return request.param


def check_rerun(trips, due, kept):
    """Open the gate, write again: the same bytes, and what was done is not done again."""
    trips.open()
    trips.write()
    assert files(trips.out) == due
    assert trips.kept(kept) == kept


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_record_that_raises(tmp_path, worker, on_error):
    trips = Trips(tmp_path, worker, {2: RAISES})
    if on_error == "skip":
        due = trips.serial(on_error="skip")
        trips.write(on_error="skip")
        assert files(trips.out) == due
        return
    with pytest.raises(FailedRecordsError) as here:
        trips.serial()
    with pytest.raises(FailedRecordsError) as there:
        trips.write()
    assert str(there.value) == str(here.value)
    assert there.value.failures == here.value.failures
    assert str(trips.input(2)) in str(there.value)
    assert files(trips.out) == files(tmp_path / "due")
    assert len(list(trips.out.rglob("*.tar"))) == 5


def test_a_worker_killed_in_the_middle_is_replaced_and_what_it_finished_is_kept(tmp_path, worker):
    trips = Trips(tmp_path, worker, {3: WAITS})
    due, kept = trips.serial(), {}

    def kill(pid, _):
        kept.update(trips.done(3))
        os.kill(pid, signal.SIGKILL)
        trips.open()

    killer = trips.meanwhile(kill)
    trips.write(tasks=1)
    killer.join()
    assert files(trips.out) == due
    assert trips.kept(kept) == kept


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_record_that_kills_its_worker_each_time(tmp_path, worker, on_error):
    trips = Trips(tmp_path, worker, {1: KILLS})
    due = trips.serial()
    if on_error == "raise":
        with pytest.raises(FailedRecordsError, match="kills every process") as error:
            trips.write()
        assert list(error.value.failures) == ["ds_sub-01"]
        check_rerun(trips, due, trips.done(5))
        return
    archive = trips.write(on_error="skip")
    assert archive.verify().records == 5
    told = archive.records.filter(archive.records["error"].is_not_null())
    assert told["record"].to_list() == ["ds_sub-01"]
    assert {n: b for n, b in files(trips.out).items() if n.endswith(".tar")} == {
        n: b for n, b in due.items() if n.endswith(".tar") and "000001" not in n
    }


ENDS = {"killed": signal.SIGKILL, "Ctrl-C": signal.SIGINT, "asked to end": signal.SIGTERM}


@pytest.mark.parametrize("how", ENDS.values(), ids=ENDS)
def test_a_driver_that_ends_leaves_no_process_and_a_rerun_goes_on(tmp_path, worker, how):
    trips = Trips(tmp_path, worker, {3: WAITS})
    due = trips.serial()
    driver = trips.drive()
    pid, _ = trips.waiting()
    kept = trips.done(5)
    driver.send_signal(how)
    _, said = driver.communicate()
    assert driver.returncode == -how
    if how == signal.SIGINT:
        assert said.rstrip().endswith("KeyboardInterrupt")
    if how != signal.SIGKILL or worker != "slurm":
        wait_for(lambda: not trips.left())
        wait_for(lambda: not is_running(pid))
    check_rerun(trips, due, kept)
    wait_for(lambda: not is_running(pid))


def test_repair_stops_what_a_killed_driver_left(tmp_path, worker):
    trips = Trips(tmp_path, worker, {3: WAITS})
    due = trips.serial()
    driver = trips.drive()
    pid, _ = trips.waiting()
    kept = trips.done(5)
    driver.kill()
    driver.communicate()
    if worker == "slurm":
        assert is_running(pid)
    repaired = threading.Thread(target=trips.repair)
    repaired.start()
    wait_for(lambda: not is_running(pid))
    trips.open()
    repaired.join()
    assert files(trips.out) == due
    assert trips.kept(kept) == kept


def test_a_script_without_a_guard_writes(tmp_path, worker):
    trips = Trips(tmp_path, worker, count=2)
    due = trips.serial()
    driver = trips.drive()
    assert driver.communicate() == (None, "")
    assert driver.returncode == 0
    assert files(trips.out) == due
    wait_for(lambda: not trips.left())


def test_the_folder_of_a_run_deleted_in_the_middle(tmp_path, worker):
    trips = Trips(tmp_path, worker, {3: WAITS})
    due = trips.serial()

    def delete(*_):
        trips.done(5)
        (trips.out / ".entense" / "run").rename(tmp_path / "gone")  # at once, whoever writes there

    deleter = trips.meanwhile(delete)
    with pytest.raises(ExecutionError, match="went away in the middle"):
        trips.write()
    deleter.join()
    check_rerun(trips, due, trips.done(5))


def test_a_disk_that_is_full_where_the_worker_is(tmp_path, worker):
    trips = Trips(tmp_path, worker, {5: FILLS})
    due = trips.serial()
    with pytest.raises(ExecutionError, match=r"disk of the folder .*out.* is full; free"):
        trips.write(tasks=6)
    assert not list(trips.out.rglob("*.partial"))
    check_rerun(trips, due, trips.done(5))


@pytest.mark.parametrize("frames", [10, 12], ids=["same shape", "other shape"])
def test_an_input_replaced_between_planning_and_computing(tmp_path, frames):
    trips = Trips(tmp_path, "process", {0: WAITS})

    def replace(*_):
        trips.put(5, np.ones((frames, 4)))
        trips.open()

    replacer = trips.meanwhile(replace)
    if frames == 10:
        trips.write(n_procs=1)
    else:
        with pytest.raises(ExecutionError, match=r"input files of .*000005 have changed since"):
            trips.write(n_procs=1)
    replacer.join()
    due = trips.serial()
    check_rerun(trips, due, trips.done(6 if frames == 10 else 4))


@pytest.mark.slurm
@pytest.mark.parametrize("state", ["CANCELLED", "TIMEOUT"])
def test_a_job_that_slurm_ends(tmp_path, state):
    trips = Trips(tmp_path, "slurm", {3: WAITS})
    due, jobs = trips.serial(), []

    def end(_, job):
        trips.done(5)
        jobs.append(job)
        if state == "CANCELLED":
            subprocess.run(["scancel", job], check=True)

    ender = trips.meanwhile(end)
    options = {"time": 1} if state == "TIMEOUT" else {}
    with pytest.raises(ExecutionError) as error:
        trips.write(**options)
    ender.join()
    said = str(error.value)
    assert f"SLURM job {jobs[0]} ended: {state}" in said
    (log,) = re.findall(r"\(log: (.*)\)", said)
    assert jobs[0] in log
    check_rerun(trips, due, trips.done(5))
