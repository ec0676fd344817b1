"""Steps that a record, or no record, can take: each error names the file, the problem, the remedy.

Of ops one by one: ops/temporal/test_errors; of files: test_bad_input; of steps before:
test_bad_steps.
"""

import re

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from spoil import edit, place, rewrite, said, says, staged, volume

import entense as et
from entense.errors import ArchiveError, RecipeError, RecordError
from entense.ops import ops


@pytest.fixture(autouse=True)
def own_ops(monkeypatch):
    """Ops that a test registers are gone after it."""
    monkeypatch.setattr(ops, "_things", dict(ops._things))


def of(table, tensor):
    return table.entense.transform(x=tensor)


def others_go_on(root, tmp_path, tensor, *words):
    """Assert that one record fails, with these words, and that an archive holds the two others."""
    with pytest.raises(ArchiveError) as raised:
        of(staged(root), tensor).entense.write(tmp_path / "out")
    said(raised, "1 of 3 records", 'on_error="skip"')
    (line,) = str(raised.value).splitlines()[1:]
    says(line, "study_sub-02", *words)
    archive = of(staged(root), tensor).entense.write(tmp_path / "out", on_error="skip")
    assert [error is None for error in archive.records["error"]] == [True, False, True]
    good = of(staged(root), tensor).filter(pl.col("subject") != "02").entense.collect()
    for row, due in zip((0, 2), et.to_numpy(good["x"]), strict=True):
        np.testing.assert_array_equal(archive[row]["x"], due)


# Formulas


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("(dd1(rps + wm + csf + gsr)^^2", ("at character 1", "never closed; add a ')'")),
        ("dd1(rps + wm +) + csf", ("at character 15", "a name is missing")),
        ("wm + dbl1(csf)", ("at character 6", "dbl1")),
        ("rps + wm & csf", ("at character 10",)),
    ],
)
def test_a_formula_with_a_typo_is_an_error_where_it_is_written(formula, words):
    with pytest.raises(RecipeError) as raised:
        volume().denoise("confounds", formula)
    said(raised, repr(formula), *words)


def test_a_misspelt_column_is_an_error_where_it_is_written():
    with pytest.raises(RecipeError) as raised:
        volume().denoise("confounds", "dd1(rps + wm) + framewise_displacment")
    said(raised, "at character 17", "mean 'framewise_displacement'")


# Tables of some records


def test_a_column_that_some_records_lack_is_theirs_alone(root, tmp_path):
    path = place(root, "confounds_timeseries.tsv")
    edit(path, lambda table: table.drop("white_matter"))
    words = (str(path), "no column 'white_matter'", "did you mean 'white_matter_")
    others_go_on(root, tmp_path, volume().denoise("confounds", "(wm + csf)^^2"), *words)


def test_gaps_beyond_the_first_rows_are_named_with_their_row(root, tmp_path):
    path = place(root, "confounds_timeseries.tsv")
    late = pl.when(pl.int_range(pl.len()) == 31).then(None).otherwise("rot_y")
    edit(path, lambda table: table.with_columns(rot_y=late))
    words = (str(path), "'rot_y' has no finite number in row 32", "mend the table")
    others_go_on(root, tmp_path, volume().regress("confounds", "24P"), *words)


# Runs of which nothing is left


def censored(root, most):
    """Let only the first frames of the second run be still."""
    path = place(root, "confounds_timeseries.tsv")
    moved = pl.when(pl.int_range(pl.len()) < most).then(0.05).otherwise(3.0)
    edit(path, lambda table: table.with_columns(framewise_displacement=moved))
    return path


def quiet(root):
    for path in root.glob("sub-*/func/*.tsv"):
        edit(path, lambda table: table.with_columns(framewise_displacement=pl.lit(0.05)))


def test_a_run_that_is_censored_whole(root, tmp_path):
    quiet(root)
    path = censored(root, 0)
    chain = volume().denoise("confounds", "6P", fd=0.5).zscore()
    words = (str(path), "all 40 frames are censored (fd=0.5)", "leave such runs out")
    others_go_on(root, tmp_path, chain, *words)


def test_fewer_frames_are_left_than_there_are_regressors(root, tmp_path):
    quiet(root)
    path = censored(root, 9)
    chain = volume().denoise("confounds", "9P", fd=0.5).zscore()
    words = (str(path), "9 regressors leave nothing of 9 frames", "take a smaller model")
    others_go_on(root, tmp_path, chain, *words)


def test_a_cut_off_that_no_record_can_have(root):
    chain = volume().bandpass(low_pass=0.3)
    with pytest.raises(RecordError) as raised:
        of(staged(root), chain).entense.collect()
    bold = str(place(root, "bold.nii.gz"))
    said(raised, "3 of 3 records", bold, "0.3 Hz", "Nyquist", "lower it or leave it out")


def test_a_window_that_is_longer_than_one_run(root, tmp_path):
    bold = place(root, "bold.nii.gz")
    rewrite(bold, lambda data, affine: (data[..., :25], affine))
    place(root, "bold.json").write_text('{"RepetitionTime": 2.0}')
    words = (str(bold), "from 10 s, 60 s long, is not whole in the run of 50 s", "a shorter window")
    others_go_on(root, tmp_path, volume().zscore().window(10.0, seconds=60), *words)


# Files on another grid, behind other steps


