"""Lists of runs become one tensor: against NumPy, and what cannot be joined."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import polars as pl
import pytest

import entense as et
from entense.ops.core import Spec, ops
from entense.plan.survey import survey

SUBJECTS = ("01", "02")


def collected(table, tensor):
    return list(et.to_numpy(et.collect(table.entense.transform(made=tensor))["made"]))


def apart(runs, tensor):
    """Return what each run alone gives, in a list a subject."""
    alone = collected(runs.records, tensor)
    subjects = runs.records["subject"].to_list()
    return [[a for a, s in zip(alone, subjects, strict=True) if s == one] for one in SUBJECTS]


def together(runs, tensor):
    return collected(runs.records.entense.pivot("subject"), tensor)


def equal(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


CHAINS = {
    "as it is": lambda v, _: v,
    "standardised each": lambda v, _: v.zscore(),
    "cleaned each": lambda v, _: v.denoise("confounds", "9P", high_pass=0.01).zscore(),
    "parcels each": lambda v, atlas: v.parcellate(atlas),
    "filtered parcels each": lambda v, atlas: v.detrend().parcellate(atlas).zscore(),
    "parcels of z-scores each": lambda v, atlas: v.zscore().parcellate(atlas),
    "half precision": lambda v, _: v.zscore().astype("float16"),
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_concat_is_numpys_of_what_each_run_gives_bit_for_bit(runs, bold, chain):
    tensor = chain(bold, str(runs.atlas()))
    ours = together(runs, tensor.concat())
    equal(ours, [np.concatenate(one) for one in apart(runs, tensor)])
    assert [len(a) for a in ours] == [73, 123]


def test_masks_of_ones_own_that_are_alike_are_one(runs):
    """Each run's mask is a file of its own: they hold the same voxels."""
    tensor = et.volume("bold", mask="mask").zscore()
    equal(together(runs, tensor.concat()), [np.concatenate(one) for one in apart(runs, tensor)])


