"""Running a survey: order, failures, memory, threads, and the same bytes on any number of cores."""

import errno
import os
import subprocess
import sys
import threading

import jax
import nibabel as nib
import numpy as np
import pytest

import entense as et
from entense.buffers import Buffers
from entense.errors import ExecutionError
from entense.execute import serial
from entense.execute.serial import run
from entense.files import in_words
from entense.plan.survey import survey

BOLD = et.volume("bold", mask="mask")
SUBJECTS = ["01", "02", "03", "04", "05", "06", "07"]


@pytest.fixture
def known(study):
    for subject in SUBJECTS:
        study.run(subject)
    return survey(study.records.entense.transform(raw=BOLD, flat=BOLD.detrend()))


@pytest.mark.parametrize(("told", "cores"), [("1", 1), ("64", 2), ("", 2), ("0", 2), ("all", 2)])
def test_no_more_cores_are_used_than_nproc_says(told, cores, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setenv("NPROC", told)
    assert serial._cores() == cores


def due(study, row):
    return nib.load(study.rows[row]["bold"]).get_fdata()[study.inside].T


@pytest.mark.parametrize("rows", [range(7), [6, 0, 3], [2, 2], []], ids=str)
@pytest.mark.parametrize("memory", [None, 320_000_000, 1 << 40], ids=str)
def test_outcomes_come_in_the_order_that_was_asked(study, known, rows, memory):
    done = []
    for outcome in run(known, rows, memory=memory):
        np.testing.assert_array_equal(outcome.arrays["raw"], due(study, outcome.row))
        assert all(array.flags.c_contiguous for array in outcome.arrays.values())
        assert outcome.counts["raw"] == {"constant": 0, "nonfinite": 0, "coverage": [1.0]}
        done.append(outcome.row)
    assert done == list(rows)


@pytest.mark.parametrize("bad", [0, 3, 6])
def test_one_bad_record_never_stops_the_others(study, bad):
    for subject in SUBJECTS:
        study.run(subject)
    path = study.rows[bad]["bold"]
    os.truncate(path, 2000)
    known = survey(study.records.entense.transform(raw=BOLD))
    outcomes = [(o.row, o.error, o.arrays and o.arrays["raw"].copy()) for o in run(known, range(7))]
    assert [row for row, *_ in outcomes] == list(range(7))
    for row, error, array in outcomes:
        if row == bad:
            assert array is None
            assert path in error
        else:
            assert error is None
            np.testing.assert_array_equal(array, due(study, row))


def test_a_record_that_fails_late_does_not_stop_the_others(study):
    for subject in SUBJECTS:
        study.run(subject)
    path = study.rows[2]["confounds"]
    os.truncate(path, 300)
    chain = BOLD.denoise("confounds", "6P")
    known = survey(study.records.entense.transform(x=chain))
    outcomes = list(run(known, range(7)))
    assert [outcome.error is None for outcome in outcomes] == [row != 2 for row in range(7)]
    assert path in outcomes[2].error


def test_collect_lists_every_record_that_failed(study):
    for subject in SUBJECTS:
        study.run(subject)
    for row in (1, 4):
        os.truncate(study.rows[row]["bold"], 0)
    with pytest.raises(et.RecordError, match="2 of 7 records") as error:
        study.compute(BOLD)
    assert all(study.rows[row]["bold"] in str(error.value) for row in (1, 4))


@pytest.mark.parametrize(
    "error",
    [MemoryError("no 9 GB"), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no 9 GB")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["load", "_compute"])
def test_a_lack_of_memory_is_no_records_fault(study, known, monkeypatch, where, error):
    """Else it would be kept in the receipt of its shard, and never tried again."""

    def lacking(*_):
        raise error

    monkeypatch.setattr(f"entense.execute.serial.{where}", lacking)
    with pytest.raises(et.RecipeError, match=r"no 9 GB\); pass memory=") as raised:
        list(run(known, range(7)))
    assert study.rows[0]["bold"] in str(raised.value)
    assert not decoders()


def lacking(*_):
    raise MemoryError("no 9 GB")


def test_a_lack_of_memory_while_a_file_is_decoded_is_none_either(study, known, monkeypatch):
    monkeypatch.setattr("entense.images.nifti.open_packed", lacking)
    with pytest.raises(et.RecipeError, match=r"exhausted at .*bold.* .no 9 GB.; pass memory="):
        list(run(known, range(7)))


def test_nor_is_one_while_headers_are_read(study, monkeypatch):
    study.run("01")
    monkeypatch.setattr("entense.plan.survey.look", lacking)
    with pytest.raises(et.RecipeError, match=r"exhausted at .* .no 9 GB.; pass memory="):
        survey(study.records.entense.transform(raw=BOLD))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC, errno.ESTALE, errno.ENOTCONN])
@pytest.mark.parametrize("where", ["images.nifti.open_packed", "plan.survey.look"])
def test_nor_is_what_else_the_machine_lacks(study, monkeypatch, number, where):
    """A receipt would keep it, with on_error="skip", and a rerun leave the record out."""
    row = study.run("01")

    def lacking(*_):
        with in_words(row["bold"]):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"entense.{where}", lacking)
    with pytest.raises(ExecutionError, match=r"bold.* no fault of the file; .*, and run again"):
        list(run(survey(study.records.entense.transform(raw=BOLD)), range(1)))
    assert not decoders()


