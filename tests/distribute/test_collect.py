"""What is collected from other processes is what is collected here."""

import numpy as np
import polars as pl
import pytest
from tripping import Trips
from trips import RAISES

import entense as et
from entense.errors import RecordError, TableError

THERE = {"executor": "pydra", "modules": ["trips"], "n_procs": 1}


@pytest.fixture
def trips(tmp_path):
    trips = Trips(tmp_path, "process", count=5)
    trips.put(3, np.ones((17, 4)))
    return trips


def table_of(trips):
    """Return one that `write` would refuse or sort: backwards, of no split, with lists."""
    table = trips.table.entense.transform(fc=et.col("z").correlation()).reverse()
    split = pl.Series("split", ["train", None, None, "test", "test"])
    return table.with_columns(split, pl.Series("runs", [[1, 2]] * 5))


def parts(table, **how):
    """Return what a stream yields, and what it raises at its end."""
    found = []
    try:
        for part in et.collect(table, streaming=True, chunk_size=2, **how):
            found.append(part)  # noqa: PERF402  what came before the error is kept
    except RecordError as error:
        return found, str(error)
    return found, None


def test_a_table_and_a_stream_are_those_of_this_process(trips, tmp_path):
    table = table_of(trips)
    here, there = et.collect(table), et.collect(table, folder=tmp_path / "kept", **THERE)
    assert there.schema == here.schema
    assert there.equals(here)
    assert et.to_numpy(here["z"])[1].shape == (17, 4)
    found, error = parts(table, folder=tmp_path / "kept", **THERE)
    assert [part.height for part in found] == [2, 2, 1]
    assert pl.concat(found).equals(here)
    assert error is None
    assert et.open(tmp_path / "kept").records.columns[:2] == ["record", "split"]


def test_records_without_names_are_collected(trips):
    table = table_of(trips).drop("dataset", "subject").head(2)
    assert et.collect(table, **THERE).equals(et.collect(table))


def test_what_fails_is_told_alike_and_a_stream_has_the_others_first(tmp_path):
    trips = Trips(tmp_path, "process", {1: RAISES}, 5)
    trips.input(3).unlink()
    table = table_of(trips)
    told = []
    for how in ({}, THERE):
        with pytest.raises(RecordError) as error:
            et.collect(table, **how)
        told.append(str(error.value))
    assert told[0] == told[1]
    assert told[0].startswith("2 of 5 records cannot be computed:\n  ds_sub-03: ")
    (here, error), (there, there_too) = parts(table), parts(table, **THERE)
    assert [part["subject"].to_list() for part in there] == [["04"], ["02"], ["00"]]
    assert all(one.equals(other) for one, other in zip(here, there, strict=True))
    assert [line.split(": ")[0] for line in there_too.splitlines()] == [
        line.split(": ")[0] for line in error.splitlines()
    ]


def test_where_all_fail_a_stream_is_as_here(tmp_path):
    trips = Trips(tmp_path, "process", {0: RAISES, 1: RAISES, 2: RAISES}, 3)
    (here, error), (there, there_too) = parts(trips.table), parts(trips.table, **THERE)
    assert [part.height for part in there] == [part.height for part in here] == [0, 0]
    assert there_too == error


def test_a_table_without_tensors_or_rows_is_as_here(trips):
    plain = table_of(trips).drop("z", "fc")
    assert et.collect(plain, **THERE).equals(plain)
    assert [part.height for part in parts(plain, **THERE)[0]] == [2, 2, 1]
    empty = trips.table.head(0)
    assert et.collect(empty, **THERE).equals(et.collect(empty))


@pytest.mark.parametrize("where", [{"worker": "slurm"}, {"worker": "dask", "address": "tcp://a:1"}])
def test_workers_on_other_machines_must_see_the_folder(tmp_path, where):
    table = Trips(tmp_path, "process", count=2).table
    with pytest.raises(TableError, match="give folder= on a disk that all of them share"):
        et.collect(table, executor="pydra", **where)
