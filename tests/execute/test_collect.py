"""Computed tensors as Arrow columns."""

import io

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import entense as et
from entense.tensors.lazy import arrow_tensors, tensor_columns

BOLD = et.volume("bold", mask="mask")


def test_one_shape_is_arrows_own_tensor_with_named_dims(study):
    study.run("01")
    study.run("02")
    df = study.records.entense.transform(x=BOLD.zscore()).entense.collect()
    kind = df.to_arrow().schema.field("x").type
    assert isinstance(kind, pa.FixedShapeTensorType)
    assert kind.dim_names == ["time", "voxel"]
    assert kind.shape == [40, 109]
    assert kind.value_type == pa.float32()
    np.testing.assert_array_equal(
        df.to_arrow()["x"].combine_chunks().to_numpy_ndarray(), et.to_numpy(df["x"])
    )
    np.testing.assert_array_equal(et.to_numpy(df["x"]), study.compute(BOLD.zscore()))


def test_several_shapes_are_a_ragged_column_with_named_dims(study):
    study.run("01", frames=41)
    study.run("02", frames=50)
    df = study.records.entense.transform(x=BOLD).entense.collect()
    dtype = df.schema["x"]
    assert dtype.ext_name() == "entense.ragged_tensor"
    assert dtype.ext_metadata() == '{"dim_names": ["time", "voxel"]}'
    arrays = et.to_numpy(df["x"])
    assert [array.shape for array in arrays] == [(41, 109), (50, 109)]
    for array, row in zip(arrays, study.rows, strict=True):
        (alone,) = et.to_numpy(
            study.records.filter(subject=row["subject"])
            .entense.transform(x=BOLD)
            .entense.collect()["x"]
        )
        np.testing.assert_array_equal(array, alone)


def test_the_other_columns_and_their_order_stay(study):
    study.run("01")
    lazy = study.records.entense.transform(x=BOLD).with_columns(age=pl.lit(31))
    df = lazy.entense.collect()
    assert df.columns == lazy.columns
    assert tensor_columns(df.schema) == []
    assert df.drop("x").equals(lazy.drop("x"))
    assert df.equals(lazy.lazy().entense.collect())


def test_a_table_without_rows_and_one_without_tensors(study):
    study.run("01")
    df = study.records.head(0).entense.transform(x=BOLD).entense.collect()
    assert df.height == 0
    assert list(et.to_numpy(df["x"])) == []
    assert study.records.entense.collect().equals(study.records)


def test_a_null_cell_is_a_record_without_a_file(study):
    study.run("01")
    study.run("02")
    table = study.records.with_columns(bold=pl.when(subject="01").then("bold"))
    with pytest.raises(et.RecordError, match=r"1 of 2.*\n.*sub-02.*drop_incomplete"):
        table.entense.transform(x=BOLD).entense.collect()


def test_collected_tensors_go_through_files(study):
    study.run("01")
    study.run("02")
    df = study.records.entense.transform(x=BOLD).entense.collect()
    file = io.BytesIO()
    df.write_parquet(file)
    file.seek(0)
    again = pl.read_parquet(file)
    np.testing.assert_array_equal(et.to_numpy(again["x"]), et.to_numpy(df["x"]))


def test_lazy_tensors_and_plain_columns_are_no_arrays(study):
    study.run("01")
    table = study.records.entense.transform(x=BOLD)
    with pytest.raises(et.RecipeError, match="compute it with"):
        et.to_numpy(table["x"])
    with pytest.raises(et.RecipeError, match="no computed tensors"):
        et.to_numpy(table["subject"])


ARRAYS = {
    "fixed": [np.arange(6.0).reshape(2, 3), np.ones((2, 3))],
    "fixed, with a null": [np.arange(6, dtype="f2").reshape(2, 3), None, np.ones((2, 3), "f2")],
    "ragged": [np.zeros((2, 3), "i4"), np.ones((4, 1), "i4")],
    "ragged, with a null": [None, np.zeros((2, 3), "f4"), np.ones((4, 1), "f4")],
    "an empty axis": [np.zeros((0, 3), "f4"), np.zeros((0, 3), "f4")],
    "one of each": [np.zeros((0, 3), "f4"), np.ones((1, 3), "f4")],
    "only nulls": [None, None],
    "three axes": [np.arange(24.0).reshape(2, 3, 4)],
}


@pytest.mark.parametrize("arrays", ARRAYS.values(), ids=ARRAYS)
def test_arrays_come_back_as_they_went_in(arrays):
    there = {n: array for n, array in enumerate(arrays) if array is not None}
    rank = max((array.ndim for array in there.values()), default=2)
    made = arrow_tensors("x", [*there.values()], ("a", "b", "c")[:rank])
    found = pl.DataFrame({"n": pl.Series([*there], dtype=pl.Int64), "x": made})
    series = pl.DataFrame({"n": range(len(arrays))}).join(
        found, on="n", how="left", maintain_order="left"
    )["x"]
    for array, back in zip(arrays, et.to_numpy(series), strict=True):
        if array is None:
            assert back is None
        else:
            assert back.dtype == array.dtype
            np.testing.assert_array_equal(back, array)
