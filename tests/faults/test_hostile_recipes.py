"""Recipes that come from a file, and that `transform` never makes."""

import polars as pl
import pytest

import entense as et
from entense.plan.survey import survey
from entense.tensors.graph import Node
from entense.tensors.lazy import column

PATH = Node("slot", name="volume.image")
VOLUME = Node("volume", PATH, Node("slot", name="volume.mask"), Node("slot", name="volume.tr"))
PARAM = Node("slot", name="p", param=True)
ITEM = Node("slot", name="many", each=True)
CELLS = {
    "volume.image": pl.String(),
    "volume.mask": pl.String(),
    "volume.tr": pl.Float64(),
    "p": pl.Float64(),
    "many": pl.List(pl.String()),
    "odd": pl.Struct({"a": pl.String()}),
}


def hostile(root):
    fields = {name: pl.lit(None, dtype) for name, dtype in CELLS.items()}
    return pl.DataFrame({"record": ["a"]}).with_columns(column(root, fields, CELLS).alias("x"))


BAND = {"low_pass": 0.2, "method": "butterworth", "order": 5}
HIGH = {"high_pass": None, **BAND}
RECIPES = {
    "a parameter that the op has not": Node("zscore", VOLUME, PARAM, cells=["ddof"]),
    "cells that are no list": Node("bandpass", VOLUME, PARAM, cells=5),
    "cells that are text": Node("bandpass", VOLUME, PARAM, cells="high_pass", **BAND),
    "cells that are no names": Node("bandpass", VOLUME, PARAM, cells=[["high_pass"]], **BAND),
    "a name twice": Node("bandpass", VOLUME, PARAM, PARAM, cells=["high_pass"] * 2, **BAND),
    "a parameter twice": Node("bandpass", VOLUME, PARAM, cells=["high_pass"], **HIGH),
    "a parameter too few": Node("bandpass", VOLUME, PARAM, cells=["high_pass"]),
    "an input too few": Node("bandpass", VOLUME, cells=["high_pass"], **BAND),
    "an input too many": Node("bandpass", VOLUME, PARAM, **HIGH),
    "a tensor for a parameter": Node("bandpass", VOLUME, VOLUME, cells=["high_pass"], **BAND),
    "a file for a parameter": Node("bandpass", VOLUME, PATH, cells=["high_pass"], **BAND),
    "a parameter for a tensor": Node("zscore", PARAM),
    "a parameter for a file": Node("volume", PARAM, *VOLUME.inputs[1:]),
    "another parameter of the wrong type": Node(
        "bandpass", VOLUME, PARAM, cells=["high_pass"], **BAND | {"low_pass": "x"}
    ),
    "an input that no cell has": Node("array", Node("slot", name="none")),
    "an item of what is no list": Node("concat", Node("array", Node("slot", name="p", each=True))),
    "a list for one file": Node("array", Node("slot", name="many")),
    "a struct of other fields": Node("array", Node("slot", name="odd")),
    "a slot that takes inputs": Node("array", Node("slot", VOLUME, name="volume.image")),
    "a list": Node("array", ITEM),
    "a file": PATH,
    "a gather of one": Node("concat", VOLUME),
    "a gather of a gather": Node("mean", Node("concat", Node("array", ITEM))),
    "a node of the binder's": Node("zscore", Node("value", place=0)),
}


@pytest.mark.parametrize("root", RECIPES.values(), ids=RECIPES)
def test_a_recipe_that_transform_does_not_make_is_refused(root):
    with pytest.raises(et.RecipeError):
        survey(hostile(root))


def test_what_transform_makes_is_not_refused():
    for root in (
        VOLUME,
        Node("bandpass", VOLUME, PARAM, cells=["high_pass"], **BAND),
        Node("concat", Node("array", ITEM)),
    ):
        (error,) = survey(hostile(root)).errors
        assert "the record has no file" in error
