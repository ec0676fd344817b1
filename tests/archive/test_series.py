"""Series of shards: one for each tensor, one for each format, of formats that libraries write."""

import errno
import io
import json
import os
import tarfile
from pathlib import Path
from typing import ClassVar

import nibabel as nib
import npy_tables
import numpy as np
import polars as pl
import pytest
from lying import files

from entense.archive import open_archive
from entense.archive.formats import Foreign, formats, register_format
from entense.archive.write import write
from entense.errors import ArchiveError
from entense.geometry import Grayordinates
from entense.geometry.grayordinates import CORTEX

COLUMNS = ["age", "sex"]


class Single(Foreign):
    """NumPy files: one tensor of one record each."""

    name, extension, library, single = "npyfile", ".npy", "numpy", True
    reads: ClassVar[list] = []

    def check(self, name, spec):
        if spec.dtype == "bool":
            raise ArchiveError(f"{name!r} is bool, which npyfile has not; use uint8")

    def size(self, sample):
        return sample.nbytes

    def begin(self, path, shared):
        return _NpyFile(path)

    def read(self, path, key, tensor, start, stop):
        self.reads.append((path.name, start, stop))
        array = np.load(path, allow_pickle=False)
        return array[start:stop] if array.ndim else array


class _NpyFile:
    def __init__(self, path):
        self.path = path

    def append(self, sample):
        (array,) = sample.arrays.values()
        with Path(self.path).open("wb") as file:
            np.save(file, array)

    def close(self):
        pass


@pytest.fixture
def single():
    """Register a format of one file a tensor of a record."""
    if "npyfile" not in formats:
        register_format(Single())
    Single.reads.clear()
    return formats["npyfile"]


def members(path):
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def check(archive, tmp_path):
    for row in range(9):
        for name in ("clean", "fc"):
            due = np.load(tmp_path / "inputs" / f"{name}-{row}.npy")
            np.testing.assert_array_equal(archive[row][name], due)
    assert archive.verify().records == 9


class TestDisaggregate:
    def test_each_tensor_has_shards_of_its_own_which_can_be_zipped(self, records, tmp_path):
        archive = write(records, tmp_path / "out", columns=COLUMNS, shard_records=4, shuffle=0,
                        disaggregate="tensor")  # fmt: skip
        check(archive, tmp_path)
        parts = [f"train-00000{n}" for n in (0, 1)]
        for part in parts:
            clean, fc = (members(archive.folder / f"train/{name}/{part}.tar")
                         for name in ("clean", "fc"))  # fmt: skip
            keys = [[name.partition(".")[0] for name in held if name.endswith(".npy")]
                    for held in (clean, fc)]  # fmt: skip
            assert keys[0] == keys[1] != []
            for key in keys[0]:
                assert clean[f"{key}.json"] == fc[f"{key}.json"]
                due = archive[key]
                np.testing.assert_array_equal(np.load(io.BytesIO(fc[f"{key}.fc.npy"])), due["fc"])
                assert json.loads(fc[f"{key}.json"]) == {name: due[name] for name in COLUMNS}

    def test_only_the_shards_of_the_tensors_that_are_asked_for_are_read(self, records, tmp_path):
        for fmt in ("webdataset", "tfrecord"):
            archive = write(records, tmp_path / fmt, format=fmt, disaggregate="tensor",
                            columns=COLUMNS, shard_records=4)  # fmt: skip
            for path in (archive.folder / "train" / "clean").iterdir():
                path.unlink()
            batches = list(archive.loader("train", batch_size=3, tensors=["fc"]))
            assert np.concatenate([b["fc"] for b in batches]).shape == (6, 4, 4)
            for row, sample in enumerate(archive.to_tf("train", tensors=["fc"])):
                assert set(sample) == {"fc", "record", *COLUMNS}
                due = np.load(tmp_path / "inputs" / f"fc-{row}.npy")
                np.testing.assert_array_equal(sample["fc"].numpy(), due)
            with pytest.raises(ArchiveError, match=r"train/clean/train-000000.*missing"):
                archive.verify()

    def test_tensorflow_reads_the_series_together(self, records, tmp_path):
        archive = write(records, tmp_path / "out", format="tfrecord", disaggregate="tensor",
                        shard_records=2, shuffle=1)  # fmt: skip
        seen = set()
        for sample in archive.to_tf():
            record = sample["record"].numpy().decode()
            seen.add(record)
            for name in ("clean", "fc"):
                np.testing.assert_array_equal(sample[name].numpy(), archive[record][name])
        assert len(seen) == 9

    def test_damage_is_named_with_the_shard_and_the_records_of_its_tensor(self, records, tmp_path):
        archive = write(records, tmp_path / "out", disaggregate="tensor", shard_records=3)
        path = archive.folder / "train" / "fc" / "train-000001.tar"
        content = bytearray(path.read_bytes())
        content[archive.records["fc"][4]["offset"]] ^= 1
        path.write_bytes(content)
        with pytest.raises(
            ArchiveError, match=r"train/fc/train-000001.tar has .*records ds_sub-04"
        ) as e:
            archive.verify()
        assert str(e.value).count("train-0") == 1
        np.testing.assert_array_equal(archive.read(4, "clean"),
                                      np.load(tmp_path / "inputs" / "clean-4.npy"))  # fmt: skip
        good = write(records, tmp_path / "fresh", disaggregate="tensor", shard_records=3)
        write(records, tmp_path / "out", disaggregate="tensor", shard_records=3)
        assert files(archive.folder) == files(good.folder)

    def test_a_tensor_that_cannot_name_a_folder_is_refused(self, records, tmp_path):
        table = records.rename({"fc": "../fc"})
        with pytest.raises(ArchiveError, match=r"'../fc' cannot name a file or a folder"):
            write(table, tmp_path / "out", format="tfrecord", disaggregate="tensor")
        assert not (tmp_path / "out").exists()


