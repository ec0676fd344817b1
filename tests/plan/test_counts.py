"""How much is done: which rules fire where, what is decoded, what is compiled, in which stages."""

import numpy as np
import polars as pl
import pytest

import entense as et
from entense.execute import compute
from entense.execute.serial import run
from entense.plan.fuse import compile_program
from entense.plan.jit import function_for
from entense.plan.shapes import padded
from entense.plan.survey import look, survey

BOLD = et.volume("bold", mask="mask")
ATLAS = "atlas"


@pytest.fixture
def table(study):
    study.run("01")
    return study.records.with_columns(atlas=pl.lit(str(study.atlas())))


def program_of(table, **tensors):
    known = survey(table.entense.transform(**tensors))
    assert known.errors == [None] * table.height
    return compile_program(known.rows[0].bound.roots, look(known.rows[0].bound))[0]


FILTERED = BOLD.detrend().bandpass(low_pass=0.2)
SOME = FILTERED.mask("mask")
FIRES = {
    "nothing": (BOLD, []),
    "no filter": (BOLD.zscore(), []),
    "one filter": (BOLD.detrend(), ["centre"]),
    "two filters": (FILTERED, ["compose", "centre"]),
    "two that z-scores part": (BOLD.detrend().zscore().bandpass(low_pass=0.2), ["centre"]),
    "parcels": (BOLD.parcellate(ATLAS), ["pool-at-decoder"]),
    "parcels of filtered": (BOLD.detrend().parcellate(ATLAS), ["reduce-first", "pool-at-decoder"]),
    "filtered parcels": (BOLD.parcellate(ATLAS).detrend(), ["pool-at-decoder"]),
    "parcels of z-scores": (BOLD.zscore().parcellate(ATLAS), []),
    "medians": (BOLD.parcel_median(ATLAS), []),
    "medians of filtered": (BOLD.detrend().parcel_median(ATLAS), ["centre"]),
    "a mask": (BOLD.mask("mask"), ["mix-at-decoder"]),
    "a mask of filtered": (SOME, ["space-first", "compose", "mix-at-decoder", "centre"]),
    "a mask of z-scores": (BOLD.zscore().mask("mask"), []),
    "parcels of a mask": (BOLD.mask("mask").parcellate(ATLAS), ["mix-at-decoder"]),
    "parcels of a mask of filtered": (
        BOLD.detrend().mask("mask").parcellate(ATLAS),
        ["space-first", "reduce-first", "mix-at-decoder"],
    ),
    "coarser twice": (BOLD.downsample(2).pad([9, 9, 9]), ["mix-at-decoder"]),
    "smooth of filtered": (BOLD.detrend().smooth(3.0), ["centre"]),
    "a summary": (FILTERED.mean_fd("confounds"), []),
}


@pytest.mark.parametrize(("tensor", "names"), FIRES.values(), ids=FIRES)
def test_each_rule_fires_where_it_should(table, tensor, names):
    assert [rule.name for rule in program_of(table, x=tensor).rules] == names


def shown(program):
    return [(stage.cut, [node.op for node in stage.nodes]) for stage in program.stages]


def test_a_smooth_recipe_has_the_stages_that_it_should(table):
    tensor = BOLD.smooth(4.0).zscore().parcellate(ATLAS).correlation()
    program = program_of(table, fc=tensor)
    assert shown(program) == [
        ("frames", ["smooth"]),
        ("columns", ["zscore", "parcellate"]),
        ("whole", ["correlation"]),
    ]
    (decode,) = program.decodes
    assert [node.op for node in decode.sinks] == ["volume"]
    # of each stage only what others take is handed on
    assert [[node.op for node in stage.outputs] for stage in program.stages] == [
        ["smooth"], ["parcellate"], ["correlation"],
    ]  # fmt: skip


def test_what_goes_together_is_one_stage_whatever_stands_between(table):
    """Two tensors of one file: steps of like cut are fused over both."""
    program = program_of(
        table, a=BOLD.detrend().zscore(), b=BOLD.smooth(4.0).psc(), c=BOLD.detrend().tsnr()
    )
    assert [cut for cut, _ in shown(program)] == ["columns", "frames", "columns"]
    first, _, last = (names for _, names in shown(program))
    assert sorted(first) == ["apply", "dense", "tsnr", "zscore"]
    assert last == ["psc"]


def test_a_file_is_decoded_once_for_steps_of_every_kind(table, decodes):
    tensors = {f"x{number}": tensor for number, (tensor, _) in enumerate(FIRES.values())}
    table.entense.transform(**tensors).entense.collect()
    assert sorted(decodes) == sorted(table["bold"])


def test_many_run_lengths_that_pad_alike_compile_once(study, monkeypatch):
    """Twenty lengths, of which each program is compiled for one padded length."""
    lengths = range(41, 61)
    assert {padded(frames) for frames in lengths} == {80}
    for number, frames in enumerate(lengths):
        study.run(f"{number:02}", frames=frames, tr=2.1)
    clean = BOLD.denoise("confounds", "6P").zscore()
    table = study.records.entense.transform(
        clean=clean.astype("float16"), fc=clean.parcellate(str(study.atlas())).correlation()
    )
    known = survey(table)
    sizes = {}

    def remember(*args):
        function = function_for(*args)
        sizes.setdefault(function, function._cache_size())
        return function

    monkeypatch.setattr(compute, "function_for", remember)
    function_for.cache_clear()  # what other tests have compiled
    shapes = {o.arrays["clean"].shape[0] for o in run(known, range(20)) if o.error is None}
    assert shapes == {*lengths}
    assert [function._cache_size() - size for function, size in sizes.items()] == [1, 1]


def test_lengths_that_are_padded_are_what_they_are_alone(study):
    """No frame beyond the last of a run counts, whatever was computed before it."""
    for number, frames in enumerate((63, 33, 64)):
        study.run(f"{number:02}", frames=frames, tr=2.0)
    tensor = BOLD.denoise("confounds", "6P").zscore()
    together = study.compute(tensor)
    for row, whole in zip(study.rows, together, strict=True):
        alone = study.records.filter(subject=row["subject"]).entense.transform(x=tensor)
        np.testing.assert_array_equal(et.to_numpy(alone.entense.collect()["x"])[0], whole)
