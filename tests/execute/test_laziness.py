"""What computes nothing, and how little is held of what does."""

import gc
import os
import weakref

import numpy as np
import polars as pl
import pytest
from polars.io.plugins import register_io_source

import entense as et
from entense.buffers import Buffers
from entense.execute import collect as collecting
from entense.execute import loading, serial

BOLD = et.volume("bold", mask="mask")


def refuse(*_, **__):
    raise AssertionError("something was computed")


def refuse_when_asked(*_, **__):
    yield refuse()


@pytest.fixture
def nothing_runs(monkeypatch):
    """Make whatever reads a voxel, or runs a survey's rows, an error."""
    monkeypatch.setattr(loading, "decode", refuse)
    monkeypatch.setattr(serial, "load", refuse)
    monkeypatch.setattr(collecting, "run", refuse_when_asked)


@pytest.fixture
def seven(study):
    for number in range(7):
        study.run(f"{number:02}", frames=33)
    return study


def test_steps_on_a_lazyframe_collect_no_row(study, nothing_runs):
    """The table is a scan whose rows nobody may ask for."""
    study.run("01")
    atlas = str(study.atlas())
    unread = register_io_source(refuse, schema=study.records.schema)
    with pytest.raises(AssertionError, match="something was computed"):
        unread.collect()
    clean = BOLD.denoise("confounds", "6P").zscore()
    plan = unread.entense.transform(clean=clean, coarse=BOLD.smooth(3.0).downsample(2))
    plan = plan.entense.transform(fc=et.col("clean").parcellate(atlas).correlation())
    plan = plan.filter(pl.col("subject") == "01").sort("subject").head(3)
    assert isinstance(plan, pl.LazyFrame)
    assert plan.collect_schema().names()[-3:] == ["clean", "coarse", "fc"]


def test_a_plan_that_is_collected_by_polars_reads_no_file(study, nothing_runs):
    row = study.run("01")
    for role in ("bold", "mask", "confounds"):
        os.truncate(row[role], 0)
    plan = study.records.lazy().entense.transform(x=BOLD.denoise("confounds", "6P").zscore())
    assert plan.collect().height == 1


def test_explain_reads_no_voxel_of_any_step(study, nothing_runs):
    study.run("01")
    atlas = str(study.atlas())
    plan = study.records.lazy().entense.transform(
        a=BOLD.censor("confounds", fd=1.0).zscore().parcellate(atlas),
        b=BOLD.detrend().smooth(3.0).parcel_median(atlas),
        c=BOLD.detrend().resample(voxel_size=3.0).tsnr(),
    )
    text = plan.entense.explain()
    assert "space-first" in text
    assert text.count("decode    disk and cpu") == 1


def test_an_iterator_computes_nothing_until_it_is_asked(seven, nothing_runs):
    table = seven.records.entense.transform(x=BOLD)
    made = table.entense.collect(streaming=True)
    with pytest.raises(AssertionError, match="something was computed"):
        next(iter(made))


@pytest.fixture
def alive(monkeypatch):
    """How many outcomes' arrays are made, and how many are held."""
    refs, running = [], collecting.run

    def run(*args, **kwargs):
        for outcome in running(*args, **kwargs):
            refs.extend(weakref.ref(array) for array in (outcome.arrays or {}).values())
            yield outcome

    monkeypatch.setattr(collecting, "run", run)

    def count():
        gc.collect()
        return len(refs), sum(ref() is not None for ref in refs)

    return count


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_stream_holds_one_chunk(seven, decodes, alive, size):
    table = seven.records.entense.transform(x=BOLD.zscore())
    due = et.to_numpy(table.entense.collect()["x"])
    before, _ = alive()
    decodes.clear()
    parts = []
    for part in table.entense.collect(streaming=True, chunk_size=size):
        made, held = alive()
        assert held <= min(size, 7)
        done = sum(map(len, parts)) + len(part)
        assert made - before == done  # none of the next chunk
        # what is decoded ahead is what threads are busy with, and not the table
        ahead = max(2, min(serial._cores(), serial._MOST_DECODERS)) + 1
        assert len(decodes) <= done + ahead
        parts.append(part)
    assert [len(part) for part in parts] == [min(size, 7 - n) for n in range(0, 7, size)]
    whole = pl.concat(parts)
    assert whole["subject"].to_list() == table["subject"].to_list()
    np.testing.assert_array_equal(np.stack(list(et.to_numpy(whole["x"]))), np.stack(list(due)))


def test_a_stream_uses_the_memory_of_a_chunk_again_but_not_while_it_is_held(seven, monkeypatch):
    table = seven.records.entense.transform(x=BOLD.zscore())
    due = et.to_numpy(table.entense.collect()["x"])
    taken, outputs = Buffers._taken, []

    def take(self, kind, size):
        memory = taken(self, kind, size)
        if size == due[0].nbytes:  # what is decoded has columns to spare
            outputs.append(memory)
        return memory

    monkeypatch.setattr(Buffers, "_taken", take)
    kept = {}
    for number, part in enumerate(table.entense.collect(streaming=True, chunk_size=1)):
        if number in (1, 4):
            kept[number] = et.to_numpy(part["x"])[0]
    assert len(outputs) == 7
    assert len({id(memory) for memory in outputs}) <= 5
    for number, array in kept.items():
        np.testing.assert_array_equal(array, due[number])


def test_chunks_of_several_shapes_concat(study):
    for number, frames in enumerate((33, 40, 40, 35)):
        study.run(f"{number:02}", frames=frames)
    table = study.records.entense.transform(x=BOLD)
    parts = list(table.entense.collect(streaming=True, chunk_size=2))
    shapes = [array.shape for array in et.to_numpy(pl.concat(parts)["x"])]
    assert [frames for frames, _ in shapes] == [33, 40, 40, 35]
    assert {part.schema["x"] for part in parts} == {table.entense.collect().schema["x"]}


def test_errors_come_at_the_end_of_a_stream_and_list_all(seven):
    bad = [seven.rows[row]["bold"] for row in (1, 6)]
    for path in bad:
        os.truncate(path, 0)
    table = seven.records.entense.transform(x=BOLD)
    came = []

    def go():
        for part in table.entense.collect(streaming=True, chunk_size=2):
            came.extend(part["subject"])

    with pytest.raises(et.RecordError, match="2 of 7 records cannot be computed") as error:
        go()
    assert came == ["00", "02", "03", "04", "05"]
    assert all(path in str(error.value) for path in bad)


def test_a_stream_that_is_left_early_leaves_nothing_behind(seven, decodes):
    made = seven.records.entense.transform(x=BOLD).entense.collect(streaming=True, chunk_size=1)
    next(made)
    made.close()
    before = len(decodes)
    assert before < 7
    assert next(made, None) is None
    assert len(decodes) == before


def test_a_chunk_of_no_record_is_refused(seven):
    table = seven.records.entense.transform(x=BOLD)
    with pytest.raises(et.TableError, match="chunk_size=0 holds no record; give 1 or more"):
        table.entense.collect(streaming=True, chunk_size=0)
