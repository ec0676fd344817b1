"""Tasks for the tests of workers, and programs that run some and are stopped in the middle."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from fake_slurm import cluster  # noqa: F401  a fixture

from entense.execute.pydra import Task, run_tasks

HERE = Path(__file__).parent
OPTIONS = {"process": {}, "dask": {}, "sge": {}, "slurm": {"poll_seconds": 0.2}}
WORKERS = ["process"]
WORKERS += [pytest.param("dask", marks=pytest.mark.slow)]
WORKERS += [pytest.param("slurm", marks=pytest.mark.slurm)]


@pytest.fixture(params=WORKERS)
def worker(request):
    """Each worker in turn."""
    if request.param == "slurm" and not shutil.which("sbatch"):
        pytest.fail("there is no SLURM here: make slurm")
    return request.param


@pytest.fixture
def make(tmp_path):
    """Return what makes a task of a function of `pydra_entries`."""

    def task(name, function="write", **asked):
        stem = f"{len(list(tmp_path.iterdir())):03}"
        job = tmp_path / f"{stem}.json"
        job.write_text(json.dumps({"out": str(tmp_path / f"{stem}.out"), "text": name}))
        asked = {"memory": 10**6} | asked
        return Task(name, f"pydra_entries:{function}", str(job), f"of {name}", **asked)

    return task


@pytest.fixture
def run(tmp_path, worker):
    """Return what runs tasks on the worker of the test."""

    def go(tasks, **options):
        options = {"worker": worker, "cache": tmp_path / "cache"} | OPTIONS[worker] | options
        return run_tasks(tasks, modules=["pydra_entries"], **options)

    return go


@pytest.fixture
def program(tmp_path, worker):
    """Return what starts a script that runs tasks, without a main guard, as a process."""
    started = []

    def start(tasks, *, on=worker, around="{run}", stdin=False):
        options = {"cache": str(tmp_path / "cache"), "modules": ["pydra_entries"]} | OPTIONS[on]
        text = textwrap.dedent(f"""
            from pathlib import Path
            from entense.execute.pydra import Task, run_tasks
            def run():
                tasks = [Task(*one) for one in {[tuple(vars(t).values()) for t in tasks]!r}]
                options = {options!r}
                options["cache"] = Path(options["cache"])
                return run_tasks(tasks, worker={on!r}, **options)
            """) + around.format(run="print([one.how for one in run()])")
        script = tmp_path / "script.py"
        script.write_text(text)
        path = os.pathsep.join([str(HERE), *sys.path])
        with Path(script if stdin else os.devnull).open() as read:
            process = subprocess.Popen(
                [sys.executable, "-" if stdin else str(script)],
                stdin=read,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": path},
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
