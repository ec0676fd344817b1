"""Measures of runs from their confounds, against NumPy on real tables."""

import sys
import threading
from pathlib import Path

import nilearn.interfaces.fmriprep as fmriprep
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import entense as et
from entense.errors import TableError
from entense.records.quality import quality

REAL = sorted((Path(fmriprep.__file__).parent / "data").glob("*confounds*.tsv"))
MEASURES = ["frames", "mean_fd", "max_fd", "censored", "seconds", "kept_seconds"]


def records(*paths, **columns):
    paths = [None if path is None else str(path) for path in paths]
    made = {"subject": [f"{n:02}" for n in range(len(paths))], "confounds": paths}
    made |= {"confounds_sidecar": None, **columns}
    return pl.DataFrame(made, schema_overrides={"confounds": pl.String})


@pytest.fixture
def write(tmp_path):
    def make(fd, name="c.tsv", **others):
        path = tmp_path / name
        table = pl.DataFrame({"framewise_displacement": fd, **others})
        table.write_csv(path, separator="\t", null_value="n/a")
        return path

    return make


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
@pytest.mark.parametrize("limits", [(0.5, 1.5), None])
def test_real_tables_as_numpy_has_it(path, limits):
    cells = [line.split("\t") for line in path.read_text().splitlines()]
    values = np.array([[np.nan if c == "n/a" else float(c) for c in row] for row in cells[1:]])
    column = dict(zip(cells[0], values.T, strict=True))
    fd = column["framewise_displacement"]
    limits = limits or (np.median(fd[1:]), 9)
    steady = [v for name, v in column.items() if name.startswith("non_steady_state")]
    bad = (fd > limits[0]) | (column["std_dvars"] > limits[1]) | np.any([fd > 99, *steady], axis=0)
    frame = records(path, bold_tr=2.0)
    (row,) = quality(frame, fd=limits[0], std_dvars=limits[1]).rows(named=True)
    assert row["frames"] == len(fd) == 30
    assert row["mean_fd"] == pytest.approx(fd[1:].mean(), rel=1e-12)
    assert row["max_fd"] == fd[1:].max()
    assert row["censored"] == pytest.approx(bad.mean(), rel=1e-12)
    assert row["seconds"] == 60
    assert row["kept_seconds"] == 2 * (~bad).sum()
    assert bad.sum() < 30
    assert limits == (0.5, 1.5) or bad.sum() >= 14


def test_frames_are_counted_once_whatever_is_wrong_with_them(write):
    path = write(
        [None, 0.9, 0.1, 0.9, 0.1],
        std_dvars=[None, 2.0, 2.0, 1.0, 1.0],
        non_steady_state_outlier00=[1, 0, 0, 0, 0],
    )
    frame = records(path, bold_tr=3.0)
    assert quality(frame).select(MEASURES).row(0) == (5, 0.5, 0.9, 0.8, 15.0, 3.0)
    assert quality(frame, fd=1)["censored"][0] == 0.6
    assert quality(frame, fd=1, std_dvars=9)["censored"][0] == 0.2


def test_the_first_frame_is_left_out_whatever_it_holds(write):
    row = quality(records(write([7.0, 0.1, 0.3]))).row(0, named=True)
    assert (row["mean_fd"], row["max_fd"]) == (0.2, 0.3)


def test_the_frame_keeps_its_kind_its_rows_and_their_order(write):
    a, b = write([None, 0.1], "a.tsv"), write([None, 0.2], "b.tsv")
    frame = records(b, a, None, b, bold_tr=[1.0, None, 1.0, float("nan")])
    made = quality(frame)
    assert_frame_equal(made.drop(MEASURES), frame)
    assert made["mean_fd"].to_list() == [0.2, 0.1, None, 0.2]
    assert made["seconds"].to_list() == [2.0, None, None, None]
    lazy = quality(frame.lazy())
    assert isinstance(lazy, pl.LazyFrame)
    assert_frame_equal(lazy.collect(), made)
    assert made.select(MEASURES).dtypes == [pl.Int64, *[pl.Float64] * 5]
    assert quality(frame.clear()).schema == made.schema


def test_each_table_is_read_once_and_several_at_a_time(write, monkeypatch, tmp_path):
    paths = [write([None, 0.1], f"{n}.tsv") for n in range(8)]
    together, read = threading.Barrier(8, timeout=30), []

    def counting(path, _of=et.read_confounds):
        read.append(path)
        together.wait()
        return _of(path)

    monkeypatch.setattr(sys.modules[quality.__module__], "read_confounds", counting)
    lazy = quality(records(*paths, *paths).lazy())
    assert sorted(read) == sorted(map(str, paths))
    for path in paths:
        path.unlink()  # nothing is read later
    assert lazy.select("mean_fd").collect()["mean_fd"].to_list() == [0.1] * 16


def test_tables_that_give_no_measures_are_named(write, tmp_path, caplog):
    good = write([None, 0.1])
    none = write([None, None, None], "none.tsv")
    text = write(["a", "b"], "text.tsv")
    lacks = tmp_path / "lacks.tsv"
    lacks.write_text("a\tb\n1\t2\n")
    cut = tmp_path / "cut.tsv"
    cut.write_text("framewise_displacement\tb\nn/a\t2\n3")
    made = quality(records(good, none, text, lacks, cut, tmp_path / "gone.tsv"))
    assert made["frames"].to_list() == [2, None, None, None, None, None]
    assert made.select(MEASURES)[1:].null_count().row(0) == (5,) * 6
    (line,) = caplog.messages
    assert line.startswith("quality: 5 of 6 tables give no measures: ")
    assert f"{none}: the column 'framewise_displacement' is empty" in line
    assert f"{text}: the column 'framewise_displacement' holds no numbers" in line
    assert f"{lacks}: has neither framewise displacement nor motion parameters" in line
    assert f"{cut} has 1 cells in row 2" in line
    assert f"{tmp_path}/gone.tsv: there is no such file" in line


def test_five_are_named(tmp_path, caplog):
    quality(records(*(tmp_path / f"{n}.tsv" for n in range(7))))
    (line,) = caplog.messages
    assert line.startswith("quality: 7 of 7 tables")
    assert line.count("no such file") == 5
    assert line.endswith("; …")


def test_motion_is_enough(tmp_path):
    path = tmp_path / "Movement_Regressors.txt"
    path.write_text(" ".join("0" * 12) + "\n" + " ".join(["1"] * 12) + "\n")
    expected = 3 + 3 * 50 * np.pi / 180
    assert quality(records(path))["mean_fd"][0] == pytest.approx(expected)


def test_the_column_of_repetition_times(write):
    frame = records(write([None, 0.1]), bold_tr=2.0, other_tr=3.0)
    assert quality(frame, tr="other_tr")["seconds"][0] == 6
    with pytest.raises(TableError, match="several repetition times, bold_tr, other_tr: say tr="):
        quality(frame)
    with pytest.raises(TableError, match=r"no column 'bald_tr' .*did you mean 'bold_tr'"):
        quality(frame, tr="bald_tr")


def test_what_cannot_be_asked(write):
    frame = records(write([None, 0.1]))
    with pytest.raises(TableError, match="there is no role 'confound'; did you mean 'confounds'"):
        quality(frame, "confound")
    with pytest.raises(TableError, match="has the column mean_fd, seconds already: rename or drop"):
        quality(frame.with_columns(seconds=1, mean_fd=2))
    lists = frame.with_columns(pl.concat_list("confounds", "confounds").alias("confounds"))
    with pytest.raises(TableError, match="holds more than one file a record"):
        quality(lists)
