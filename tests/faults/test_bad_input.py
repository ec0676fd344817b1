"""A bad record: an error that names the file and the remedy, and no harm to another record."""

import re

import numpy as np
import polars as pl
import pytest
from spoil import (
    SPOILERS,
    cleaned,
    empty_mask,
    no_tr,
    place,
    said,
    says,
    short_confounds,
    staged,
    tr_in_milliseconds,
    truncated,
    unreadable_sidecar,
    volume,
)

import entense as et
from entense.errors import ArchiveError, RecordError


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_one_bad_record_never_stops_the_others(root, tmp_path, spoil):
    good = cleaned(root).filter(pl.col("subject") != "02").entense.collect()
    path = spoil(root)
    table = cleaned(root)
    with pytest.raises(ArchiveError) as raised:
        table.entense.write(tmp_path / "out", shard_size=1)
    said(raised, "1 of 3 records", 'on_error="skip"')
    (line,) = str(raised.value).splitlines()[1:]
    says(line, "study_sub-02", str(path), *SPOILERS[spoil])
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("out/all/*.tar")}
    assert len(kept) == 2
    archive = table.entense.write(tmp_path / "out", shard_size=1, on_error="skip")
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("out/all/*.tar")} == kept
    check_others(archive, good, line.partition(": ")[2])


def check_others(archive, good, error):
    stored = re.sub(r"/\S*/", "", error)  # no folder of this machine is in an archive
    assert archive.records["error"].to_list() == [None, stored, None]
    assert archive.verify().records == 2
    for name in ("clean", "ts"):
        for row, values in zip((0, 2), et.to_numpy(good[name]), strict=True):
            assert np.array_equal(archive[row][name], values, equal_nan=True)
    with pytest.raises(RecordError, match="could not be computed"):
        archive[1]
    assert sum(len(batch["record"]) for batch in archive.loader(batch_size=2)) == 2


@pytest.mark.parametrize(
    "spoil", [truncated, short_confounds, empty_mask], ids=lambda s: s.__name__
)
def test_collect_and_loader_name_the_file_too(root, spoil):
    path = spoil(root)
    with pytest.raises(RecordError) as raised:
        cleaned(root).entense.collect()
    said(raised, "1 of 3 records", str(path), *SPOILERS[spoil])
    with pytest.raises(RecordError) as raised:
        list(cleaned(root).entense.loader(batch_size=1))
    said(raised, "sub-02", str(path), *SPOILERS[spoil])


@pytest.mark.parametrize(
    "spoil", [tr_in_milliseconds, no_tr, unreadable_sidecar], ids=lambda spoil: spoil.__name__
)
def test_a_tr_that_the_user_gives_is_the_remedy(root, spoil):
    expected = et.to_numpy(cleaned(root).entense.collect()["clean"])
    spoil(root)
    clean = volume().denoise("confounds", ["trans_x", "csf"], high_pass=0.02, low_pass=0.1)
    table = staged(root).with_columns(bold_tr=2.0).entense.transform(clean=clean.zscore())
    assert np.array_equal(et.to_numpy(table.entense.collect()["clean"]), expected)


def test_without_a_filter_no_tr_is_needed(root):
    no_tr(root)
    table = staged(root).entense.transform(x=volume().denoise("confounds", "6P").zscore())
    assert len(table.entense.collect()) == 3


@pytest.mark.parametrize(("shard_size", "finished"), [(1, 2), ("512MB", 0)])
def test_a_bad_record_that_is_repaired_is_all_that_a_rerun_writes(
    root, tmp_path, shard_size, finished
):
    good = cleaned(root).entense.write(tmp_path / "good", shard_size=shard_size)
    path = place(root, "bold.nii.gz")
    whole = path.read_bytes()
    truncated(root)
    with pytest.raises(ArchiveError):
        cleaned(root).entense.write(tmp_path / "out", shard_size=shard_size)
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("out/all/*.tar")}
    assert len(kept) == finished
    with pytest.raises(ArchiveError, match="unfinished; run the same write again"):
        et.open(tmp_path / "out")
    path.write_bytes(whole)
    archive = cleaned(root).entense.write(tmp_path / "out", shard_size=shard_size)
    assert archive.records["error"].null_count() == len(archive) == 3
    assert archive.manifest == good.manifest
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def test_when_every_record_is_bad_skip_raises_too(root, tmp_path):
    for table in root.glob("sub-*/func/*.tsv"):
        table.write_bytes(b"")
    with pytest.raises(ArchiveError) as raised:
        cleaned(root).entense.write(tmp_path / "out", on_error="skip")
    said(raised, "3 of 3 records", *(str(path) for path in root.glob("sub-*/func/*.tsv")))


def test_a_file_that_was_moved(root, tmp_path):
    table = cleaned(root).collect()
    path = place(root, "bold.nii.gz")
    elsewhere = path.rename(tmp_path / path.name)
    with pytest.raises(RecordError) as raised:
        table.entense.collect()
    said(raised, "1 of 3 records", f"{path}: there is no such file", "et.relocate")
    moved = et.relocate(table, {str(path): str(elsewhere)})
    assert len(moved.entense.collect()) == 3


def test_nan_and_constant_voxels_are_counted_and_not_spread(study, tmp_path):
    whole = np.random.default_rng(0).normal(1000, 10, (*study.shape, 40)).astype("f4")
    places = np.argwhere(study.inside)
    nan, inf, still = (tuple(places[i]) for i in (40, 50, 60))
    spoilt = whole.copy()
    spoilt[nan][3], spoilt[inf][:], spoilt[still][:] = np.nan, np.inf, 1000
    study.run("01", data=whole)
    study.run("02", data=spoilt, seed=0)
    study.atlas()
    table = cleaned(study.root).entense.transform(
        fc=et.col("ts").correlation(), pooled=et.col("clean").parcellate("atlas")
    )
    archive = table.entense.write(tmp_path / "out")
    counts = archive.records["clean"].struct
    assert counts.field("nonfinite").to_list() == [0, 2]
    assert counts.field("constant").to_list() == [0, 1]
    assert archive.records["ts"].struct.field("absent").to_list() == [1, 1]
    good, bad = archive[0], archive[1]
    others = np.ones(len(places), bool)
    others[[40, 50, 60]] = False
    assert np.isfinite(good["clean"]).all()
    assert np.allclose(good["clean"][:, others], bad["clean"][:, others], atol=1e-4)
    assert np.isnan(bad["clean"][:, [40, 50]]).all()
    assert not bad["clean"][:, 60].any()
    for name in ("ts", "fc", "pooled"):  # the parcels leave the two out; only the absent one is NaN
        assert np.array_equal(np.isnan(good[name]), np.isnan(bad[name]))
        assert np.isfinite(bad[name][:3, :3]).all()
