"""What every worker does with tasks that go well, go wrong, or die."""

import asyncio
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from tasking import has_started, is_running, said, wait_for

from entense.errors import ExecutionError
from entense.execute.pydra import Task, run_tasks

ODD = "été '\"$(exit 1)`\n%j 脑; a/b"


def test_one_that_fails_or_dies_stops_no_other(make, run, tmp_path):
    kinds = ["write", "fail", "write", "die", "leave", "write", "chatter"]
    tasks = [make(f"task {i}", kind) for i, kind in enumerate(kinds)]
    ended = run(tasks)
    assert [one.task for one in ended] == tasks
    how = ["done", "raised", "done", "killed", "raised", "done", "done"]
    assert [one.how for one in ended] == how
    assert [said(t) for t, kind in zip(tasks, kinds, strict=True) if kind in ("write", "chatter")]
    assert [one.error is None for one in ended] == [one == "done" for one in how]
    assert "task 1: ValueError: the voxels of task 1 are wrong" in ended[1].error
    assert "task 3: " in ended[3].error
    assert "memory" in ended[3].error
    assert "task 4: SystemExit: enough" in ended[4].error


def test_a_worker_of_pydras_own(make, tmp_path):
    tasks = [make("one"), make("two", "fail"), make("three", "leave"), make("four")]
    how = {"worker": "debug", "modules": ["pydra_entries"], "cache": tmp_path / "cache"}
    ended = run_tasks(tasks, **how)
    assert [one.how for one in ended] == ["done", "raised", "raised", "done"]
    assert [said(tasks[0]), said(tasks[3])] == ["one", "four"]
    assert ended[1].error.startswith("two: ValueError: the voxels of two are wrong")


def test_odd_names(make, run):
    tasks = [make(ODD), make(ODD, "fail")]
    done, raised = run(tasks)
    assert said(tasks[0]) == ODD
    assert (done.how, raised.how) == ("done", "raised")
    assert raised.error.startswith(f"{ODD}: ValueError: the voxels of {ODD} are wrong")


def test_what_a_worker_sees_of_its_machine(make, run, worker, monkeypatch):
    cores = 2 if len(os.sched_getaffinity(0)) > 1 else 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")  # of no machine: who sees which is ours
    gpus = 0 if worker == "slurm" else 1  # there the cluster says which
    (ended,) = run([task := make("tell", "tell", cores=cores, gpus=gpus)])
    assert ended.how == "done", ended.error
    seen = json.loads(said(task))
    assert seen["modules"] == []
    assert set(seen["pools"]) == {cores}
    assert {v for k, v in seen["environment"].items() if k.endswith("THREADS")} == {str(cores)}
    assert seen["decoders"] == cores
    assert seen["preallocates"] == "false"  # JAX would take most of a GPU that others share
    if worker != "slurm":  # there the cluster says which
        assert len(seen["cores"]) == cores
        assert seen["environment"]["CUDA_VISIBLE_DEVICES"] == "3"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ZeroDivisionError])
def test_what_poll_raises_ends_the_workers(kind, make, run):
    tasks = [make(f"wait {i}", "wait") for i in range(3)]
    seen = []

    def poll():
        seen.extend(said(task) for task in tasks if has_started(task))
        if seen:
            raise kind

    with pytest.raises(kind):
        run(tasks, poll=poll)
    wait_for(lambda: not any(is_running(pid) for pid in seen))


def test_a_folder_that_vanishes_is_told(make, run, tmp_path):
    tasks = [make("wait", "wait"), make("write")]

    def poll():
        if has_started(tasks[0]):
            shutil.rmtree(tmp_path / "cache", ignore_errors=True)

    with pytest.raises(ExecutionError, match="went away in the middle"):
        run(tasks, poll=poll)


def test_it_runs_inside_a_running_loop(make, run):
    async def main():
        return run([make("task")])

    assert asyncio.run(main())[0].how == "done"


def test_nothing_stays_of_a_run_that_went_well(make, run, tmp_path):
    signals = (signal.SIGINT, signal.SIGTERM)  # a shell's background job ignores the first
    before = Path.cwd(), *map(signal.getsignal, signals)
    run([make("task")], poll=lambda: None)
    assert list((tmp_path / "cache").iterdir()) == []
    assert (Path.cwd(), *map(signal.getsignal, signals)) == before


def test_no_tasks_are_no_run(run, tmp_path):
    assert run([]) == []


def test_only_named_modules_are_run(tmp_path):
    task = Task("task", "os:system", "true", "1", memory=1)
    with pytest.raises(ExecutionError, match="'os:system' is no function of entense; name its"):
        run_tasks([task], cache=tmp_path)
    with pytest.raises(ExecutionError, match="no function of entense or json"):
        run_tasks([task], cache=tmp_path, modules=["json"])
    assert list(tmp_path.iterdir()) == []