def test_standardised_first_or_not(runs, bold):
    (after, *_), (before, *_) = (
        together(runs, bold.concat().zscore()), together(runs, bold.zscore().concat())
    )  # fmt: skip
    raw = apart(runs, bold)[0]
    whole = np.concatenate(raw).astype("f8")
    np.testing.assert_allclose(
        after, (whole - whole.mean(0)) / whole.std(0, ddof=1), rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(before[:40].mean(0), 0, atol=1e-5)
    assert np.abs(after[:40].mean(0)).max() > 1e-3


def test_more_than_one_block_of_voxels(tmp_path, new_study):
    study = new_study(tmp_path, shape=(30, 32, 24))
    for run in ("1", "2"):
        study.run("01", run=run, frames=20)
    tensor = et.volume("bold", mask="mask").zscore()
    for name, numpy in (("concat", np.concatenate), ("stack", np.stack)):
        made = collected(study.records.entense.pivot("subject"), tensor.apply(name))
        equal(made, [numpy(collected(study.records, tensor))])


def connectome(bold, runs):
    return bold.parcellate(str(runs.atlas(labels=(2, 3, 5, 7, 8)))).correlation()


def test_stack_and_mean(runs, bold):
    tensor = connectome(bold, runs)
    alone = apart(runs, tensor)
    equal(together(runs, tensor.stack()), [np.stack(one) for one in alone])
    for ours, one in zip(together(runs, tensor.mean()), alone, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, np.mean(np.stack(one), axis=0, dtype="f8"), rtol=1e-6)


def test_stack_and_mean_of_runs_of_one_length(study):
    bold_of = et.volume("bold", mask="mask")
    for run in ("1", "2", "3"):
        study.run("01", run=run)
    table = study.records.entense.pivot("subject")
    alone = collected(study.records, bold_of)
    equal(collected(table, bold_of.stack()), [np.stack(alone)])
    np.testing.assert_allclose(
        collected(table, bold_of.mean())[0], np.mean(alone, axis=0, dtype="f8"), rtol=1e-6
    )
    spec = survey(table.entense.transform(x=bold_of.stack())).specs[0]["x"]
    assert spec.dims == ("item", "time", "voxel")
    assert spec.shape == (3, 40, int(study.inside.sum()))


def test_the_mean_of_windows_around_events(study):
    onsets = [6.0, 20.0, 44.0]
    study.run("01")
    trials = pl.concat([study.records] * 3).with_columns(onset=pl.Series(onsets))
    tensor = et.volume("bold", mask="mask").window(pl.col("onset"), seconds=20)
    (ours,) = collected(trials.entense.pivot("subject"), tensor.mean())
    np.testing.assert_allclose(ours, np.mean(collected(trials, tensor), axis=0), rtol=1e-6)


def left(*frames, windowed=False):
    """Return what is known of a run of six frames of which some are left."""
    kept = np.isin(np.arange(6), frames)
    return Spec(
        ("time", "voxel"), (len(frames), 3), "float32", tr=2.0, kept=kept, windowed=windowed
    )


def test_the_mean_of_what_was_left_of_runs():
    infer = ops["mean"].infer
    assert infer([left(0, 1, 4), left(0, 1, 4)]).kept.tolist() == [1, 1, 0, 0, 1, 0]
    late = infer([left(1, 2, windowed=True), left(3, 4, windowed=True)])
    assert (late.kept.size, late.begins, late.shape) == (0, 0, (2, 3))
    others = left(0, 2, 4), left(1, 2, 5), replace(left(0, 1, 2), kept=None)
    for other in (*others, replace(left(0, 1, 4), begins=0.7)):
        with pytest.raises(et.RecordError, match="mean takes the same frames of each run, and"):
            infer([left(0, 1, 4), other])


def test_a_list_of_one_is_that_one(study):
    tensor = et.volume("bold", mask="mask").zscore()
    study.run("01", run="1")
    (alone,) = collected(study.records, tensor)
    table = study.records.entense.pivot("subject")
    for name, due in (("concat", alone), ("mean", alone), ("stack", alone[None])):
        equal(collected(table, tensor.apply(name)), [due])


def test_what_follows_a_gather(runs, bold):
    atlas = str(runs.atlas(labels=(2, 3, 5, 7, 8)))
    for ours, one in zip(
        together(runs, bold.zscore().concat().parcellate(atlas).correlation()),
        apart(runs, bold.zscore()),
        strict=True,
    ):
        codes = nib.load(atlas).get_fdata()[runs.inside]
        series = np.concatenate(one).astype("f8")
        parcels = np.array([series[:, codes == label].mean(axis=1) for label in (2, 3, 5, 7)])
        np.testing.assert_allclose(ours[:4, :4], np.corrcoef(parcels), atol=1e-4)
        assert np.isnan(ours[4]).all()


def test_a_gathered_column_goes_on(runs, bold):
    atlas = str(runs.atlas())
    table = runs.records.entense.pivot("subject").entense.transform(long=bold.zscore().concat())
    table = table.entense.transform(fc=et.col("long").parcellate(atlas).correlation())
    df = table.entense.collect()
    equal(
        et.to_numpy(df["fc"]),
        together(runs, bold.zscore().concat().parcellate(atlas).correlation()),
    )
    early = runs.records.entense.transform(z=bold.zscore()).entense.pivot("subject")
    late = early.entense.transform(z=et.col("z").concat()).entense.collect()
    equal(et.to_numpy(late["z"]), et.to_numpy(df["long"]))


def test_columns_that_are_constant_or_not_finite(study):
    data = np.random.default_rng(0).normal(10_000, 100, (*study.shape, 40)).astype("f4")
    places = [tuple(place) for place in np.argwhere(study.inside)[[30, 60]]]
    data[places[0]] = 777.7
    study.run("01", run="1", data=data)
    data = data.copy()
    data[(*places[1], 5)] = np.nan
    study.run("01", run="2", data=data[..., :33])
    tensor = et.volume("bold", mask="mask").zscore()
    (ours,) = collected(study.records.entense.pivot("subject"), tensor.concat())
    equal([ours], [np.concatenate(collected(study.records, tensor))])
    assert (ours[:, 30] == 0).all()
    assert np.isnan(ours[40:, 60]).all()
    assert np.isfinite(ours[:40]).all()


# Surfaces, tables, arrays


def gifti(path, data):
    arrays = [nib.gifti.GiftiDataArray(frame, intent="NIFTI_INTENT_TIME_SERIES") for frame in data]
    nib.save(nib.GiftiImage(darrays=arrays), path)
    return str(path)


def test_surfaces(tmp_path):
    rng, rows = np.random.default_rng(0), []
    for run, frames in (("1", 12), ("2", 9)):
        sides = {
            side: gifti(
                tmp_path / f"{run}.{side}.func.gii", rng.normal(size=(frames, n)).astype("f4")
            )
            for side, n in (("L", 7), ("R", 5))
        }
        rows.append({"subject": "01", "run": run, "bold": sides, "bold_sidecar": None})
    table = pl.DataFrame(rows)
    tensor = et.surface("bold", tr=2.0).detrend().zscore()
    alone = collected(table, tensor)
    assert [a.shape for a in alone] == [(12, 12), (9, 12)]
    equal(collected(table.entense.pivot("subject"), tensor.concat()), [np.concatenate(alone)])


def test_tables(runs):
    tensor = et.table("confounds", ["csf", "rot_x"])
    equal(together(runs, tensor.concat()), [np.concatenate(one) for one in apart(runs, tensor)])


def files(tmp_path, *arrays):
    paths = []
    for n, array in enumerate(arrays):
        np.save(tmp_path / f"{n}.npy", array)
        paths.append(str(tmp_path / f"{n}.npy"))
    return pl.DataFrame({"record": ["a"], "file": [paths]})


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i8", "f4", "f8"])
def test_arrays_of_any_type(tmp_path, dtype):
    arrays = [np.arange(n, n + 6).reshape(3, 2).astype(dtype) for n in (0, 1)]
    table = files(tmp_path, *arrays)
    equal(collected(table, et.array("file").concat()), [np.concatenate(arrays)])
    (mean,) = collected(table, et.array("file").mean())
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, np.mean(arrays, axis=0))