def test_an_atlas_and_a_mask_that_fit_no_more_after_a_step(root):
    """After `downsample` the columns lie on another grid than the atlas and the mask."""
    atlas = str(root.parent / "atlas.nii.gz")
    for chain, path in (
        (volume().downsample(2).parcellate(atlas), atlas),
        (volume().zscore().downsample(2).parcel_median(atlas), atlas),
        (volume().detrend().downsample(2).mask("mask"), place(root, "mask.nii.gz")),
    ):
        with pytest.raises(RecordError) as raised:
            of(staged(root), chain).entense.collect()
        said(raised, "3 of 3 records", str(path), "another grid", "same space and resolution")


def test_a_further_mask_of_one_record_on_another_grid(root, tmp_path):
    for path in sorted(root.glob("sub-*/func/*mask.nii.gz")):
        image = path.read_bytes()
        path.with_name(path.name.replace("brain", "grey")).write_bytes(image)
    path = place(root, "desc-grey_mask.nii.gz")
    rewrite(path, lambda data, affine: (data, affine + np.eye(4, k=3) * 2))
    table = staged(root).with_columns(
        grey=pl.col("mask").str.replace("brain", "grey", literal=True)
    )
    chain = volume().detrend().mask("grey")
    with pytest.raises(RecordError) as raised:
        of(table, chain).entense.collect()
    said(raised, "1 of 3 records", str(path), "another grid", "same space and resolution")
    assert len(of(table, chain).filter(pl.col("subject") != "02").entense.collect()) == 2


# Ops of one's own


def test_an_op_that_gives_another_shape_than_it_promised(root, tmp_path):
    @et.op(infer=lambda x: x)
    def halved(x):
        return x[::2]

    for use in (
        lambda table: table.entense.collect(),
        lambda table: table.entense.write(tmp_path / "out"),
    ):
        with pytest.raises(RecipeError) as raised:
            use(of(staged(root), volume().halved()))
        said(raised, "'halved'", "float32 (20, 109)", "float32 (40, 109) was promised", "`infer`")
    assert not list(tmp_path.rglob("*.tar"))


def test_an_op_in_the_middle_that_gives_another_shape_than_it_promised(root):
    """What follows takes it for what was promised: it must be found there, and not in XLA."""

    @et.op(infer=lambda x: x)
    def halved_before(x):
        return x[::2]

    chain = volume().halved_before().detrend().zscore()
    with pytest.raises(RecipeError) as raised:
        of(staged(root), chain).entense.collect()
    said(raised, "'halved_before'", "(20, 109)", "(40, 109) was promised", "`infer`")


def test_an_op_that_gives_another_dtype_than_it_promised(root):
    @et.op(kind=et.Kind.COLUMNWISE, infer=lambda x: x)
    def whole_numbers(x):
        return x.astype("int32")

    with pytest.raises(RecipeError) as raised:
        of(staged(root), volume().whole_numbers()).entense.collect()
    said(raised, "'whole_numbers' gives int32", "float32 ", " was promised", "`infer`")


def test_an_op_that_gives_more_frames_than_it_promised(root):
    """The first of them would look like what is due."""

    @et.op(kind=et.Kind.COLUMNWISE, infer=lambda x: x)
    def twice(x):
        return jnp.concatenate([x, x])

    with pytest.raises(RecipeError) as raised:
        of(staged(root), volume().detrend().twice()).entense.collect()
    said(raised, "'twice' gives float32 (80, ", "(40, ", " was promised", "`infer`")


def test_an_op_that_gives_fewer_columns_than_it_promised(root):
    @et.op(kind=et.Kind.COLUMNWISE, infer=lambda x: x)
    def every_other(x):
        return x[:, ::2]

    with pytest.raises(RecipeError) as raised:
        of(staged(root), volume().detrend().every_other().zscore()).entense.collect()
    said(raised, "'every_other' gives float32 (40, 2048)", "was promised", "`infer`")


def test_an_op_that_raises_while_its_shape_is_looked_at(root):
    @et.op
    def impossible(x):
        raise ValueError("x is not what I like")

    with pytest.raises(RecipeError, match="'impossible' cannot be applied: x is not what I like"):
        of(staged(root), volume().impossible()).entense.collect()


def test_an_op_that_raises_when_it_runs_spoils_the_records_that_have_it(root, tmp_path):
    """Its `infer` is fine; of the shape of one record it raises when it is compiled."""
    bold = place(root, "bold.nii.gz")
    rewrite(bold, lambda data, affine: (data[..., :35], affine))
    place(root, "bold.json").write_text('{"RepetitionTime": 2.0}')

    @et.op(infer=lambda x: x)
    def in_pairs(x):
        if x.shape[0] % 2:
            raise ValueError(f"{x.shape[0]} frames are no pairs")
        return x.reshape(-1, 2, x.shape[1])[:, ::-1].reshape(x.shape)

    words = (str(bold), "the op 'in_pairs' cannot be applied", "ValueError: 35 frames are no pairs")
    others_go_on(root, tmp_path, volume().in_pairs(), *words)


def test_an_operator_of_ones_own_that_raises(root, tmp_path):
    bold = place(root, "bold.nii.gz")
    rewrite(bold, lambda data, affine: (data[..., :35], affine))
    place(root, "bold.json").write_text('{"RepetitionTime": 2.0}')

    @et.op(kind=et.Kind.OPERATOR, infer=lambda x: x)
    def even_only(x):
        return np.eye(x.shape[0])[:: 1 if x.shape[0] % 2 == 0 else 1 / 0]

    words = (str(bold), "the op 'even_only' cannot be applied", "ZeroDivisionError")
    others_go_on(root, tmp_path, volume().even_only(), *words)
    assert not re.search(r"Traceback", (tmp_path / "out" / "entense.json").read_text())
