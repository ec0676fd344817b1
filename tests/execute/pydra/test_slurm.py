"""What a cluster does to jobs: cancels them, stops them, refuses them."""

from pathlib import Path

import pytest
from tasking import has_started, is_running, said, wait_for

from entense.errors import ExecutionError
from entense.execute.pydra import stop_left
from entense.execute.pydra.workers.slurm_queue import call, name_of

pytestmark = pytest.mark.slurm


@pytest.fixture
def worker():
    return "slurm"


def jobs_of(cache, states="PENDING,RUNNING"):
    (script,) = cache.glob("run-*/job.sh")
    asked = (f"--name={name_of(script.parent)}", f"--states={states}", "--format=%i")
    return call("squeue", "--noheader", *asked).stdout.split()


def test_a_cancelled_job_is_told_and_stops_no_other(make, run, tmp_path):
    waits, well = make("wait", "wait"), make("well")
    cancelled = []

    def poll():
        running = jobs_of(tmp_path / "cache")
        if has_started(waits) and not cancelled and len(running) == 1:  # the other has ended
            cancelled.extend(running)
            call("scancel", *cancelled)

    ended, done = run([waits, well], poll=poll)
    assert (ended.how, done.how) == ("cancelled", "done")
    assert f"SLURM job {cancelled[0]} ended: CANCELLED" in ended.error
    (log,) = (tmp_path / "cache").glob(f"run-*/logs/slurm-{cancelled[0]}.err")
    assert str(log) in ended.error


def test_a_job_that_runs_out_of_time(make, run):
    (ended,) = run([make("long", "wait_long")], time=1)
    assert ended.how == "timeout"
    assert "ended: TIMEOUT" in ended.error
    assert "time=" in ended.error


def test_what_sbatch_refuses_ends_the_run(make, run):
    with pytest.raises(ExecutionError, match=r"sbatch refused it: .*partition"):
        run([make("one"), make("two")], partition="nowhere")


def test_the_number_and_log_of_what_raised(make, run, tmp_path):
    (ended,) = run([make("one", "fail")])
    log = ended.error.split("(log: ")[1].rstrip(")")
    assert "the voxels of one are wrong" in Path(log).read_text()


def test_jobs_of_a_killed_driver_are_stopped(make, program, tmp_path):
    waits = make("wait", "wait")
    driver = program([waits])
    wait_for(lambda: has_started(waits))
    driver.kill()
    driver.wait()
    running = jobs_of(tmp_path / "cache")
    assert running
    stop_left(tmp_path / "cache")
    told = call(
        "squeue", "--noheader", f"--jobs={','.join(running)}", "--states=all", "--format=%T"
    )
    assert told.stdout.split() == ["CANCELLED"]
    assert not is_running(said(waits))
    assert not list((tmp_path / "cache").glob("run-*/job.sh"))
