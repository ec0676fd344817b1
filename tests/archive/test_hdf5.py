"""Our HDF5 against h5py: what is written, what is refused, what a hostile file may not do."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from samples import any_bits, check_reads_back, same_bytes, samples, spec_of, write

from entense.archive.formats.base import Sample, blank
from entense.archive.formats.foreign import WITHOUT_BFLOAT16
from entense.archive.formats.hdf5 import HDF5
from entense.errors import ArchiveError

FMT = HDF5()
X = np.arange(12, dtype="f4").reshape(4, 3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.h5"


@given(records=samples(WITHOUT_BFLOAT16))
def test_h5py_reads_what_was_written(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("h5") / "x.h5"
    about = write(FMT, path, records, tr=2.0)
    assert sum(a.nbytes for arrays, _ in records.values() for a in arrays.values()) <= about
    with h5py.File(path) as file:
        assert set(file) == set(records)
        for key, (arrays, scalars) in records.items():
            kept = {k: v for k, v in scalars.items() if v is not None}
            assert set(file[key].attrs) == set(kept)
            for name, value in kept.items():
                np.testing.assert_equal(file[key].attrs[name], value)
            for name, array in arrays.items():
                dataset = file[key][name]
                same_bytes(np.asarray(dataset[()]), array)
                assert [d.label for d in dataset.dims] == list(spec_of(array).dims)
                assert dataset.attrs["tr"] == 2
    check_reads_back(FMT, path, records)


def test_the_same_records_give_the_same_bytes_and_no_time_of_day(tmp_path):
    records = {f"s{i}": ({"x": X + i, "y": X[0]}, {"age": 3, "sex": "f"}) for i in range(20)}
    for name in ("a.h5", "b.h5"):
        write(FMT, tmp_path / name, records)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    with h5py.File(tmp_path / "a.h5") as file:
        for thing in (file, file["s3"], file["s3/x"]):
            info = h5py.h5o.get_info(thing.id)
            assert info.atime == info.mtime == info.ctime == info.btime == 0


def test_a_window_reads_only_its_rows(path):
    write(FMT, path, {"a": ({"x": any_bits("int16", (500, 1000), 0)}, {})})
    with h5py.File(path) as file:
        at = file["a/x"].id.get_offset()
    with path.open("r+b") as file:
        file.seek(at + 300 * 2000)
        file.write(bytes(400_000))
    assert FMT.read(path, "a", "x", 300, 500).sum() == 0
    assert (FMT.read(path, "a", "x", 0, 300) == any_bits("int16", (500, 1000), 0)[:300]).all()


@pytest.mark.parametrize("name", ["a/b", "..", "", ".", "__x", "a\0b", "a\\b", "x" * 201])
def test_names_that_are_no_part_of_a_path_are_refused(name):
    with pytest.raises(ArchiveError, match="cannot be a name in hdf5"):
        FMT.check(name, spec_of(X))
    with pytest.raises(ArchiveError, match="plainer `record`"):
        FMT.size(Sample(name, {"x": X}, {}, {}))


def test_what_hdf5_cannot_hold_is_refused_with_a_remedy():
    with pytest.raises(ArchiveError, match=r'use dtype=\{"x": "float32"\}, which holds the same'):
        FMT.check("x", spec_of(blank((2,), "bfloat16")))
    for scalars in ({"": 1}, {"a\0": 1}, {"a": "b\0"}):
        with pytest.raises(ArchiveError, match="rename or clean"):
            FMT.size(Sample("a", {"x": X}, scalars, {}))


def linked(file, other):
    file["a"] = h5py.ExternalLink(other, "/a")


def linked_tensor(file, other):
    file.create_group("a")["x"] = h5py.ExternalLink(other, "/a/x")


def soft(file, other):
    file["b/x"] = X
    file["a"] = h5py.SoftLink("/b")


def elsewhere(file, other):
    file.create_group("a").create_dataset("x", (4, 3), "f4", external=[(other, 0, 48)])


def virtual(file, other):
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(other, "a/x", (4, 3))
    file.create_group("a").create_virtual_dataset("x", layout)


def chunked(file, other):
    file.create_group("a").create_dataset("x", data=X, chunks=(1, 3), compression="gzip")


def objects(file, other):
    kind = h5py.special_dtype(vlen=bytes)
    file.create_group("a").create_dataset("x", data=np.array([b"a"], object), dtype=kind)


def references(file, other):
    file.create_group("a").create_dataset("x", data=[file.ref], dtype=h5py.ref_dtype)


def compound(file, other):
    file.create_group("a").create_dataset("x", data=np.zeros(2, [("p", "f4"), ("q", "i8")]))


def huge(file, other):
    file.create_group("a").create_dataset("x", (2**40,), "f8")


def absent(file, other):
    file.create_group("a")


@pytest.mark.parametrize(
    "make",
    [
        *(linked, linked_tensor, soft, elsewhere, virtual, chunked, objects, references),
        *(compound, huge, absent),
    ],
)
def test_a_hostile_file_is_an_error_and_leads_nowhere(path, tmp_path, make):
    write(FMT, tmp_path / "other.h5", {"a": ({"x": X}, {})})
    with h5py.File(path, "w") as file:
        make(file, str(tmp_path / "other.h5"))
    with pytest.raises(ArchiveError, match="cannot be read as hdf5"):
        FMT.read(path, "a", "x", 0, 2**40)


@pytest.mark.parametrize("key", ["b/../a", "/a", "c", "a/x"])
def test_a_key_is_one_name(path, key):
    write(FMT, path, {"a": ({"x": X}, {}), "b": ({"x": X}, {})})
    with pytest.raises(ArchiveError, match="does not hold"):
        FMT.read(path, key, "x", 0, 4)


def test_a_file_cut_anywhere_is_an_error(path, tmp_path):
    write(FMT, path, {"a": ({"x": X}, {"age": 3})})
    whole, cut = path.read_bytes(), tmp_path / "cut.h5"
    for length in range(0, len(whole), 97):
        cut.write_bytes(whole[:length])
        with pytest.raises(ArchiveError, match=r"cut.h5 cannot be read as hdf5"):
            FMT.read(cut, "a", "x", 0, 4)
