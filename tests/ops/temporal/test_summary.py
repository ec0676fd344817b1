"""What is said of a tensor without its voxels."""

import numpy as np
import pandas as pd
import pytest

import entense as et
from entense.errors import RecordError
from entense.ops.confounds import Regressors
from entense.ops.core import Spec, ops
from entense.ops.summary import kept_frames, mean_fd

BOLD = et.volume("bold", mask="mask")


def of(frames, kept=None):
    size = frames if kept is None else int(np.sum(kept))
    return Spec(("time", "voxel"), (size, 3), "float32", tr=2.0, kept=kept)


def table(run):
    return Regressors(run.study.rows[0]["confounds"])


def test_the_mean_is_that_of_the_frames_that_are_left(run):
    moved = run.table["framewise_displacement"].to_numpy()
    whole = mean_fd(of(run.frames), table(run))
    assert whole.dtype == np.float32 and whole.shape == ()
    np.testing.assert_allclose(whole, np.nanmean(moved), rtol=1e-6)
    part = run.good()
    np.testing.assert_allclose(
        mean_fd(of(run.frames, part), table(run)), np.nanmean(moved[part]), rtol=1e-6
    )
    late = np.arange(run.frames) > 5
    np.testing.assert_allclose(
        mean_fd(of(run.frames, late), table(run)), moved[late].mean(), rtol=1e-6
    )


def test_the_frames_are_those_of_the_run(run):
    np.testing.assert_array_equal(kept_frames(of(run.frames)), np.arange(run.frames))
    part = run.good()
    ours = kept_frames(of(run.frames, part))
    assert ours.dtype == np.int32
    np.testing.assert_array_equal(ours, np.flatnonzero(part))


def test_what_they_are_is_known(run):
    part = run.good()
    number = ops["mean_fd"].infer(of(run.frames, part), table(run))
    assert (number.dims, number.shape, number.dtype) == ((), (), "float32")
    frames = ops["kept_frames"].infer(of(run.frames, part))
    assert (frames.dims, frames.shape, frames.dtype) == (("time",), (part.sum(),), "int32")


WRONG = {
    "another length": (lambda t: t.iloc[:-1], None, "39 rows, the run has 40 frames"),
    "no such column": (
        lambda t: t[["csf"]],
        None,
        "no column 'framewise_displacement'",
    ),
    "a gap": (
        lambda t: t.assign(framewise_displacement=t["framewise_displacement"].where(t.index != 4)),
        None,
        "'framewise_displacement' has no finite number in row 5",
    ),
    "the first frame alone": (
        lambda t: t,
        np.arange(40) == 0,
        "the only frame left is the run's first, which has no displacement",
    ),
}


@pytest.mark.parametrize(("change", "kept", "says"), WRONG.values(), ids=WRONG)
def test_a_table_that_does_not_fit_is_named(study, change, kept, says):
    path = study.run("01")["confounds"]
    frame = pd.read_csv(path, sep="\t", na_values="n/a")
    change(frame).to_csv(path, sep="\t", index=False, na_rep="n/a")
    with pytest.raises(RecordError, match=says) as error:
        mean_fd(of(40, kept), Regressors(path))
    assert path in str(error.value)


def test_frames_of_no_one_run_are_none():
    x = Spec(("time", "voxel"), (40, 3), "float32", kept=np.empty(0, bool))
    with pytest.raises(et.RecipeError, match="no longer those of one run"):
        kept_frames(x)


def test_summaries_through_the_whole_path(synthetic):
    left = BOLD.drop_dummies("confounds").censor("confounds", fd=0.3)
    frames = synthetic.good() & (np.arange(synthetic.frames) > 2)
    made = synthetic.study.records.entense.transform(
        x=left, fd=left.mean_fd("confounds"), at=left.kept_frames()
    )
    made = et.collect(made)
    assert et.to_numpy(made["x"])[0].shape[0] == frames.sum()
    np.testing.assert_array_equal(et.to_numpy(made["at"])[0], np.flatnonzero(frames))
    moved = synthetic.table["framewise_displacement"].to_numpy()[frames]
    np.testing.assert_allclose(et.to_numpy(made["fd"])[0], moved.mean(), rtol=1e-6)
