"""Our Zarr against zarr-python and zipfile."""

import json
import zipfile

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from samples import NAMES, any_bits, check_reads_back, same_bytes, samples, spec_of, write
from zarr.storage import ZipStore

from entense.archive.formats.base import Sample, blank
from entense.archive.formats.foreign import WITHOUT_BFLOAT16
from entense.archive.formats.zarr import Zarr
from entense.errors import ArchiveError

FMT = Zarr()
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text()
    | st.floats(allow_infinity=False)
)
X = np.arange(12, dtype="f4").reshape(4, 3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.zarr.zip"


@given(records=samples(WITHOUT_BFLOAT16, NAMES, SCALARS))
def test_zarr_reads_what_was_written(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("zarr") / "x.zarr.zip"
    write(FMT, path, records, tr=2.0)
    with ZipStore(path, mode="r") as store:
        root = zarr.open_group(store, mode="r")
        assert set(root) == set(records)
        for key, (arrays, scalars) in records.items():
            kept = {k: None if v != v else v for k, v in scalars.items()}
            assert dict(root[key].attrs) == kept
            for name, array in arrays.items():
                one = root[key][name]
                same_bytes(np.asarray(one[...]), array)
                assert one.metadata.dimension_names == (spec_of(array).dims or None)
                assert dict(one.attrs) == {"tr": 2.0}
    check_reads_back(FMT, path, records)


def large():
    return {f"s{i}": ({"x": any_bits("int32", (300, 2000), i)}, {"age": 3}) for i in range(3)}


def test_the_same_records_give_the_same_bytes_about_as_many_as_said(tmp_path):
    about = [write(FMT, tmp_path / name, large()) for name in ("a", "b")]
    whole = (tmp_path / "a").read_bytes()
    assert whole == (tmp_path / "b").read_bytes()
    assert 0.99 < about[0] / len(whole) < 1.01
    with zipfile.ZipFile(tmp_path / "a") as file:
        assert file.testzip() is None
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_STORED}


def test_the_bytes_are_the_same_whatever_zarr_is_told(tmp_path):
    """By the environment or a file at home, which a worker may have and the driver not."""
    write(FMT, tmp_path / "a", large())
    with zarr.config.set({"default_zarr_format": 2, "json_indent": 4, "array.order": "F"}):
        write(FMT, tmp_path / "b", large())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_window_reads_only_its_chunks(path):
    records = large()
    write(FMT, path, records)
    with zipfile.ZipFile(path) as file:
        assert [n for n in file.namelist() if "/c/" in n][:3] == [f"s0/x/c/{i}/0" for i in range(3)]
        at = file.getinfo("s0/x/c/2/0").header_offset + 100
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"?")
    same_bytes(FMT.read(path, "s0", "x", 150, 200), records["s0"][0]["x"][150:200])
    with pytest.raises(ArchiveError, match="Bad CRC-32"):
        FMT.read(path, "s0", "x", 190, 210)


@pytest.mark.parametrize("name", ["a/b", "..", "", "__x", "a\0b", "a\\b", "zarr.json"])
def test_names_that_are_no_part_of_a_path_are_refused(name):
    with pytest.raises(ArchiveError, match="cannot be a name in zarr"):
        FMT.check(name, spec_of(X))
    with pytest.raises(ArchiveError, match="plainer `record`"):
        FMT.size(Sample(name, {"x": X}, {}, {}))


def test_what_zarr_cannot_hold_is_refused_with_a_remedy():
    with pytest.raises(ArchiveError, match=r'use dtype=\{"x": "float32"\}, which holds the same'):
        FMT.check("x", spec_of(blank((2,), "bfloat16")))
    with pytest.raises(ArchiveError, match="infinite"):
        FMT.size(Sample("a", {"x": X}, {"age": float("inf")}, {}))


def changed(path, **meta):
    """Write a file whose zarr.json says something else; `packed` deflates it."""
    packed = meta.pop("packed", False)
    write(FMT, path, {"a": ({"x": X}, {})})
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    content["a/x/zarr.json"] = json.dumps(json.loads(content["a/x/zarr.json"]) | meta)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else 0) as file:
        for name, data in content.items():
            file.writestr(name, data)


GRID = {"name": "regular", "configuration": {"chunk_shape": [2**40, 3]}}


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"packed": True}, "is packed"),
        ({"codecs": [{"name": "bytes"}, {"name": "gzip"}]}, "has codecs"),
        ({"codecs": [{"name": "numcodecs.pickle"}]}, "has codecs"),
        ({"storage_transformers": [{"name": "x"}]}, "has codecs"),
        ({"data_type": "string"}, "no tensor"),
        ({"data_type": {"name": "struct"}}, "cannot be read"),
        ({"shape": [2**40, 3]}, "it promises"),
        ({"chunk_grid": GRID}, "it promises"),
        ({"shape": [-1, 3]}, "cannot be read"),
        ({"shape": None}, "cannot be read"),
    ],
)
def test_a_hostile_file_is_an_error(path, meta, words):
    changed(path, **meta)
    with pytest.raises(ArchiveError, match=words):
        FMT.read(path, "a", "x", 0, 4)


def test_what_is_not_in_it_is_an_error(path):
    write(FMT, path, {"a": ({"x": X}, {})})
    for key, tensor in (("b", "x"), ("a", "y"), ("a/x", ""), ("..", "a/x")):
        with pytest.raises(ArchiveError, match="cannot be read as zarr"):
            FMT.read(path, key, tensor, 0, 4)


def test_a_file_cut_anywhere_is_an_error(path, tmp_path):
    write(FMT, path, {"a": ({"x": X}, {"age": 3})})
    whole, cut = path.read_bytes(), tmp_path / "cut.zip"
    for length in range(0, len(whole), 31):
        cut.write_bytes(whole[:length])
        with pytest.raises(ArchiveError, match=r"cut.zip cannot be read as zarr"):
            FMT.read(cut, "a", "x", 0, 4)
