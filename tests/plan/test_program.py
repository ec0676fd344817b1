"""What a table compiles to: how often a file is read, and a function compiled."""

import os
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

import entense as et
from entense.execute.serial import run
from entense.ops import ops
from entense.ops.core import Kind
from entense.plan.fuse import compile_program
from entense.plan.host import read_tables
from entense.plan.jit import form_of, function_for
from entense.plan.survey import look, survey
from entense.tensors.graph import Node

BOLD = et.volume("bold", mask="mask")
CLEAN = BOLD.denoise("confounds", "9P", high_pass=0.01, low_pass=0.2).zscore()


def readme(study):
    """The tensors of the README: a voxelwise cleaned one, and a connectome of it."""
    table = study.records.entense.transform(clean=CLEAN)
    return table.entense.transform(fc=et.col("clean").parcellate(str(study.atlas())).correlation())


def program_of(known):
    return compile_program(known.rows[0].bound.roots, look(known.rows[0].bound))


def ops_of(nodes):
    return [node.op for node in nodes]


def test_the_readme_is_one_pass_and_two_programs(study):
    study.run("01")
    known = survey(readme(study))
    program, _ = program_of(known)
    assert [rule.name for rule in program.rules] == ["centre"]
    (decode,) = program.decodes
    assert ops_of(decode.sinks) == ["centred"]
    assert sorted(ops_of(program.hosted)) == ["codes", "operator"]
    columns, whole = program.stages
    assert (columns.cut, whole.cut) == ("columns", "whole")
    assert ops_of(columns.nodes) == ["apply", "zscore", "parcellate"]
    assert ops_of(columns.outputs) == ["zscore", "parcellate"]
    assert ops_of(whole.nodes) == ["correlation"]


def test_tables_are_read_in_order():
    """Of two that are damaged the record's error names one: the same one each time."""
    read = []

    class Table:
        def __init__(self, place):
            self.place = place

        @property
        def frame(self):
            read.append(self.place)

    nodes = [Node("regressors", Node("value", place=place)) for place in range(20)]
    known = {node: Table(place) for place, node in enumerate(nodes)}
    read_tables(SimpleNamespace(hosted=(*nodes[10:], *nodes[:15])), known)
    assert read == [*range(10, 20), *range(10)]


def test_a_connectome_alone_filters_parcels_and_keeps_no_voxel(study):
    study.run("01")
    chain = BOLD.detrend().bandpass(high_pass=0.01).denoise("confounds", "6P")
    table = study.records.entense.transform(fc=chain.parcellate(str(study.atlas())).correlation())
    program, _ = program_of(survey(table))
    assert [rule.name for rule in program.rules] == ["compose", "reduce-first", "pool-at-decoder"]
    assert [ops_of(stage.sinks) for stage in program.decodes] == [["parcels"]]
    (operator,) = program.hosted
    assert ops_of(operator.inputs) == ["detrend", "bandpass", "denoise"]
    assert [ops_of(stage.nodes) for stage in program.stages] == [["apply", "correlation"]]


def test_sums_that_are_no_means_are_not_moved_before_filters(study, monkeypatch):
    """The power of what was filtered is not the filtered power."""
    study.run("01")
    monkeypatch.setattr(ops, "_things", dict(ops._things))
    known = ops["parcellate"]

    @et.op(kind=Kind.POOL, reads={"atlas": "labels"}, infer=known.infer, finish=known.finish)
    def power(x, atlas):
        return known.function(x * x, atlas)

    table = study.records.entense.transform(
        x=BOLD.detrend(), power=BOLD.detrend().power(str(study.atlas()))
    )
    program, _ = program_of(survey(table))
    assert "reduce-first" not in [rule.name for rule in program.rules]
    found = table.entense.collect()
    x, parcels = (et.to_numpy(found[name])[0] for name in ("x", "power"))
    atlas = nib.load(study.root.parent / "atlas.nii.gz").get_fdata()[study.inside]
    due = [(x[:, atlas == label].astype("f8") ** 2).mean(axis=1) for label in (2, 3, 5)]
    np.testing.assert_allclose(parcels[:, :3], np.transpose(due), rtol=1e-4)


