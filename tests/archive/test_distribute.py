"""Archives that other processes write; what goes wrong there is in faults/archive."""

import asyncio
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tripping import SLURM, Trips, files
from trips import KILLS, RAISES, WAITS

import entense as et
from entense.archive import folder as folders
from entense.archive.failures import FailedRecordsError
from entense.errors import EntenseError, RecipeError

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
    assert len({part for part in archive.records["shard"].drop_nulls()}) >= 20
    return table, options, files(folder / "due")


@pytest.mark.parametrize("worker", WORKERS)
def test_the_bytes_are_those_of_a_serial_write(many, tmp_path, worker):
    table, options, due = many
    where = Trips(tmp_path, worker).asked
    archive = et.write(table, tmp_path / "out", **where | options)
    assert files(tmp_path / "out") == due
    assert archive.records["error"].drop_nulls().len() == 3
    assert archive.verify().records == 37
