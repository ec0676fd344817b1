"""How many processes a machine holds: by its cores, its GPUs and its memory."""

import logging
import os

import pytest

from entense.execute.pydra import Task, at_once, draw, run_tasks
from entense.execute.pydra.workers import machine
from entense.execute.pydra.workers.crew import Crew

GB = 10**9


def tasks(memory=2 * GB, count=9, **asked):
    return [Task(f"{i}", "entense.cli:main", "", f"{i}", memory, **asked) for i in range(count)]


def put(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A machine of 6 cores with 16 GB that can be taken; others write what its cgroups say."""
    monkeypatch.setattr(machine, "_ROOT", tmp_path / "root")
    monkeypatch.setattr(machine, "cores", lambda: [*range(6)])
    put(tmp_path / "root", {"proc/meminfo": f"MemTotal: 99 kB\nMemAvailable:  {16 * 10**6} kB\n"})
    return tmp_path / "root"


V1 = "sys/fs/cgroup/memory/slurm/job_7"
V2 = "sys/fs/cgroup/system.slice/job_7"
CGROUPS = {
    "none": ({}, 16.384),
    "v2": (
        {
            "proc/self/cgroup": "0::/system.slice/job_7/step_0\n",
            f"{V2}/memory.max": f"{9 * GB}\n",
            f"{V2}/memory.current": f"{5 * GB}\n",
            f"{V2}/memory.stat": f"anon {GB}\nactive_file {GB}\ninactive_file {2 * GB}\n",
            f"{V2}/step_0/memory.max": "max\n",
        },
        6.0,
    ),
    "v1": (
        {
            "proc/self/cgroup": "9:cpuset:/x\n4:cpu,memory:/slurm/job_7\n0::/\n",
            f"{V1}/memory.limit_in_bytes": f"{9 * GB}\n",
            f"{V1}/memory.usage_in_bytes": f"{8 * GB}\n",
            f"{V1}/memory.stat": f"inactive_file 7\ntotal_inactive_file {4 * GB}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
        5.0,
    ),
    "a container sees its own as the top": (
        {
            "proc/self/cgroup": "0::/of/the/host\n",
            "sys/fs/cgroup/memory.max": f"{3 * GB}\n",
            "sys/fs/cgroup/memory.current": f"{4 * GB}\n",
        },
        0.0,
    ),
}


@pytest.mark.parametrize(("files", "left"), CGROUPS.values(), ids=CGROUPS)
def test_the_memory_that_is_left(root, files, left):
    put(root, files)
    assert machine.memory() == left * GB


def test_where_nothing_says_how_much_memory_there_is_cores_count(root):
    (root / "proc/meminfo").unlink()
    assert machine.memory() > 2**62
    assert "process: 6 processes, each on cores of its own" in draw(tasks(), "process")


def test_what_limits_their_number_is_said(root, monkeypatch):
    assert "process: 6 processes, each on cores of its own" in draw(tasks(), "process")
    assert "process: 2 processes, each on cores of its own" in draw(tasks(count=2), "process")
    assert "process: 3 processes, each on cores of its own" in draw(tasks(cores=2), "process")
    assert "process: 3 processes: memory allows no more" in draw(tasks(5 * GB), "process")
    assert "its own, 1 process: memory allows no more" in draw(tasks(9 * GB), "dask")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7,9")
    assert "process: 2 processes: GPUs allow no more" in draw(tasks(gpus=2), "process")


def test_what_the_user_says_is_done_and_warned_of(root, tmp_path, caplog):
    assert "4 processes, where memory is for 3" in draw(tasks(5 * GB), n_procs=4)
    assert "1 process, where memory is for 0" in draw(tasks(17 * GB))
    assert not caplog.records
    quick = [Task("quick", "os:fspath", "job", f"{i}", 9 * GB) for i in range(2)]
    run_tasks(quick, modules=["os"], cache=tmp_path)
    assert not caplog.records
    run_tasks(quick, modules=["os"], cache=tmp_path, n_procs=2)
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert said.getMessage() == (
        "2 processes, where memory is for 1: each may take 9 GB, and 16 GB are free; one that "
        "finds none is killed: give n_procs=1, or memory=, which each keeps to"
    )


def test_how_many_run_at_a_time(root):
    assert at_once(tasks()) == 6
    assert at_once(tasks(), "dask", n_procs=2) == 2
    assert at_once(tasks(), "dask", address="tcp://there:8786") is None
    assert at_once(tasks(), "slurm") is None


def test_each_has_gpus_of_its_own(root, monkeypatch):
    """The devices of no machine: what is tested is who is given which."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5,7,9,11")
    places = Crew.of(tasks(gpus=2), None).places
    seen = [place.environment()["CUDA_VISIBLE_DEVICES"] for place in places]
    assert seen == ["3,GPU-5", "7,9"]
    assert [place.cores for place in places] == [(0,), (1,)]
    (place,) = Crew.of(tasks(), 1).places
    assert place.environment()["CUDA_VISIBLE_DEVICES"] == os.environ["CUDA_VISIBLE_DEVICES"]