def test_a_file_is_decoded_once_whatever_number_of_tensors_use_it(study, decodes):
    row = study.run("01")
    atlas = str(study.atlas())
    table = study.records.entense.transform(
        raw=BOLD, clean=CLEAN, again=BOLD.detrend(), parcels=BOLD.parcellate(atlas)
    ).entense.transform(fc=et.col("clean").parcellate(atlas).correlation())
    table.entense.collect()
    assert decodes == [row["bold"]]


def test_sharing_is_by_what_is_in_the_cells(study, decodes):
    first, second = study.run("01"), study.run("02")
    table = study.records.entense.transform(x=CLEAN)
    one = table.filter(subject="01")
    joined = one.join(table.select(y="x", other="subject"), how="cross").sort("other")
    assert joined.schema["x"] == joined.schema["y"]
    df = joined.entense.collect()
    # row 0 has one file in both columns; row 1 has a file of its own in each
    assert sorted(decodes) == sorted([first["bold"], first["bold"], second["bold"]])
    x, y = et.to_numpy(df["x"]), et.to_numpy(df["y"])
    np.testing.assert_array_equal(x[0], y[0])
    np.testing.assert_array_equal(x[0], x[1])
    assert not np.allclose(x[1], y[1])
    np.testing.assert_array_equal(y, et.to_numpy(table.entense.collect()["x"]))


def test_the_same_file_under_two_masks_is_decoded_once(study, decodes):
    row = study.run("01")
    half = study.inside.copy()
    half[3:] = False
    path = study.image("half.nii.gz", half.astype("u1"))
    table = study.records.entense.transform(
        all=BOLD.zscore(), some=et.volume("bold", mask=path).zscore()
    )
    df = table.entense.collect()
    assert decodes == [row["bold"]]
    np.testing.assert_array_equal(
        et.to_numpy(df["some"])[0], et.to_numpy(df["all"])[0][:, half[study.inside]]
    )


def sizes(known):
    program, specs = program_of(known)
    forms = [form_of(stage, specs) for stage in program.stages]
    return [function_for(form, ops.generation)._cache_size() for form in forms]


def test_a_program_is_compiled_once_a_shape(study):
    for subject in ("01", "02", "03"):
        study.run(subject, frames=79, tr=1.9)
    known = survey(readme(study))
    assert len({row.bound.roots for row in known.rows}) == 1
    before = sizes(known)
    assert all(outcome.error is None for outcome in run(known, [0, 1, 2]))
    once = sizes(known)
    assert max(np.subtract(once, before)) <= 1
    study.run("04", frames=47, tr=1.9)
    known = survey(readme(study))
    assert all(outcome.error is None for outcome in run(known, [0, 3, 1]))
    # 47 frames are padded to as many as 79 are
    assert sizes(known) == once


def test_the_survey_knows_shapes_before_anything_runs(study, decodes):
    study.run("01", frames=41)
    study.run("02", frames=50)
    known = survey(readme(study), dtype={"clean": "float16"})
    assert decodes == []
    voxels = int(study.inside.sum())
    assert [spec["clean"].shape for spec in known.specs] == [(41, voxels), (50, voxels)]
    assert {spec["clean"].dtype for spec in known.specs} == {"float16"}
    assert {spec["fc"].dims for spec in known.specs} == {("parcel", "parcel")}
    assert known.specs[0]["clean"].dims == ("time", "voxel")
    assert known.specs[0]["clean"].tr == 2.0
    assert known.specs[0]["clean"].mask.voxels == voxels
    assert known.errors == [None, None]
    for outcome in run(known, [0, 1]):
        spec = known.rows[outcome.row].specs
        assert {n: (a.shape, str(a.dtype)) for n, a in outcome.arrays.items()} == {
            n: (s.shape, s.dtype) for n, s in spec.items()
        }


