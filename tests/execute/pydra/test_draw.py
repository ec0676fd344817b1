"""What is drawn without being run, and what is refused before it is."""

import pytest
from pydra.workers.cf import ConcurrentFuturesWorker
from pydra.workers.debug import DebugWorker

from entense.errors import ExecutionError
from entense.execute.pydra import Task, draw, run_tasks

TASKS = [
    Task("a to b", "entense.cli:main", "job", "1", memory=3 * 2**30, cores=4, gpus=1),
    Task("c to d", "entense.cli:main", "job", "2", memory=2**20),
]


def test_the_line_of_sbatch():
    options = {"partition": "long", "time": "2:00:00", "account": "x", "sbatch_args": ["--qos=a b"]}
    drawn = draw(TASKS, "slurm", **options)
    assert "2 tasks, a to b … c to d" in drawn
    assert "--cpus-per-task=4 --mem=3072M --gres=gpu:1" in drawn
    assert "--no-requeue" in drawn
    assert "--partition=long --time=2:00:00 --account=x '--qos=a b' job.sh '<task>'" in drawn


def test_the_other_workers(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert "process: 1 process" in draw(TASKS, "process")
    assert "dask: tcp://there:8786" in draw(TASKS, "dask", address="tcp://there:8786")
    assert "sge of Pydra" in draw(TASKS, "sge")
    assert draw([]) == "workflow Tasks: nothing to run"


@pytest.mark.parametrize(
    ("worker", "options", "message"),
    [
        ("proces", {}, "worker='proces' is no worker; did you mean 'process'"),
        ("slurm", {"partitoin": "x"}, "no option 'partitoin'; did you mean 'partition'"),
        ("slurm", {"sbatch_args": "--x"}, "give a list of strings"),
        ("slurm", {"memory": "2GB"}, "worker='slurm' has no option 'memory'"),
        ("slurm", {"cores": 2}, "worker='slurm' has no option 'cores'"),
        ("slurm", {"poll_seconds": "0.5"}, "poll_seconds='0.5' is no time between two looks"),
        ("slurm", {"poll_seconds": 0}, "poll_seconds=0 is no time"),
        ("sge", {"address": "x"}, "worker='sge' has no option 'address'"),
        ("cf", {}, "worker='cf' forks this process.*worker='process'"),
        ("process", {"n_procs": 0}, "n_procs=0"),
    ],
)
def test_what_there_is_not(worker, options, message, tmp_path):
    for attempted in (draw, run_tasks):
        more = {"cache": tmp_path} if attempted is run_tasks else {}
        with pytest.raises(ExecutionError, match=message):
            attempted(TASKS[1:], worker=worker, **options, **more)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_takes_no_option():
    worker = DebugWorker()
    assert "debug of Pydra" in draw(TASKS, worker)
    with pytest.raises(ExecutionError, match="n_procs= comes too late; give it to the worker"):
        draw(TASKS, worker, n_procs=2)
    with pytest.raises(ExecutionError, match="forks this process"):
        draw(TASKS, ConcurrentFuturesWorker)


def test_more_gpus_than_there_are(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ExecutionError, match="asks for 1 GPUs and this machine shows 0"):
        draw(TASKS, "process")


def test_no_sbatch(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExecutionError, match="needs sbatch, and this machine has none"):
        run_tasks(TASKS, worker="slurm", cache=tmp_path)


@pytest.mark.parametrize(("worker", "package"), [("dask", "distributed"), ("process", "pydra")])
def test_a_package_that_is_missing(worker, package, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    for name in [m for m in __import__("sys").modules if m.startswith(f"{package}.")]:
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ExecutionError, match="pip install 'entense"):
        run_tasks(TASKS[1:], worker=worker, cache=tmp_path)
