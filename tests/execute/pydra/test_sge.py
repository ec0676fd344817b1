"""Pydra's worker of SGE, with commands that stand in for a cluster's: none of us has one."""

import os
import random
from pathlib import Path

import pytest
from tasking import said

from entense.errors import ExecutionError
from entense.execute.pydra import draw, run_tasks

QSUB = """#!/bin/sh
echo "$@" >> "$0.said"
for script; do :; done
touch "$0.$$"
(SGE_TASK_ID=1 sh "$script"; rm "$0.$$") > "$0.log" 2>&1 &
echo "Your job-array $$.1-1:1 (run) has been submitted"
"""
QSTAT = """#!/bin/sh
ls "$(dirname "$0")/qsub.$2" 2>/dev/null
"""
QACCT = "#!/bin/sh\necho failed 0\n"


@pytest.fixture
def worker():
    return "sge"


@pytest.fixture
def qsub(tmp_path, monkeypatch):
    """Put the commands on the path; return the file of what qsub was asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"qsub": QSUB, "qacct": QACCT, "qstat": QSTAT}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setattr(random, "uniform", lambda *_: 0.2)  # Pydra waits up to 5 s
    return folder / "qsub.said"


@pytest.mark.slow
def test_tasks_run_with_the_arguments_that_were_given(make, run, qsub):
    tasks = [make("well"), make("wrong", "fail")]
    asked = "-l h_vmem=4G -q long"
    options = {"max_job_array_length": 1, "collect_jobs_delay": 0}
    done, raised = run(tasks, default_qsub_args=asked, **options)
    assert (done.how, raised.how) == ("done", "raised")
    assert said(tasks[0]) == "well"
    assert "the voxels of wrong are wrong" in raised.error
    assert [asked in line for line in qsub.read_text().splitlines()] == [True, True]


def test_it_is_drawn_with_what_it_would_ask(make):
    assert "qsub -t … -l h_vmem=4G" in draw([make("one")], "sge", default_qsub_args="-l h_vmem=4G")
    assert "memory and cores as the queue gives" in draw([make("one")], "sge")
    with pytest.raises(ExecutionError, match="'sge' has no option 'memory'"):
        draw([make("one")], "sge", memory="4GB")


def test_no_qsub(make, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExecutionError, match="needs qsub, and this machine has none"):
        run_tasks([make("one")], modules=["pydra_entries"], worker="sge", cache=tmp_path / "cache")