def decoders():
    return [t for t in threading.enumerate() if t.name.startswith("entense-decode")]


def test_stopping_early_leaves_no_thread(known):
    running = run(known, range(7))
    next(running)
    assert decoders()
    running.close()
    assert not decoders()


def test_an_error_of_the_caller_leaves_no_thread(known):
    def stop():
        for outcome in run(known, range(7)):
            raise KeyError(outcome.row)

    with pytest.raises(KeyError):
        stop()
    assert not decoders()


def test_nothing_is_read_before_the_first_outcome_is_asked_for(study, known):
    os.truncate(study.rows[0]["bold"], 0)
    running = run(known, [0])
    study.run("01", seed=0)  # it is there again
    assert next(running).error is None


def test_an_array_that_is_two_tensors_is_given_back_once(study, monkeypatch):
    for subject in SUBJECTS[:3]:
        study.run(subject)
    back = []
    monkeypatch.setattr(Buffers, "take_back", lambda _, array: back.append(array))
    known = survey(study.records.entense.transform(a=BOLD.detrend(), b=BOLD.detrend(), c=BOLD))
    for outcome in run(known, range(3)):
        assert outcome.arrays["a"] is outcome.arrays["b"]
    assert len(back) == len({id(array) for array in back}) > 3


HASH = """
import os, sys
os.sched_setaffinity(0, set(list(os.sched_getaffinity(0))[: int(sys.argv[1])]))
import hashlib, polars as pl, entense as et
from entense.execute.serial import run
from entense.files import in_words
from entense.plan.survey import survey
table = pl.read_parquet(sys.argv[2])
for outcome in run(survey(table), range(table.height)):
    assert outcome.error is None, outcome.error
    for name, array in outcome.arrays.items():
        print(name, hashlib.sha256(array.tobytes()).hexdigest())
"""


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: [0])(0)) < 2, reason="one core")
def test_one_core_and_two_give_the_same_bytes(tmp_path, new_study):
    study = new_study(tmp_path, shape=(30, 32, 24))  # more than one block
    for subject in ("01", "02"):
        study.run(subject, frames=60)
    atlas = str(study.atlas(labels=tuple(range(1, 29))))
    clean = BOLD.denoise("confounds", "36P", high_pass=0.01, low_pass=0.2).zscore()
    table = study.records.entense.transform(
        clean=clean, ts=BOLD.parcellate(atlas).detrend(), z=BOLD.zscore().astype("float16")
    )
    table = table.entense.transform(fc=et.col("clean").parcellate(atlas).correlation())
    table.write_parquet(tmp_path / "table.parquet")
    one, two = (
        subprocess.run(
            [sys.executable, "-c", HASH, cores, str(tmp_path / "table.parquet")],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for cores in ("1", "2")
    )
    assert len(one.splitlines()) == 8
    assert one == two
