"""What all formats that a library writes have in common."""

import lzma
from pathlib import Path
from types import SimpleNamespace

import npy_tables
import numpy as np
import pytest
from samples import spec_of

from entense.archive.formats import Foreign, Sample, foreign, formats, register_format
from entense.archive.formats.foreign import Shared
from entense.archive.write import write
from entense.errors import ArchiveError, EntenseError

NAMES = ["cifti", "gifti", "hdf5", "nifti", "parquet", "zarr"]
FOREIGN = [formats[name] for name in NAMES]


class Nowhere(Foreign):
    """A format whose library is not there."""

    name, extension, library = "nowhere", ".no", "no-such-package"

    def check(self, name, spec):
        """Take all."""

    def size(self, sample):
        return 0

    def begin(self, path, shared):
        raise NotImplementedError

    def read(self, path, key, tensor, start, stop):
        with self.reading(path):
            import no_such_package

            return no_such_package.read(path)


def test_they_are_registered_under_their_names():
    assert all(isinstance(fmt, Foreign) for fmt in FOREIGN)
    assert [fmt.name for fmt in FOREIGN] == NAMES
    assert [fmt.name for fmt in FOREIGN if fmt.single] == ["cifti", "gifti", "nifti"]


def test_a_library_that_is_not_installed_is_named_with_the_remedy():
    for ask in (lambda fmt: fmt.digest, lambda fmt: fmt.read(Path("x"), "a", "x", 0, 1)):
        with pytest.raises(ArchiveError, match=r"takes the package no-such-package.*pip install"):
            ask(Nowhere())


class Lacking(Nowhere):
    """A format whose library wants more memory than there is."""

    def read(self, path, key, tensor, start, stop):
        with self.reading(path):
            raise MemoryError("no 9 GB")


def test_a_lack_of_memory_is_no_files_fault():
    with pytest.raises(MemoryError, match="no 9 GB"):
        Lacking().read(Path("x"), "a", "x", 0, 1)


def test_our_own_formats_name_their_extra(monkeypatch):
    monkeypatch.setattr(type(formats["hdf5"]), "library", "no-such-package")
    with pytest.raises(ArchiveError, match=r'pip install "entense\[hdf5\]"'):
        formats["hdf5"].digest  # noqa: B018


def test_the_digest_is_of_code_and_library(monkeypatch):
    digests = [fmt.digest for fmt in FOREIGN]
    assert digests == [fmt.digest for fmt in FOREIGN]
    assert len(set(digests)) == len(FOREIGN)
    for fmt, before in zip(FOREIGN, digests, strict=True):
        with monkeypatch.context() as patch:
            patch.setattr(type(fmt), "parts", (lambda: 1,))
            assert fmt.digest != before
        with monkeypatch.context() as patch:
            patch.setattr(foreign, "version", lambda _: "99")
            assert fmt.digest != before


@pytest.mark.parametrize("fmt", FOREIGN, ids=NAMES)
def test_a_file_that_is_not_there_is_an_error_that_names_it(fmt, tmp_path):
    for path in (tmp_path / "gone.x", tmp_path):
        with pytest.raises(EntenseError, match=f"{path.name} cannot be read as {fmt.name}"):
            fmt.read(path, "a", "x", 0, 1)


@pytest.mark.parametrize("name", ["hdf5", "parquet", "zarr"])
def test_records_of_different_shape_share_a_file(name, tmp_path):
    fmt, path = formats[name], tmp_path / "x"
    sink = fmt.begin(path, Shared(frozenset({"x"}), {"age": int}))
    shapes = {"a": (3, 2), "b": (5, 2), "c": (0, 2)}
    for key, shape in shapes.items():
        x = np.full(shape, ord(key), "f8")
        sink.append(Sample(key, {"x": x}, {"age": None}, {"x": spec_of(x)}))
    sink.close()
    for key, shape in shapes.items():
        made = fmt.read(path, key, "x", 0, shape[0])
        np.testing.assert_array_equal(made, np.full(shape, ord(key), "f8"))


class Packing(Foreign):
    """Packs what it writes far tighter than deflate would."""

    name, extension, library, single = "packing", ".xz", "numpy", True

    def check(self, name, spec):
        pass

    def size(self, sample):
        return sample.nbytes

    def begin(self, path, shared):
        def append(sample):
            (array,) = sample.arrays.values()
            path.write_bytes(lzma.compress(array.tobytes()))

        return SimpleNamespace(append=append, close=lambda: None)

    def read(self, path, key, tensor, start, stop):
        return np.frombuffer(lzma.decompress(path.read_bytes()), "f4").reshape(20, -1)[start:stop]


def test_a_format_of_ones_own_may_pack_zeros_as_tightly_as_it_likes(tmp_path):
    """Deflate has its bound, xz and zstd have others, and Zarr writes no empty chunk at all."""
    table = npy_tables.table(tmp_path / "inputs", {"x": [np.zeros((20, 100_000), "f4")]})
    register_format(Packing())
    try:
        archive = write(table, tmp_path / "out", format="packing")
        assert archive.manifest.shards[0].bytes * 1032 < 8_000_000
        assert not archive[0]["x"].any()
    finally:
        del formats._things["packing"]
