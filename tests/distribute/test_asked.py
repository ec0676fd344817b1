"""What is asked of other processes is checked, and drawn, before any of it is done."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from lying import files
from tripping import Trips

import entense as et
from entense.archive.executors import executors
from entense.errors import ArchiveError, EntenseError, ExecutionError, RecipeError


@pytest.fixture
def trips(tmp_path):
    return Trips(tmp_path, "process", count=3)


def slices(drawn):
    """Return the folder of the tasks that a dry run has named, and the slices in it."""
    folder = Path(drawn.rpartition(" ")[2])
    return folder, sorted(folder.glob("*.parquet"))


def test_a_dry_run_writes_its_tasks_where_nobody_else_looks_and_nothing_else(trips):
    drawn = et.dry_run(trips.table, trips.out, **trips.asked | {"tasks": 2})
    folder, found = slices(drawn)
    assert "split over 2 tasks, all-000000" in drawn
    assert "core hours" in drawn
    assert len(found) == 2
    assert folder.stat().st_mode & 0o077 == 0
    assert not trips.out.exists()


def test_a_dry_run_leaves_out_what_is_there(trips):
    trips.open()
    trips.write()
    before = files(trips.out)
    assert "nothing to run" in et.dry_run(trips.table, trips.out, **trips.asked)
    trips.put(1, np.ones((10, 4)))
    asked = trips.asked | {"tasks": 3}
    assert "split over 1 task, all-000001" in et.dry_run(trips.table, trips.out, **asked)
    assert "3 tasks" in et.dry_run(trips.table, trips.out, **asked, overwrite=True)
    assert files(trips.out) == before


def test_a_dry_run_refuses_what_write_would(trips):
    et.write(trips.table.head(2), trips.out, dtype={"z": "float16"})
    with pytest.raises(ArchiveError, match=r"differs in the recipe of 'z': astype.* column 'age'"):
        et.dry_run(trips.table, trips.out, **trips.asked)
    out = trips.folder / "other"
    with pytest.raises(RecipeError, match=r"modules=\[\"trips\"\]"):
        et.dry_run(trips.table, out, **trips.asked | {"modules": []})
    with pytest.raises(ExecutionError, match="no option 'n_proc'"):
        et.dry_run(trips.table, out, **trips.asked, n_proc=1)
    with pytest.raises(ExecutionError, match=r"'serial' submits nothing.*pydra"):
        et.dry_run(trips.table, out, executor="serial")
    with pytest.raises(EntenseError, match=r"pidra.*pydra"):
        et.dry_run(trips.table, out, executor="pidra")


@pytest.mark.parametrize("asked", [et.write, et.dry_run])
def test_too_little_memory_for_a_record_is_told_before_anything_is_submitted(trips, asked):
    with pytest.raises(RecipeError, match="memory= allows 1 MB"):
        asked(trips.table, trips.out, **trips.asked, memory="1MB")
    assert not list(trips.folder.rglob("*.parquet"))


def test_gpus_are_refused_where_the_run_would_be_started_without_one(trips):
    asked = trips.asked | {"worker": "slurm", "gpus": 1}
    with pytest.raises(ExecutionError, match=r"gpus=1 is asked for.*start the run on a machine"):
        et.dry_run(trips.table, trips.out, **asked)


def test_the_slices_of_a_run_that_failed_are_not_kept(trips):
    with pytest.raises(ExecutionError, match=r"log: .*\.log") as error:
        trips.write(modules=["trips", "no_such_module"])
    assert str(error.value).count("all-000000:") == 1
    assert not list(trips.out.rglob("*.parquet"))
    assert list(trips.out.rglob("process-*.log"))


ELSEWHERE = {"executor": "pydra", "modules": ["trips"]}
ODD = [
    ({"overwritte": True}, "overwritte: "),
    ({"n_procs": 2, "cores": 2}, "cores, n_procs: "),
    ({"cores": 0}, "cores(=0|: )"),
    ({"gpus": -1}, "gpus(=-1|: )"),
    ({"tasks": 0}, "tasks(=0|: )"),
    ({"modules": "trips"}, r"modules(=\['trips'\]|: )"),
    ({"executor": "nonsense"}, "no executor 'nonsense'"),
    (ELSEWHERE | {"optimised": False}, "no option 'optimised'"),
]


@pytest.mark.parametrize(("options", "told"), ODD, ids=str)
@pytest.mark.parametrize("asked", [et.write, et.collect, et.explain])
def test_no_option_is_swallowed(trips, asked, options, told):
    where = [trips.out] if asked is et.write else []
    with pytest.raises(EntenseError, match=told):
        asked(trips.table, *where, **options)


def test_explain_draws_what_would_run_where(trips):
    here = et.explain(trips.table)
    there = et.explain(trips.table, executor="pydra", n_procs=1, cores=2, tasks=2)
    assert there.startswith(here)
    assert "split over 2 tasks" in there
    assert "2 cores" in there
    assert "core hours" in there
    assert "WORKFLOW" not in here
    plain = pl.DataFrame({"age": [31]})
    assert et.explain(plain, executor="pydra") == et.explain(plain)


def test_explain_knows_no_workflow_of_an_executor_of_ones_own(trips, monkeypatch):
    monkeypatch.setitem(executors._things, "here", executors["serial"])
    assert et.explain(trips.table, executor="here") == et.explain(trips.table)
