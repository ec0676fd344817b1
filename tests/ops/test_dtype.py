"""Number formats: whole numbers in steps of a scale, and what comes after them."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import entense as et
from entense.archive.manifest import Manifest, sealed, unsealed
from entense.ops.core import Spec
from entense.ops.dtype import LARGEST, astype
from entense.plan.survey import survey

BOLD = et.volume("bold", mask="mask")
Z = BOLD.zscore()
FINITE = st.floats(-1e6, 1e6, width=32)


@pytest.mark.parametrize("dtype", LARGEST)
@given(x=arrays("f4", (3, 4), elements=FINITE | st.just(np.nan)), scale=st.floats(1e-4, 1e3))
def test_whole_numbers_are_within_half_a_step_or_at_the_end(dtype, x, scale):
    stored = np.asarray(astype(x, dtype=dtype, scale=scale))
    most = LARGEST[dtype]
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored == -most - 1, np.isnan(x))
    inside = np.abs(x) <= scale * most
    half = scale * (0.5 + 1e-4) + 1e-6 * np.abs(x)
    assert (np.abs(stored * scale - x) <= half)[inside].all()
    beyond = np.abs(x) > scale * (most + 1)
    np.testing.assert_array_equal(stored[beyond], np.sign(x[beyond]) * most)


def test_what_lies_beyond_becomes_the_last_number():
    x = np.array([[1e9, -1e9, np.inf, -np.inf, np.nan, 0.26, -0.25, 0.75]], "f4")
    due = [[127, -127, 127, -127, -128, 1, 0, 2]]
    np.testing.assert_array_equal(astype(x, dtype="int8", scale=0.5), due)


def test_what_float16_does_not_hold_is_that_records_error(study):
    for subject, height in (("01", 65_504), ("02", 65_520)):  # the first that rounds to infinity
        data = np.full((*study.shape, 40), 900, "f4")
        data[tuple(np.argwhere(study.inside)[0])][7] = height
        study.run(subject, data=data, dtype="float32")
    table = et.transform(study.records, raw=BOLD)
    archive = table.entense.write(
        study.root.parent / "out", dtype={"raw": "float16"}, on_error="skip"
    )
    good, bad = archive.records["error"]
    assert good is None
    assert "'raw' has values that float16 does not hold (beyond 65,504): z-score it first" in bad
    assert archive[0]["raw"].max() == 65_504


@pytest.mark.parametrize("dtype", LARGEST)
@pytest.mark.parametrize("scale", [None, 0.0, -0.5])
def test_whole_numbers_need_a_scale(dtype, scale):
    with pytest.raises(et.RecipeError, match=rf"{dtype} needs a scale above 0.*\.astype\('{dtype}"):
        Z.astype(dtype, scale=scale)


def test_floats_take_no_scale_and_other_formats_are_not_known():
    with pytest.raises(et.RecipeError, match="float16 takes no scale, only int16 and int8 do"):
        Z.astype("float16", scale=0.1)
    with pytest.raises(et.RecipeError, match=r"no dtype 'int32'.*int16, int8"):
        Z.astype("int32", scale=0.1)


def test_write_says_where_the_scale_goes(study):
    study.run("01")
    table = et.transform(study.records, clean=Z)
    with pytest.raises(et.RecipeError, match=r"needs a scale.*end z-scores with \.astype\('int1"):
        table.entense.write(study.root.parent / "out", dtype={"clean": "int16"})


AFTER = {
    "zscore": lambda x: x.zscore(),
    "detrend": lambda x: x.detrend(),
    "correlation": lambda x: x.correlation(),
    "missing": lambda x: x.missing(),
    "astype": lambda x: x.astype("float32"),
}


@pytest.mark.parametrize("name", AFTER)
def test_no_other_op_takes_numbers_that_are_stored_in_steps(study, name):
    study.run("01")
    with pytest.raises(et.RecipeError, match=rf"{name} takes values.*steps of 0\.001; convert las"):
        study.compute(AFTER[name](Z.astype("int16", scale=0.001)))


def test_a_gather_and_a_written_dtype_take_none_either(study):
    study.run("01")
    table = et.transform(study.records, clean=Z.astype("int16", scale=0.001))
    with pytest.raises(et.RecipeError, match=r"astype takes values.*write needs no dtype= for it"):
        table.entense.write(study.root.parent / "out", dtype={"clean": "float16"})
    lists = table.entense.pivot("subject").entense.transform(all=et.col("clean").concat())
    with pytest.raises(et.RecipeError, match="concat takes values"):
        et.collect(lists.drop("clean"))


@pytest.mark.parametrize("fmt", ["webdataset", "tfrecord"])
def test_whole_numbers_are_written_and_read(study, fmt):
    study.run("01")
    study.run("02", frames=31)
    tensors = {dtype: Z.astype(dtype, scale=0.05) for dtype in LARGEST}
    table = et.transform(study.records, clean=Z, gaps=Z.missing(), **tensors)
    archive = table.entense.write(study.root.parent / "out", format=fmt, shard_size="20kB")
    assert len(archive.manifest.shards) == 2
    assert archive.verify().records == 2
    assert archive.schema["clean"].scale is None
    assert archive.schema["gaps"].scale is None
    for i in range(2):
        sample = archive[i]
        assert sample["gaps"].dtype == bool
        for dtype in LARGEST:
            kind = archive.schema[dtype]
            assert (str(kind.dtype), kind.scale) == (dtype, 0.05)
            assert "steps of 0.05" in str(kind)
            assert sample[dtype].dtype == dtype
            np.testing.assert_allclose(sample[dtype] * kind.scale, sample["clean"], atol=0.0251)
    narrow, middle, wide = (
        archive.records[name].struct.field("size") for name in ("int8", "int16", "clean")
    )
    assert (4 * narrow).to_list() == (2 * middle).to_list() == wide.to_list()
    (batch,) = archive.loader(batch_size=2, window=16, tensors=["int8", "gaps"])
    assert (batch["int8"].dtype, batch["gaps"].dtype) == (np.int8, bool)
    (computed,) = table.entense.loader(batch_size=2, window=16, tensors=["int8", "gaps"])
    np.testing.assert_array_equal(computed["int8"], batch["int8"])


def test_collect_gives_whole_numbers(study):
    study.run("01")
    for dtype in LARGEST:
        (ours,) = study.compute(Z.astype(dtype, scale=0.05))
        assert ours.dtype == dtype


def test_whole_numbers_that_hold_next_to_nothing_are_the_records_error(study):
    """Unscaled voxels in thousandths all become 32.767."""
    study.run("01")
    raw = et.volume("bold", mask="mask")
    with pytest.raises(et.RecordError, match=r"lies mostly beyond what int16 .* \(±32.767\): z-sc"):
        study.compute(raw.astype("int16", scale=0.001))
    few = Z.astype("int8", scale=0.01)  # a fifth is cut, as documented
    assert (np.abs(study.compute(few)[0]) == 127).mean() > 0.1


def test_tensorflow_reads_whole_numbers(study):
    study.run("01")
    table = et.transform(study.records, x=Z.astype("int16", scale=0.001), gaps=Z.missing())
    archive = table.entense.write(study.root.parent / "out", format="tfrecord")
    (sample,) = archive.to_tf("all").as_numpy_iterator()
    for name in ("x", "gaps"):
        assert sample[name].dtype == archive[0][name].dtype
        np.testing.assert_array_equal(sample[name], archive[0][name])


def test_a_manifest_from_before_scales_has_none(study):
    study.run("01")
    archive = et.transform(study.records, clean=Z).entense.write(study.root.parent / "out")
    where = archive.folder / "entense.json"
    body = unsealed(where.read_bytes(), dict)
    tensors = {
        name: {k: v for k, v in t.items() if k != "scale"} for name, t in body["tensors"].items()
    }
    old = Manifest.from_json(sealed(body | {"tensors": tensors}), where)
    assert old.tensors["clean"] == archive.schema["clean"]
    assert old.tensors["clean"].scale is None


def test_an_archive_has_one_scale_for_all_records(study):
    study.run("01")
    study.run("02")
    table = study.records.with_columns(step=pl.Series([0.1, 0.2]))
    table = et.transform(table, x=Z.astype("int16", scale=pl.col("step")))
    with pytest.raises(et.EntenseError, match=r"steps of 0\.1 and 0\.2.*the same scale"):
        table.entense.write(study.root.parent / "out")
    with pytest.raises(et.EntenseError, match=r"steps of 0\.1 and 0\.2.*the same scale"):
        table.entense.loader(batch_size=2)
    assert table.head(1).entense.write(study.root.parent / "one").schema["x"].scale == 0.1


def test_another_scale_is_another_archive(study):
    study.run("01")
    table = study.records.with_columns(step=pl.Series([0.1]))
    tensor = Z.astype("int16", scale=pl.col("step"))
    et.transform(table, x=tensor).entense.write(study.root.parent / "out")
    other = et.transform(table.with_columns(step=0.2), x=tensor)
    with pytest.raises(
        et.ArchiveError, match=r"differs in the tensor 'x': scale 0\.1 there, 0\.2 here"
    ):
        other.entense.write(study.root.parent / "out")


@pytest.mark.parametrize(
    ("dtype", "width"),
    [("bool", 1), ("int8", 1), ("int16", 2), ("bfloat16", 2), ("float16", 2), ("float32", 4)],
)
def test_a_spec_knows_its_bytes(dtype, width):
    assert Spec(("time", "voxel"), (7, 5), dtype).nbytes == 35 * width
    assert replace(Spec((), (), dtype), scale=0.5).nbytes == width


def test_the_plan_knows_the_sizes(study):
    study.run("01")
    table = et.transform(study.records, x=Z.astype("int8", scale=0.05))
    voxels = int(study.inside.sum())
    (one,) = survey(table).specs
    (two,) = survey(table.entense.transform(gaps=Z.missing())).specs
    (three,) = survey(table.entense.transform(gaps=Z.missing(), z=Z)).specs
    made = [sum(spec.nbytes for spec in specs.values()) for specs in (one, two, three)]
    assert (made[1] - made[0], made[2] - made[1]) == (40 * voxels, 4 * 40 * voxels)
    assert f"] int8, TR 2 s, {40e-6 * voxels:.1f} MB" in et.explain(table)
