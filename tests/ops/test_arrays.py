"""Small arrays and tables against NumPy and Polars."""

import gzip
import io
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import brains
import numpy as np
import polars as pl
import pytest

import entense as et
from entense.ops import arrays
from entense.plan.survey import survey

ARRAY, TABLE = et.array("file"), et.table("file")


def fails(tensor, path, error=et.RecordError):
    with pytest.raises(error) as raised:
        brains.one(tensor, file=path)
    assert str(path) in str(raised.value)
    return str(raised.value)


def spec_of(tensor, path):
    return survey(et.transform(brains.table(file=[path]), x=tensor)).specs[0]["x"]


# npy


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", ">i2", "u2", "i4", ">u4", "f4", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_is_numpys(tmp_path, dtype, order):
    values = np.array([[0, 1, 2], [3, 100, 0]]).astype(dtype, order=order)
    np.save(tmp_path / "a.npy", values)
    made = brains.one(ARRAY, file=tmp_path / "a.npy")
    assert made.dtype == values.dtype.newbyteorder("=")
    np.testing.assert_array_equal(made, values)


@pytest.mark.parametrize(
    ("dtype", "narrow"), [("f8", "f4"), ("f2", "f4"), ("i8", "i4"), ("u8", "u4")]
)
def test_npy_of_other_widths(tmp_path, dtype, narrow):
    np.save(tmp_path / "a.npy", np.arange(5, dtype=dtype))
    made = brains.one(ARRAY, file=tmp_path / "a.npy")
    assert made.dtype == narrow
    assert made.tolist() == [0, 1, 2, 3, 4]


def test_npy_beyond_32_bits(tmp_path):
    np.save(tmp_path / "a.npy", np.array([1, 2**31]))
    assert "beyond 32 bits; save it as float64" in fails(ARRAY, tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("shape", "dims"),
    [((4,), ("time",)), ((4, 2), ("time", "column")), ((2, 3, 4), ("axis_0", "axis_1", "axis_2"))],
)
def test_dims(tmp_path, shape, dims):
    np.save(tmp_path / "a.npy", np.ones(shape))
    assert spec_of(ARRAY, tmp_path / "a.npy").dims == dims
    assert brains.one(ARRAY, file=tmp_path / "a.npy").shape == shape


def test_an_array_is_a_tensor_like_others(tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 3))
    np.save(tmp_path / "a.npy", values)
    made = brains.one(ARRAY.zscore(), file=tmp_path / "a.npy")
    expected = (values - values.mean(axis=0)) / values.std(axis=0, ddof=1)
    np.testing.assert_allclose(made, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2"])
def test_whole_numbers_are_filtered_as_numbers(tmp_path, dtype):
    """Their differences are beyond their range."""
    least, most = np.iinfo(dtype).min, min(np.iinfo(dtype).max, 2**20)
    array = np.random.default_rng(0).choice([least, 3, most], (40, 5)).astype(dtype)
    np.save(tmp_path / "x.npy", array)
    table, x = pl.DataFrame({"x": [str(tmp_path / "x.npy")]}), et.array("x")
    chains = (
        (lambda v: v.drop_dummies(count=1)),
        (lambda v: v.detrend(order=1)),
        (lambda v: v.despike()),
    )
    for chain in chains:
        made = et.transform(table, ours=chain(x), due=chain(x.astype("float32")))
        ours, due = (et.to_numpy(et.collect(made)[name])[0] for name in ("ours", "due"))
        np.testing.assert_array_equal(ours, due)
    np.testing.assert_allclose(
        et.to_numpy(et.collect(et.transform(table, y=x.drop_dummies(count=1)))["y"])[0],
        array[1:].astype("f8"),
        rtol=1e-6,
        atol=1e-3 * (most - least) / 2**8,
    )


class Spy:
    """Unpickling one of these is noticed."""

    opened: list = []  # noqa: RUF012

    def __reduce__(self):
        return Spy.opened.append, (1,)


def huge(shape):
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + b"1234"


BAD_NPY = {
    "objects": (None, "it holds objects, an array of numbers is due"),
    "a pickle": (pickle.dumps(Spy()), "magic string is not correct"),
    "complex": (np.ones(3, "c8"), "complex64 (3,), an array of numbers is due"),
    "text": (np.array(["a"]), "an array of numbers is due"),
    "records": (np.ones(3, [("a", "f4")]), "an array of numbers is due"),
    "dates": (np.ones(3, "M8[D]"), "an array of numbers is due"),
    "one number": (np.float32(3), "float32 (), an array of numbers is due"),
    "nothing": (np.ones((0, 3)), "float64 (0, 3), an array of numbers is due"),
    "4 TB": (huge((2**40,)), "cut short"),
    "a size beyond numbers": (huge((2**62, 2**62)), "cut short"),
    "no bytes": (b"", "empty (0 bytes)"),
    "rubbish": (b"\x93NUMPY rubbish", "cannot be read"),
}


@pytest.mark.parametrize("bad", BAD_NPY)
def test_bad_npy(tmp_path, bad):
    content, said = BAD_NPY[bad]
    path = tmp_path / "a.npy"
    if bad == "objects":
        np.save(path, np.array([Spy(), 1]), allow_pickle=True)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    assert said in fails(ARRAY, path)
    assert not Spy.opened


def test_npy_cut_short(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((20, 3)))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-30])
    assert "copy it again" in fails(ARRAY, tmp_path / "a.npy")


