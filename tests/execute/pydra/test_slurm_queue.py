"""What SLURM says, or does not, of jobs: here it is a fake one, that can be told to."""

import json
import re
from pathlib import Path

import pytest
from tasking import has_started, is_running, said

from entense.errors import ExecutionError
from entense.execute.pydra import run_tasks, stop_left
from entense.execute.pydra.serve import once
from entense.execute.pydra.tasks import Handle, Outcome
from entense.execute.pydra.workers import slurm_queue

FOLDER = "run-0123456789ab"


@pytest.fixture
def run(tmp_path, cluster):
    """Return what runs tasks there, looked at often."""

    def go(tasks, **options):
        options = {"worker": "slurm", "poll_seconds": 0.05, "cache": tmp_path / "cache"} | options
        return run_tasks(tasks, modules=["pydra_entries"], **options)

    return go


def script_of(cache, name):
    """Put the script of a run that was killed into a folder of some name."""
    (cache / name).mkdir(parents=True)
    (cache / name / "job.sh").touch()
    return cache / name / "job.sh"


def test_no_answer_says_nothing_of_a_job(make, run, cluster):
    task = make("held", "hold")
    cluster.answers = False

    def poll():
        if cluster.count("squeue") > 3 * slurm_queue._PATIENCE:
            cluster.answers = True
            Path(task.job).with_suffix(".go").touch()

    assert run([task], poll=poll)[0].how == "done"


def test_it_is_told_once_why_jobs_wait_that_may_never_begin(make, run, cluster, caplog):
    tasks = [make("a", "hold"), make("b", "hold")]
    cluster.said = dict.fromkeys(("100", "101"), "PENDING 0 PartitionTimeLimit")

    def poll():
        if cluster.count("squeue") > 5:
            cluster.said = {"100": "PENDING 0 Resources"}
        if cluster.count("squeue") > 10:
            for task in tasks:
                Path(task.job).with_suffix(".go").touch()

    assert [one.how for one in run(tasks, poll=poll)] == ["done"] * 2
    (told,) = [record.message for record in caplog.records if "SLURM" in record.message]
    assert re.match(r"SLURM lets [12] of the jobs wait, and says why: PartitionTimeLimit; ", told)


def test_a_job_that_is_given_up_is_cancelled(make, run, cluster):
    task = make("wait", "wait")

    def poll():
        if has_started(task):
            cluster.forget("100")

    (ended,) = run([task], poll=poll)
    assert ended.how == "lost"
    assert "SLURM job 100 is unknown to SLURM" in ended.error
    assert not is_running(said(task))


def test_a_job_that_may_still_run_ends_the_run_and_is_known_to_the_next(
    make, run, cluster, tmp_path, monkeypatch
):
    monkeypatch.setattr(slurm_queue, "_STOPPING", 2)
    task = make("wait", "wait")

    def poll():
        if has_started(task):
            cluster.forget("100")
            cluster.cancels = False

    def said_of(handle, job, state):
        cluster.answers = False  # from when it is given up
        return Outcome("lost", "given up")

    monkeypatch.setattr(slurm_queue, "_said", said_of)
    with pytest.raises(ExecutionError, match="do not end"):
        run([task], poll=poll)
    assert is_running(said(task))
    cluster.answers = cluster.cancels = True
    stop_left(tmp_path / "cache")
    assert not is_running(said(task))
    assert not list((tmp_path / "cache").glob("run-*/job.sh"))


def test_what_raised_is_told_though_its_outcome_is_seen_late(make, run, monkeypatch, cluster):
    """A disk over a network may show a file up to a minute later."""
    look, looks = slurm_queue._left, []

    def late(handle):
        if cluster.jobs["100"].poll() is not None:
            looks.append(1)
        return look(handle) if len(looks) > slurm_queue._PATIENCE - 2 else None

    monkeypatch.setattr(slurm_queue, "_left", late)
    assert run([make("one", "fail")])[0].how == "raised"


def test_a_job_that_raises_ends_well_for_slurm(make, tmp_path):
    handle = Handle(make("one", "fail"), ("pydra_entries",), str(tmp_path / "outcome.json"))
    file = tmp_path / "one.task"
    file.write_text(handle.to_json())
    once(str(file))  # and nothing that makes the job one that failed
    assert json.loads((tmp_path / "outcome.json").read_text())["how"] == "raised"


def test_only_jobs_that_can_be_ours_are_stopped(cluster, tmp_path):
    ours = script_of(tmp_path, FOLDER)
    (tmp_path / FOLDER / "slurm-jobs").write_text("my-other-job\n")
    others = [script_of(tmp_path, name) for name in ("run-x,my-other-job", "run-", "mine")]
    stop_left(tmp_path)
    asked = [asked[1] for asked in cluster.asked if asked[0] == "scancel"]
    assert asked == ["--name=entense-0123456789ab"]
    assert not ours.exists()
    assert all(script.exists() for script in others)


def test_where_there_is_no_scancel_it_is_told(tmp_path, monkeypatch):
    script_of(tmp_path, FOLDER)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExecutionError, match=rf"{FOLDER}.* this machine has no scancel"):
        stop_left(tmp_path)


def test_a_command_that_cannot_be_started_has_failed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    told = slurm_queue.call("squeue")
    assert told.returncode
    assert "squeue" in told.stderr