class TestSeveralFormats:
    def test_computed_once_and_written_to_each(self, records, tmp_path, monkeypatch):
        load, computed = npy_tables.load, []
        monkeypatch.setattr(npy_tables, "load", lambda *a: computed.append(a) or load(*a))
        both = ["webdataset", "tfrecord"]
        archive = write(records, tmp_path / "out", format=both, columns=COLUMNS, shard_records=4)
        assert len(computed) == 18
        check(archive, tmp_path)
        assert "webdataset and tfrecord shards" in repr(archive)
        for fmt in both:
            alone = write(records, tmp_path / fmt, format=fmt, columns=COLUMNS, shard_records=4)
            for name, content in files(alone.folder / "train").items():
                assert (archive.folder / fmt / "train" / name).read_bytes() == content
        assert sum(1 for _ in archive.to_tf("train")) == 6

    def test_verify_checks_all_and_a_rerun_mends(self, records, tmp_path):
        options = {"format": ["webdataset", "tfrecord"], "shard_records": 4}
        archive = write(records, tmp_path / "out", **options)
        good = files(archive.folder)
        path = archive.folder / "tfrecord" / "train" / "train-000001.tfrecord"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(ArchiveError, match=r"tfrecord/train/.*sub-04, ds_sub-05$"):
            archive.verify()
        write(records, tmp_path / "out", **options)
        assert files(archive.folder) == good

    def test_overwrite_leaves_nothing_of_the_other(self, records, tmp_path):
        write(records, tmp_path / "out", format=["webdataset", "tfrecord"], disaggregate="tensor")
        write(records, tmp_path / "out", overwrite=True)
        write(records, tmp_path / "fresh")
        assert files(tmp_path / "out") == files(tmp_path / "fresh")
        assert not [path for path in (tmp_path / "out").rglob("*") if path.name == "clean"]