# text


NAN = np.nan
TEXT = {
    "blanks": (".txt", "1 2.5  -3e2\n 4\t5 6\n", [[1, 2.5, -300], [4, 5, 6]]),
    "commas": (".txt", "1, 2\n3,4\n", [[1, 2], [3, 4]]),
    "one column": (".txt", "1\n2\n", [[1], [2]]),
    "missing": (".txt", "1 n/a\nNaN nan\n", [[1, NAN], [NAN, NAN]]),
    "infinity": (".txt", "1 inf\n", [[1, np.inf]]),
    "comments": (".txt", "# x y\n1 2\n", [[1, 2]]),
    "empty lines": (".txt", "\n1 2\n\n3 4\n\n", [[1, 2], [3, 4]]),
    "windows": (".txt", "1 2\r\n3 4\r\n", [[1, 2], [3, 4]]),
    "empty cells": (".csv", "1,,3\n4,,6\n", [[1, NAN, 3], [4, NAN, 6]]),
    "empty cells at the ends": (".tsv", "\t2\t\n1\t\t3\n", [[NAN, 2, NAN], [1, NAN, 3]]),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", TEXT)
def test_text(tmp_path, kind, packed):
    ending, text, expected = TEXT[kind]
    path = tmp_path / f"a{ending}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    made = brains.one(ARRAY, file=path)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, np.array(expected, "f4"))


def test_what_numpy_saves(tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 12))
    np.savetxt(tmp_path / "Movement.txt", values, header="x y z")
    made = brains.one(ARRAY, file=tmp_path / "Movement.txt")
    np.testing.assert_array_equal(made, np.loadtxt(tmp_path / "Movement.txt").astype("f4"))


BAD_TEXT = {
    "a row too short": ("1 2 3\n4 5\n", "row 2 has 2 cells, the first has 3"),
    "a row too long": ("1 2\n3 4 5\n", "row 2 has 3 cells, the first has 2"),
    "words": ("1 2\n3 four\n", "holds text, numbers are due"),
    "names": ("x y\n1 2\n", "holds text, numbers are due"),
    "no rows": ("\n\n", "cannot be read"),
    "no bytes": ("", "empty (0 bytes)"),
    "not utf-8": (b"\xff\xfe1\x00", "cannot be read"),
}


@pytest.mark.parametrize("bad", BAD_TEXT)
def test_bad_text(tmp_path, bad):
    content, said = BAD_TEXT[bad]
    path = tmp_path / "a.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert said in fails(ARRAY, path)


# tables


FRAME = pl.DataFrame({"a": [1.5, None, 3], "b": [1, 2, 3], "c": [None, None, None]})


