"""Our Parquet against PyArrow, Polars and Hugging Face."""

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import SCALARS, any_bits, check_reads_back, same_bytes, samples, spec_of, write

from entense.archive.formats import parquet
from entense.archive.formats.base import Sample, blank
from entense.archive.formats.parquet import HELD, Parquet
from entense.errors import ArchiveError
from entense.tensors.lazy import to_numpy

FMT = Parquet()
NAMES = st.text(min_size=1, max_size=12).filter(lambda n: n != "record" and "\0" not in n)
X = np.arange(12, dtype="f4").reshape(4, 3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.parquet"


def cell(column, row):
    """Return a tensor of a PyArrow column, in PyArrow's own way where it knows one."""
    if isinstance(column.type, pa.FixedShapeTensorType):
        array, shape = column.combine_chunks(), column.type.shape
        if shape and not pa.types.is_boolean(column.type.value_type):
            return array.to_numpy_ndarray()[row]
        return np.array(array.storage[row].as_py()).reshape(shape)
    one = column[row].as_py()
    numbers = column.type.field("data").type.value_type.to_pandas_dtype()
    return np.array(one["data"], numbers).reshape(one["shape"])


def distinct(records):
    """Whether no tensor has the name of a column."""
    return all(not set(tensors) & set(scalars) for tensors, scalars in records.values())


@given(records=samples(HELD, NAMES, SCALARS).filter(distinct))
def test_pyarrow_reads_what_was_written(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("parquet") / "x.parquet"
    write(FMT, path, records)
    check_reads_back(FMT, path, records)
    table = pq.read_table(path)
    assert table["record"].to_pylist() == list(records)
    for row, (tensors, scalars) in enumerate(records.values()):
        for name, value in scalars.items():
            np.testing.assert_equal(table[name][row].as_py(), value)
        for name, array in tensors.items():
            np.testing.assert_array_equal(cell(table[name], row), array)
            if array.size:
                assert (table.field(name).type.dim_names or []) == list(spec_of(array).dims)


def ragged():
    rng = np.random.default_rng(0)
    return {
        f"s{i}": (
            {"x": rng.normal(size=(2 + i, 3)).astype("f2"), "fc": rng.normal(size=(2, 2))},
            {"age": None if i == 1 else 20 + i, "sex": "f"},
        )
        for i in range(5)
    }


@pytest.mark.parametrize("group", [1, 100, 2**24])
def test_row_groups_are_cut_by_size_and_read_alike(path, monkeypatch, group):
    monkeypatch.setattr(parquet, "GROUP", group)
    records = ragged()
    write(FMT, path, records)
    assert pq.ParquetFile(path).num_row_groups == {1: 5, 100: 2, 2**24: 1}[group]
    check_reads_back(FMT, path, records)
    assert pq.read_table(path)["age"].to_pylist() == [20, None, 22, 23, 24]


def test_what_waits_is_not_changed_by_what_is_computed_next(path):
    records = {"a": ({"x": X.copy()}, {})}
    sink = FMT.begin(path, parquet.Shared())
    sink.append(Sample("a", records["a"][0], {}, {"x": spec_of(X)}))
    records["a"][0]["x"][:] = -1
    sink.close()
    same_bytes(FMT.read(path, "a", "x", 0, 4), X)


def test_polars_and_to_numpy_read_tensor_columns(path):
    records = ragged()
    write(FMT, path, records)
    frame = pl.read_parquet(path)
    for name in ("x", "fc"):
        for made, (tensors, _) in zip(to_numpy(frame[name]), records.values(), strict=True):
            np.testing.assert_array_equal(made, tensors[name])
    assert frame["sex"].to_list() == ["f"] * 5


@pytest.mark.filterwarnings("ignore")
def test_hugging_face_reads_a_shard(path, tmp_path):
    import datasets

    records = ragged()
    write(FMT, path, records)
    features = {
        "record": datasets.Value("string"),
        "x": {"data": datasets.LargeList(datasets.Value("float16")), "shape": list_of("int32", 2)},
        "fc": list_of("float64", 4),
        "age": datasets.Value("int64"),
        "sex": datasets.Value("string"),
    }
    rows = datasets.load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"),
        features=datasets.Features(features),
    )  # fmt: skip
    for row, (key, (tensors, scalars)) in zip(rows, records.items(), strict=True):
        assert (row["record"], row["age"], row["sex"]) == (key, scalars["age"], "f")
        np.testing.assert_array_equal(row["fc"], tensors["fc"].ravel())
        x = np.array(row["x"]["data"]).reshape(row["x"]["shape"])
        np.testing.assert_array_equal(x, tensors["x"])


def list_of(numbers, length):
    import datasets

    return datasets.List(datasets.Value(numbers), length=length)


def test_the_same_records_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write(FMT, tmp_path / name, ragged())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [("bfloat16", 'use dtype={"x": "float32"}'), ("complex64", 'format="tfrecord"')],
)
def test_a_dtype_that_arrow_lacks_is_refused_with_a_remedy(dtype, remedy):
    with pytest.raises(ArchiveError) as error:
        FMT.check("x", spec_of(blank((2,), dtype)))
    assert remedy in str(error.value)


