"""What a survey keeps of a row, and how often it looks at a file."""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import entense as et
from entense.archive.inputs import Inputs
from entense.files import version_of
from entense.plan import survey as surveys
from entense.plan.survey import survey

CLEAN = et.volume("bold", mask="mask").denoise("confounds", "6P").zscore()


def test_rows_that_are_alike_share_what_is_known_of_them(study):
    for subject in ("01", "02", "03"):
        study.run(subject, frames=41 if subject == "03" else 40)
    atlas = str(study.atlas())
    ts = CLEAN.parcellate(atlas)
    one, two, other = survey(study.records.entense.transform(clean=CLEAN, ts=ts)).rows
    assert one.specs is two.specs
    assert one.demand is two.demand
    assert one.bound.roots is two.bound.roots
    assert one.bound.labels is two.bound.labels
    assert other.specs["ts"].shape == (41, 4) != one.specs["ts"].shape
    atlases = [row.bound.files["ts:parcellate.atlas"] for row in (one, two, other)]
    assert {id(path) for path in atlases} == {id(atlases[0])}


def test_rows_are_given_as_they_were(study):
    """Each of its kind, with values and an error of its own."""
    for subject in ("01", "02", "03"):
        study.run(subject, frames=41 if subject == "02" else 40)
    Path(study.rows[2]["bold"]).write_bytes(b"damaged")
    table = study.records.entense.transform(clean=CLEAN)
    rows = survey(table).rows
    alone = [survey(table[place : place + 1]).rows[0] for place in range(3)]
    assert list(rows) == alone
    assert [rows[-1], rows[1:]] == [alone[2], alone[1:]]
    assert [bool(row.error) for row in rows] == [False, False, True]
    assert len({row.bound.values for row in rows}) == len(rows.kinds) == 3
    with pytest.raises(IndexError):
        rows[3]


def test_rows_that_keep_other_frames_are_not_alike(study):
    """Three frames each, and not the same ones."""
    for subject in ("01", "02"):
        study.run(subject, frames=40)
    table = study.records.with_columns(onset=pl.Series([0.0, 10.0]))
    for place, row in enumerate(study.rows):
        path = row["confounds"]
        moved = np.zeros(40)
        moved[[5 + place, 20]] = 9.0
        frame = pl.read_csv(path, separator="\t", null_values="n/a")
        frame = frame.with_columns(framewise_displacement=moved)
        frame.write_csv(path, separator="\t", null_value="n/a")
    kept = et.volume("bold", mask="mask").censor("confounds", fd=0.5)
    one, two = survey(table.entense.transform(x=kept)).rows
    assert one.specs["x"].shape == two.specs["x"].shape
    assert [int(np.argmin(row.specs["x"].kept)) for row in (one, two)] == [5, 6]


def test_a_file_of_all_rows_is_looked_at_once(study, monkeypatch):
    for subject in ("01", "02", "03"):
        study.run(subject)
    atlas = str(study.atlas())
    table = study.records.entense.transform(ts=CLEAN.parcellate(atlas))
    looked, version_of = [], surveys.version_of
    monkeypatch.setattr(surveys, "version_of", lambda path: looked.append(path) or version_of(path))
    known = survey(table)
    assert looked.count(atlas) == 1
    assert len(looked) == 3 * 3 + 1
    sizes = [Path(path).stat().st_size for path in known.rows[1].bound.paths]
    assert known.bytes(1) == sum(sizes)


def test_files_are_known_as_they_were_before_they_were_read(study, monkeypatch):
    """What replaces one in the meantime is then noticed, whenever it comes."""
    bold, look = study.run("01")["bold"], surveys.look
    before = version_of(bold)

    def replacing(bound):
        known = look(bound)
        os.utime(bold, ns=(1, 1))
        return known

    monkeypatch.setattr(surveys, "look", replacing)
    assert survey(study.records.entense.transform(x=CLEAN)).versions[bold] == before


def test_what_a_receipt_says_is_of_each_file_of_a_row(study):
    row = study.run("01")
    known = survey(study.records.entense.transform(x=CLEAN))
    said = Inputs(known.rows, known.versions).said(0)
    name, size, time = said["x:volume.image"]
    assert list(said) == sorted(said)
    stat = Path(row["bold"]).stat()
    assert (name, size, time) == (Path(row["bold"]).name, stat.st_size, stat.st_mtime_ns)