def test_integers_beyond_32_bits_are_an_error(tmp_path):
    table = files(tmp_path, np.array([[2**40]]))
    with pytest.raises(et.RecordError, match=r"0\.npy: it holds whole numbers beyond 32 bits"):
        collected(table, et.array("file").concat())


def test_arrays_without_a_time_axis(tmp_path):
    arrays = [np.full((2, 2, 2), n, "f4") for n in (1, 2)]
    with pytest.raises(et.RecordError, match=r"concat joins along time.*'axis_0'.*use stack"):
        collected(files(tmp_path, *arrays), et.array("file").concat())
    equal(collected(files(tmp_path, *arrays), et.array("file").stack()), [np.stack(arrays)])


# Archives and loaders


def test_ragged_records_in_archives_and_loaders(runs, bold, tmp_path):
    tensor = bold.zscore().concat()
    table = runs.records.entense.pivot("subject").entense.transform(x=tensor)
    due = together(runs, tensor)
    archive = table.entense.write(tmp_path / "out")
    assert archive.schema["x"].shape == (None, 109)
    equal([archive[i]["x"] for i in range(2)], due)
    assert archive.records["record"].to_list() == [
        f"study_sub-{s}_task-rest_space-MNI152NLin2009cAsym" for s in SUBJECTS
    ]
    archive.verify()
    options = {"batch_size": 4, "window": 30, "windows_per_record": 2}
    for loader in (archive.loader(**options), table.entense.loader(**options)):
        (batch,) = loader
        assert batch["x"].shape == (4, 30, 109)
        for x, start, record in zip(batch["x"], batch["start"], (0, 0, 1, 1), strict=True):
            np.testing.assert_array_equal(x, due[record][start : start + 30])
    with pytest.raises(et.ArchiveError, match="window"):
        table.entense.loader(batch_size=1, window=100)


def test_stacks_of_different_depth_in_archives(runs, bold, tmp_path):
    tensor = connectome(bold, runs).stack()
    table = runs.records.entense.pivot("subject").entense.transform(fc=tensor)
    archive = table.entense.write(tmp_path / "out", format="tfrecord")
    assert archive.schema["fc"].dims == ("item", "parcel", "parcel")
    assert archive.schema["fc"].shape == (None, 5, 5)
    equal([archive[i]["fc"] for i in range(2)], together(runs, tensor))
