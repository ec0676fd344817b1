"""Archives that other processes write; what goes wrong there is in faults/archive too."""

import asyncio

import numpy as np
import polars as pl
import pytest
from lying import files
from tripping import SLURM, Trips
from trips import KILLS, RAISES, WAITS

import entense as et
from entense.archive import locks
from entense.archive.executors import Elsewhere
from entense.distribute import run as distributed
from entense.distribute.cost import number_of
from entense.errors import ArchiveError, EntenseError, ExecutionError, RecipeError

WORKERS = ["process", "dask", SLURM]
FORMATS = ["webdataset", "tfrecord", "hdf5", "zarr", "parquet"]


@pytest.fixture
def plan():
    """The real plan, which the other tests here do without."""


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Records for 20 shards, in splits, of which two cannot be computed; and their serial write."""
    folder = tmp_path_factory.mktemp("many")
    trips = Trips(folder, "process", {7: RAISES, 24: RAISES}, 40)
    trips.put(3, np.ones((17, 4)))
    trips.input(30).unlink()
    split = pl.when(pl.col("subject") < "25").then(pl.lit("train")).otherwise(pl.lit("test"))
    table = trips.table.entense.transform(fc=et.col("z").correlation()).with_columns(split=split)
    options = {"columns": ["age"], "shard_records": 2, "format": FORMATS, "shuffle": 1}
    options |= {"disaggregate": "tensor", "index": ["dali"], "on_error": "skip"}
    archive = et.write(table, folder / "due", **options)
    assert archive.records["shard"].n_unique() > 20
    return table, options, files(folder / "due")


@pytest.mark.parametrize("worker", WORKERS)
def test_the_bytes_are_those_of_a_serial_write(many, tmp_path, worker):
    table, options, due = many
    where = Trips(tmp_path, worker).asked
    archive = et.write(table, tmp_path / "out", **where | options)
    assert files(tmp_path / "out") == due
    assert archive.records["error"].drop_nulls().len() == 3
    assert archive.verify().records == 37


def test_a_worker_of_pydras_own_writes_the_same(tmp_path):
    trips = Trips(tmp_path, "debug", {2: RAISES})
    trips.write(on_error="skip", tasks=2)
    assert files(trips.out) == trips.serial(on_error="skip")


def test_jobs_that_are_preempted_cost_no_record(tmp_path, cluster):
    trips = Trips(tmp_path, "slurm", {1: WAITS})
    due = trips.serial()

    def preempt(pid, job, again=True):
        (trips.gate / f"{pid}.waits").unlink()
        cluster.end(job, "PREEMPTED 0")
        if again:  # by itself
            preempt(*trips.waiting(), again=False)

    preempter = trips.meanwhile(preempt)
    with pytest.raises(ExecutionError, match="ended: PREEMPTED"):
        trips.write(on_error="skip")
    preempter.join()
    trips.open()
    trips.write(on_error="skip")
    assert {n: b for n, b in files(trips.out).items() if n.endswith(".tar")} == {
        n: b for n, b in due.items() if n.endswith(".tar")
    }


def test_where_workers_die_before_they_begin_it_is_told_at_once(tmp_path, monkeypatch):
    (tmp_path / "deadly.py").write_text("import os\nos._exit(127)\n")
    monkeypatch.syspath_prepend(tmp_path)
    seen, run_tasks = [], distributed.run_tasks
    monkeypatch.setattr(
        distributed, "run_tasks", lambda *a, **k: seen.append(1) or run_tasks(*a, **k)
    )
    trips = Trips(tmp_path, "process", count=3)
    with pytest.raises(
        ExecutionError, match=r"3 of 3 tasks did not end well.*\n.*ended with code 127"
    ):
        trips.write(modules=["trips", "deadly"])
    assert seen == [1]


def test_in_a_running_event_loop_it_works(tmp_path):
    trips = Trips(tmp_path, "process", count=2)

    async def cell():
        return trips.write()

    assert asyncio.run(cell()).verify().records == 2


@pytest.mark.parametrize("held", [True, False], ids=["held", "let go"])
def test_workers_of_a_killed_run_are_waited_for(tmp_path, monkeypatch, held):
    """Its folder of tasks has a lock that they share; a lock that nobody holds is in no way."""
    trips = Trips(tmp_path, "process", count=2)
    runs = trips.out / ".entense" / "run"
    (runs / "of-a-killed-run").mkdir(parents=True)
    (trips.out / ".entense" / "lock").touch()
    (runs / "workers").touch()
    seen = []
    worker = locks.sharing(runs)
    worker.__enter__()

    def look(_):
        seen.append(1)
        worker.__exit__(None, None, None)

    monkeypatch.setattr(locks, "sleep", look)
    monkeypatch.setattr(locks, "PATIENCE", -1 if held else 60)
    if held:
        with pytest.raises(
            ArchiveError, match=r"workers of an earlier run.* still write into .*out"
        ):
            trips.write()
        worker.__exit__(None, None, None)
    assert trips.write().verify().records == 2
    assert bool(seen) is not held
    assert not runs.exists()


def test_what_other_processes_cannot_import_is_refused_before_anything_runs(tmp_path, monkeypatch):
    trips = Trips(tmp_path, "process", {0: KILLS})
    with pytest.raises(RecipeError, match=r"modules=\[\"trips\"\]"):
        trips.write(modules=[])
    monkeypatch.setattr(et.ops.core.ops["trip"].function, "__module__", "__main__")
    with pytest.raises(RecipeError, match="move it into a module of its own"):
        trips.write()
    assert not list(trips.out.rglob("*.said"))


TASKS = [
    (10, Elsewhere("slurm"), 1),
    (600, Elsewhere("slurm"), 30),
    (1e6, Elsewhere("slurm"), 1000),
    (1e6, Elsewhere("slurm", tasks=7), 7),
    (10, Elsewhere(options={"n_procs": 3}), 12),
    (600, Elsewhere("dask", options={"n_procs": 3}), 30),
    (10, Elsewhere("dask", options={"address": "tcp://there:8786"}), 1),
]


@pytest.mark.parametrize(("seconds", "where", "number"), TASKS)
def test_how_many_tasks_there_are(seconds, where, number):
    assert number_of(seconds, 5000, 1, where) == number


def test_a_dry_run_of_what_is_written_has_nothing_to_run(tmp_path):
    trips = Trips(tmp_path, "process", count=2)
    trips.serial()
    said = et.dry_run(trips.table, tmp_path / "due", **trips.asked)
    assert said.startswith("workflow Tasks: nothing to run\nCOST  about 0.00 core hours")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n_proc": 2}, "has no option 'n_proc'.*n_procs"),
        ({"worker": "slrum"}, "'slrum' is no worker.*slurm"),
        ({"executor": "pidra"}, "pidra.*pydra"),
        ({"executor": "serial"}, 'executor="pydra"'),
        ({"executor": "serial", "worker": "process", "tasks": None, "n_procs": 2}, "pydra"),
        ({"modules": ["trips", "no_such_module"]}, "no_such_module"),
    ],
)
def test_options_that_cannot_be_met_are_an_error_in_words(tmp_path, options, told):
    trips = Trips(tmp_path, "process", count=2)
    with pytest.raises(EntenseError, match=told):
        trips.write(**options)
    assert not list(trips.out.rglob("*.tar"))