def test_the_name_of_the_id_and_too_large_a_cell_are_refused():
    with pytest.raises(ArchiveError, match="rename it"):
        FMT.check("record", spec_of(X))
    with pytest.raises(ArchiveError, match="rename it"):
        FMT.size(Sample("a", {"x": X}, {"record": 1}, {}))
    with pytest.raises(ArchiveError, match='less than 2 GiB; write it with format="hdf5"'):
        FMT.size(Sample("a", {"x": blank((2**29,), "float32")}, {}, {}))


def test_a_file_that_inflates_is_refused(path):
    kind = pa.fixed_shape_tensor(pa.float32(), (2**20,))
    zeros = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2**20, "f4")), 2**20)
    table = pa.table({"record": ["a"], "x": pa.ExtensionArray.from_storage(kind, zeros)})
    for options in ({"compression": "zstd", "use_dictionary": False}, {"compression": "none"}):
        pq.write_table(table, path, **options)
        parquet._seal(path)
        with pytest.raises(ArchiveError, match="is packed"):
            FMT.read(path, "a", "x", 0, 1)


def test_nulls_in_a_tensor_and_records_that_are_not_there_are_errors(path):
    kind = pa.fixed_shape_tensor(pa.int32(), (2,))
    nulls = pa.FixedSizeListArray.from_arrays(pa.array([1, None], pa.int32()), 2)
    table = pa.table({"record": ["a"], "x": pa.ExtensionArray.from_storage(kind, nulls)})
    pq.write_table(table, path, compression="none", use_dictionary=False)
    with pytest.raises(ArchiveError, match="write did not make it"):
        FMT.read(path, "a", "x", 0, 1)
    parquet._seal(path)
    with pytest.raises(ArchiveError, match="has nulls"):
        FMT.read(path, "a", "x", 0, 1)
    with pytest.raises(ArchiveError, match="no record 'b'"):
        FMT.read(path, "b", "x", 0, 1)


def test_a_file_cut_anywhere_is_an_error(path, tmp_path):
    write(FMT, path, {"a": ({"x": any_bits("int32", (40, 3), 0)}, {"age": 3})})
    whole, cut = path.read_bytes(), tmp_path / "cut"
    for length in range(0, len(whole), 61):
        cut.write_bytes(whole[:length])
        with pytest.raises(ArchiveError, match="cut cannot be read as parquet"):
            FMT.read(cut, "a", "x", 0, 4)


def test_a_byte_changed_anywhere_is_an_error_or_changes_numbers_alone(path, tmp_path):
    x = any_bits("int32", (40, 3), 0)
    write(FMT, path, {"a": ({"x": x}, {"age": 3})})
    whole, changed, outcomes = path.read_bytes(), tmp_path / "changed", set()
    for at in range(0, len(whole), 3):
        changed.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            made = FMT.read(changed, "a", "x", 0, 40)
            assert (made.shape, made.dtype) == (x.shape, x.dtype)
            outcomes.add((made != x).any())
        except ArchiveError as error:
            outcomes.add("footer" if "footer" in str(error) else "page")
    assert outcomes == {True, False, "footer", "page"}