def test_the_survey_lists_every_file_that_a_row_reads(study):
    row = study.run("01")
    inputs = survey(readme(study)).rows[0].bound.files
    atlas = str(study.root.parent / "atlas.nii.gz")
    assert sorted(inputs.values()) == sorted([row["bold"], row["mask"], row["confounds"], atlas])


def test_a_sidecar_goes_before_the_header(study):
    study.run("01", tr=2.0)
    table = study.records.with_columns(bold_tr=3.0)
    assert survey(table.entense.transform(x=BOLD)).specs[0]["x"].tr == 3.0
    table = study.records.with_columns(bold_tr=None)
    assert survey(table.entense.transform(x=BOLD)).specs[0]["x"].tr == 2.0
    table = study.records.drop("bold_tr")
    assert survey(table.entense.transform(x=BOLD)).specs[0]["x"].tr == 2.0


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda t: survey(t, ["clen"]), "no lazy tensor 'clen'.*clean"),
        (lambda t: survey(t, dtype={"age": "float16"}), "no lazy tensor 'age'"),
        (lambda t: survey(t, dtype={"clean": "int32"}), "no dtype 'int32'.*float16"),
    ],
)
def test_a_wrong_survey_is_an_error(study, ask, says):
    study.run("01")
    with pytest.raises(et.RecipeError, match=says):
        ask(study.records.entense.transform(clean=CLEAN))


def test_an_op_that_is_not_registered_here_is_named(study):
    import polars as pl

    from entense.tensors.graph import Node
    from entense.tensors.lazy import column

    slot = {"volume.image": pl.lit("x")}
    made = column(
        Node("alien", Node("slot", name="volume.image")), slot, {"volume.image": pl.String()}
    )
    table = pl.DataFrame({"a": [1]}).with_columns(made.alias("x"))
    with pytest.raises(et.RecipeError, match=r"'alien', which is not registered.*import"):
        table.entense.collect()


# explain


def test_explain_reads_no_voxel(study, monkeypatch):
    from entense.execute import loading
    from entense.images.nifti import Header

    def refuse(*_):
        raise AssertionError("a voxel was read")

    monkeypatch.setattr(loading, "decode", refuse)
    monkeypatch.setattr(Header, "read", refuse)
    row = study.run("01", extension=".nii")
    text = readme(study).entense.explain()
    size = Path(row["bold"]).stat().st_size
    os.truncate(row["bold"], 400)
    os.truncate(row["bold"], size)  # the header alone is left, and a hole
    assert readme(study).lazy().entense.explain() == text


def test_explain_shows_recipes_rules_and_stages(study):
    study.run("01")
    lines = readme(study).entense.explain().splitlines()
    text = "\n".join(lines)
    assert "[time: 40, voxel: 109] float32" in text
    assert "[parcel: 4, parcel: 4] float32" in text
    assert lines.index("TENSORS") < lines.index("RULES")
    stages = [line.split()[1] for line in lines if line.strip()[:1].isdigit()]
    assert stages == ["decode", "operator", "columns", "whole"]
    assert "share: " in text
    assert "centre: " in text
    plain = readme(study).entense.explain(optimized=False)
    assert "centre: " not in plain
    assert "40 frames of 5 x 6 x 4: keep 109 voxels" in plain


def test_explain_goes_by_the_first_record_that_can_be_read(study):
    bad = study.run("01")
    study.run("02", frames=33)
    os.truncate(bad["bold"], 0)
    assert "[time: 33, voxel: 109]" in readme(study).entense.explain()
    only = readme(study).head(1).entense.explain()
    assert f"no record can be looked at: {bad['bold']}" in only
    assert (
        "no record can be looked at: the table has no rows"
        in readme(study).head(0).entense.explain()
    )