def written(folder, kind, frame=FRAME):
    path = folder / f"t.{kind}"
    frame = frame.with_columns(pl.col(pl.Null).cast(pl.Float64))
    if kind == "parquet":
        frame.write_parquet(path)
    else:
        text = frame.write_csv(separator="," if "csv" in kind else "\t", null_value="n/a")
        path.write_bytes(gzip.compress(text.encode()) if kind.endswith("gz") else text.encode())
    return path


@pytest.mark.parametrize("kind", ["tsv", "csv", "tsv.gz", "csv.gz", "parquet"])
@pytest.mark.parametrize("columns", [None, ["b"], ["c", "a"]], ids=str)
def test_tables_are_polars(tmp_path, kind, columns):
    path, tensor = written(tmp_path, kind), et.table("file", columns)
    expected = FRAME.select(columns or pl.all()).cast(pl.Float32).fill_null(NAN)
    np.testing.assert_array_equal(brains.one(tensor, file=path), expected.to_numpy())
    spec = spec_of(tensor, path)
    assert (spec.dims, spec.dtype) == (("time", "column"), "float32")
    assert spec.coords == {"column": tuple(expected.columns)}


def test_true_and_false_are_numbers(tmp_path):
    path = written(tmp_path, "parquet", pl.DataFrame({"a": [True, False, None]}))
    np.testing.assert_array_equal(brains.one(TABLE, file=path), [[1], [0], [NAN]])


def test_text_is_no_number_unless_it_is_left_out(tmp_path):
    path = written(tmp_path, "tsv", pl.DataFrame({"onset": [1, 2], "trial_type": ["a", "b"]}))
    assert "'trial_type' holds text, numbers are due" in fails(TABLE, path)
    assert brains.one(et.table("file", ["onset"]), file=path).tolist() == [[1], [2]]


BAD_TABLES = {
    "no bytes": ("", "empty (0 bytes)"),
    "no rows": ("a\tb\n", "no rows"),
    "cut short": ("a\tb\n1\t2\n3\n", "1 cells in row 2"),
    "a row too long": ("a\tb\n1\t2\t3\n", "3 cells in row 1"),
    "a name twice": ("a\ta\n1\t2\n", "the column 'a' twice"),
    "not utf-8": (b"a\tb\n\xff\t2\n", "is not text in UTF-8"),
}


@pytest.mark.parametrize("bad", BAD_TABLES)
def test_bad_tables(tmp_path, bad):
    content, said = BAD_TABLES[bad]
    path = tmp_path / "t.tsv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert said in fails(TABLE, path)


@pytest.mark.parametrize("content", [b"PAR1 no", b"<html>"])
def test_a_damaged_parquet(tmp_path, content):
    (tmp_path / "t.parquet").write_bytes(content)
    assert "copy it again" in fails(TABLE, tmp_path / "t.parquet")


def test_lists_and_dates_are_no_numbers(tmp_path):
    for values in ([[1, 2]], [date(2020, 1, 1)]):
        frame = pl.DataFrame({"a": values})
        frame.write_parquet(tmp_path / "t.parquet")
        assert "numbers are due" in fails(TABLE, tmp_path / "t.parquet")


def test_a_column_that_is_not_there(tmp_path):
    path = written(tmp_path, "tsv")
    assert "there is no column 'x'; there are: a, b, c" in fails(et.table("file", ["x"]), path)


@pytest.mark.parametrize("columns", [[], ["a", "a"]], ids=str)
def test_columns_are_names_each_once(columns):
    with pytest.raises(et.RecipeError, match="names, each once; leave it out to have all"):
        et.table("file", columns)


def test_headers_are_parsed_by_one_thread_at_a_time(tmp_path, monkeypatch):
    """In two, Python 3.11 may find its own syntax wrong, and the record would be lost."""
    np.save(tmp_path / "a.npy", np.ones(3))
    parse, busy = arrays._HEADERS[1, 0], threading.Lock()

    def alone(file):
        assert busy.acquire(blocking=False)
        time.sleep(0.01)
        busy.release()
        return parse(file)

    monkeypatch.setitem(arrays._HEADERS, (1, 0), alone)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(arrays.read_array, [str(tmp_path / "a.npy")] * 16))
    assert all(array.tolist() == [1, 1, 1] for array in found)