class TestForeign:
    @pytest.mark.parametrize("options", [{}, {"disaggregate": "tensor"}])
    def test_hdf5_is_read_by_h5py_and_by_us(self, records, tmp_path, options):
        h5py = pytest.importorskip("h5py")
        archive = write(records, tmp_path / "out", format="hdf5", columns=COLUMNS,
                        shard_records=4, **options)  # fmt: skip
        check(archive, tmp_path)
        assert archive.records["clean"].struct.field("offset").null_count() == 9
        folder = archive.folder / "train" / ("fc" if options else "")
        with h5py.File(folder / "train-000001.h5") as file:
            np.testing.assert_array_equal(file["ds_sub-05"]["fc"][()], archive[5]["fc"])
        batch = next(iter(archive.loader("train", batch_size=6, window=3)))
        np.testing.assert_array_equal(batch["clean"][4], archive[4]["clean"][:3])
        before = files(archive.folder)
        write(records, tmp_path / "out", format="hdf5", columns=COLUMNS, shard_records=4, **options)
        write(records, tmp_path / "fresh", format="hdf5", columns=COLUMNS, shard_records=4,
              **options)  # fmt: skip
        assert before == files(archive.folder) == files(tmp_path / "fresh")

    @pytest.mark.parametrize("fmt", ["parquet", "zarr"])
    def test_what_a_library_wrote_is_what_is_read_and_the_same_bytes(self, records, tmp_path, fmt):
        options = {"format": fmt, "columns": COLUMNS, "shard_records": 4, "shuffle": 1}
        archive = write(records, tmp_path / "out", **options)
        check(archive, tmp_path)
        assert {k: archive[1][k] for k in COLUMNS} == records.select(COLUMNS).row(1, named=True)
        write(records, tmp_path / "fresh", **options)
        assert files(tmp_path / "fresh") == files(archive.folder)

    def test_nifti_has_an_image_a_record_which_nibabel_reads(self, records, tmp_path):
        archive = write(records.drop("fc"), tmp_path / "out", format="nifti", shard_records=4)
        assert archive.verify().records == 9
        image = nib.load(archive.folder / "train" / "clean" / "ds_sub-04.nii")
        due = np.load(tmp_path / "inputs" / "clean-4.npy")
        np.testing.assert_array_equal(archive[4]["clean"], due)
        np.testing.assert_array_equal(image.get_fdata()[npy_tables.mask(20).inside].T, due)
        with pytest.raises(ArchiveError, match="'fc'"):
            write(records, tmp_path / "other", format="nifti")

    def test_a_record_that_makes_a_tensor_ragged_rewrites_what_depends_on_it(self, tmp_path):
        values = [np.arange(4 * n, dtype="f4").reshape(4, n) for n in (5, 5, 9)]
        table = npy_tables.table(tmp_path / "in", {"x": values})
        options = {"format": "parquet", "shard_records": 1}
        write(table.head(2), tmp_path / "out", **options)
        write(table, tmp_path / "out", **options)
        write(table, tmp_path / "fresh", **options)
        assert files(tmp_path / "out") == files(tmp_path / "fresh")

    def test_changed_bytes_are_seen_by_readers_and_verify(self, records, tmp_path):
        pytest.importorskip("h5py")
        archive = write(records, tmp_path / "out", format="hdf5")
        path = archive.folder / "train" / "train-000000.h5"
        content, due = bytearray(path.read_bytes()), archive.read(2, "clean").tobytes()
        content[content.index(due) + 5] ^= 1
        path.write_bytes(content)
        with pytest.raises(ArchiveError, match=r"damaged where record ds_sub-02 lies"):
            archive.read(2, "clean")
        with pytest.raises(ArchiveError, match=r"train-000000.h5 has changed.*records ds_sub-02"):
            archive.verify()

    def test_a_file_a_tensor_of_a_record(self, records, tmp_path, single):
        archive = write(records, tmp_path / "out", format=["npyfile", "webdataset"],
                        shard_records=4)  # fmt: skip
        check(archive, tmp_path)
        for row in range(6):
            path = archive.folder / "npyfile" / "train" / "fc" / f"ds_sub-{row:02}.npy"
            np.testing.assert_array_equal(np.load(path), archive[row]["fc"])
        assert [s.records for s in archive.manifest.shards_of("train", 2)] == [4, 2]
        assert len(archive.manifest.shards_of(None, 0)) == 9

    def test_whole_blocks_are_read_and_no_more(self, tmp_path, single):
        value = np.arange(3 * 2**18, dtype="f4").reshape(-1, 2**10)  # three blocks of 256 rows
        table = npy_tables.table(tmp_path / "in", {"x": [value.reshape(-1, 4, 256)]})
        archive = write(table, tmp_path / "out", format="npyfile")
        batch = next(iter(archive.loader(batch_size=1, window=300, seed=0)))
        start = batch["start"][0]
        np.testing.assert_array_equal(batch["x"][0].reshape(300, -1), value[start:][:300])
        assert Single.reads == [
            ("ds_sub-00.npy", start // 256 * 256, min(768, -(-(start + 300) // 256) * 256))
        ]

    def test_what_it_cannot_hold_is_refused_before_anything_is_computed(self, tmp_path, single):
        table = npy_tables.table(tmp_path / "in", {"x": [np.array([True])]})
        with pytest.raises(ArchiveError, match="use uint8"):
            write(table, tmp_path / "out", format="npyfile")
        assert not (tmp_path / "out").exists()

    def test_failures_leave_no_file_and_a_repair_resumes(self, records, tmp_path, single):
        path = tmp_path / "inputs" / "clean-4.npy"
        whole = path.read_bytes()
        path.write_bytes(whole[:200])
        options = {"format": ["npyfile", "webdataset"], "disaggregate": "tensor",
                   "shard_records": 4}  # fmt: skip
        with pytest.raises(ArchiveError, match=r"1 of 9 records"):
            write(records, tmp_path / "out", **options)
        skipped = write(records, tmp_path / "out", on_error="skip", **options)
        assert skipped.verify().records == 8
        assert len(list((tmp_path / "out/npyfile/train/clean").iterdir())) == 5
        path.write_bytes(whole)
        write(records, tmp_path / "out", **options)
        write(records, tmp_path / "fresh", **options)
        assert files(tmp_path / "out") == files(tmp_path / "fresh")

    def test_a_table_that_says_no_place_of_a_framed_format_is_not_trusted(self, records, tmp_path):
        archive = write(records, tmp_path / "out")
        place = pl.col("fc").struct.with_fields(offset=pl.lit(None, pl.Int64))
        object.__setattr__(archive, "records", archive.records.with_columns(fc=place))
        with pytest.raises(ArchiveError, match=r"do not trust"):
            archive.read(0, "fc")


@pytest.mark.parametrize("number", [2, 5, 9, 14, 20])
def test_a_disk_that_fills_between_two_series_leaves_none_in_part(
    records, tmp_path, monkeypatch, number
):
    options = {"format": ["hdf5", "webdataset"], "disaggregate": "tensor", "shard_records": 3}
    rename, calls = os.replace, []

    def replace(*args, **kwargs):
        calls.append(args)
        if len(calls) == number:
            raise OSError(errno.ENOSPC, "full")
        return rename(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(ArchiveError, match=r"disk .* is full"):
            write(records, tmp_path / "out", **options)
    assert not list((tmp_path / "out").rglob("*.partial"))
    with pytest.raises(ArchiveError, match=r"unfinished"):
        open_archive(tmp_path / "out")
    assert write(records, tmp_path / "out", **options).verify().records == 9
    write(records, tmp_path / "fresh", **options)
    assert files(tmp_path / "out") == files(tmp_path / "fresh")


def test_growing_a_table_keeps_the_shards_that_stay(records, tmp_path):
    options = {"shard_records": 2, "disaggregate": "tensor"}
    write(records.head(4), tmp_path / "out", **options)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.tar")}
    grown = write(records, tmp_path / "out", **options)
    assert grown.verify().records == 9
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    write(records, tmp_path / "fresh", **options)
    assert files(tmp_path / "out") == files(tmp_path / "fresh")
    assert len(open_archive(tmp_path / "out").manifest.shards) == 10


@pytest.mark.parametrize(
    ("renamed", "options", "words"),
    [
        ({"subject": "A"}, {"format": "npyfile"}, "the records 'ds_sub-A' and 'ds_sub-a'"),
        ({}, {"format": "npyfile"}, "the tensors 'x' and 'X'"),
        ({}, {"disaggregate": "tensor", "format": "tfrecord"}, "the tensors 'x' and 'X'"),
    ],
)
def test_names_that_differ_in_case_share_no_file(tmp_path, single, renamed, options, words):
    values = [np.zeros((2, 2), "f4")] * 2
    table = npy_tables.table(tmp_path / "in", {"x": values}, subject=["A", "a"])
    if not renamed:
        table = npy_tables.table(tmp_path / "both", {"x": values[:1], "X": values[:1]})
    with pytest.raises(ArchiveError, match=rf"{words} would share one file .*rename one"):
        write(table, tmp_path / "out", **options)
    assert write(table, tmp_path / "out", format="tfrecord").verify().records == len(table)


LIBRARIES = ("hdf5", "parquet", "zarr", "nifti", "cifti", "gifti")


@pytest.fixture
def made_by(tmp_path, monkeypatch):
    """Make an archive of two records in a format that a library reads."""

    def make(fmt):
        if fmt in ("cifti", "gifti"):
            sides = {CORTEX[side]: np.ones(10, bool) for side in "LR"}
            monkeypatch.setattr(npy_tables, "mask", lambda _: Grayordinates.of_surface(sides))
            monkeypatch.setitem(npy_tables.DIMS, 2, ("time", "vertex"))
        rng = np.random.default_rng(0)
        values = [rng.normal(size=(30, 20)).astype("f4") for _ in range(2)]
        table = npy_tables.table(tmp_path / fmt, {"x": values})
        return write(table, tmp_path / f"{fmt}-out", format=fmt)

    return make


def damages(path):
    """Damage a file in one way after the other."""
    content = path.read_bytes()
    path.unlink()
    yield "cannot be opened"
    for size in (0, len(content) // 2, len(content) - 9):
        path.write_bytes(content[:size])
        yield "is cut short"
    path.write_bytes(b"\1" * len(content))
    yield "cannot be read as"
    path.write_bytes(content)


@pytest.mark.parametrize("fmt", LIBRARIES)
def test_a_shard_of_a_library_that_is_gone_or_cut_is_told_as_any_other(made_by, fmt):
    archive = made_by(fmt)
    for place in [shard.path for shard in archive.manifest.shards]:
        path = archive.folder / place
        whose = "ds_sub-01" if "sub-01" in path.name else "ds_sub-00"
        for what in damages(path):
            for read in (lambda a, i: a[i], lambda a, _: list(a.loader(batch_size=1))):
                with pytest.raises(ArchiveError) as raised:
                    read(open_archive(archive.folder), whose)
                for words in (str(path), what, f"record {whose}", "copy", "write again"):
                    assert words in str(raised.value)
        assert open_archive(archive.folder)[whose]["record"] == whose
