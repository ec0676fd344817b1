"""How another archive differs is said in a sentence, of causes and not of what follows."""

import copy

import pytest

from entense.archive.difference import difference
from entense.archive.folder import Begun
from entense.tensors.graph import Node, to_json


def chain(*, high=0.01, **params):
    image, table = Node("slot", name="volume.image"), Node("slot", name="denoise.confounds")
    cleaned = Node("denoise", Node("volume", image), table, high_pass=high, model="36P", **params)
    return Node("zscore", cleaned)


CLEAN = chain()
IDENTITY = {
    "series": [{"format": "webdataset", "tensors": ["clean", "fc"], "folder": "{split}"}],
    "sharding": {"bytes": 512, "records": None, "by": [], "seed": None, "scheme": "size"},
    "recipes": {"clean": to_json(CLEAN), "fc": to_json(Node("correlation", CLEAN))},
    "tensors": {
        "clean": ["float32", ["time", "voxel"], None],
        "fc": ["float32", ["parcel", "parcel"], None],
    },
    "columns": {"age": "Float64"},
    "code": {"denoise": "a", "zscore": "b", "sharding size": "c", "plan": "greedy, share, fold",
             "entense": "d"},
    "made_by": {"entense": "1.0", "jax": "0.9", "device": "cpu"},
}  # fmt: skip


def begun(**changes):
    identity = copy.deepcopy(IDENTITY)
    for key, change in changes.items():
        identity[key] = {**identity[key], **change} if isinstance(change, dict) else change
    return Begun(identity, ["a"], {}, splits=["train"])


def said(**changes):
    return difference(begun(), begun(**changes))


def recipes(clean):
    return {"clean": to_json(clean), "fc": to_json(Node("correlation", clean))}


def test_what_is_the_same_does_not_differ():
    assert said() is None


@pytest.mark.parametrize(
    ("clean", "words"),
    [
        (chain(high=0.008), "denoise has high_pass=0.01 there, 0.008 here"),
        (chain(high=1), "denoise has high_pass=0.01 there, 1 here"),
        (CLEAN.inputs[0], "zscore there, nothing here"),
        (Node("astype", CLEAN, dtype="float16"), "nothing there, astype(dtype=float16) here"),
        (
            Node("detrend", CLEAN.inputs[0], order=1),
            "zscore there, detrend(order=1) here",
        ),
    ],
)
def test_a_recipe_names_the_step_or_the_parameter(clean, words):
    assert said(recipes=recipes(clean)) == f"differs in the recipe of 'clean' (and 1 more): {words}"


def test_what_follows_from_a_recipe_is_not_said():
    other = chain(high=0.008)
    following = {
        "tensors": {"clean": ["float16", ["time", "voxel"], None]},
        "code": {"denoise": "a", "detrend": "x"},
    }
    text = said(recipes={"clean": to_json(other)}, **following)
    assert text == "differs in the recipe of 'clean': denoise has high_pass=0.01 there, 0.008 here"


def test_a_parameter_that_became_a_column():
    image, table, value = (Node("slot", name=name) for name in "abc")
    cells = Node("denoise", Node("volume", image), table, value, model="36P", cells=["high_pass"])
    text = said(recipes=recipes(Node("zscore", cells)))
    assert text.endswith("denoise has high_pass=0.01 there, a column's here")


def test_steps_that_take_other_inputs():
    image, table = Node("slot", name="volume.image"), Node("slot", name="denoise.confounds")
    turned = Node("denoise", Node("volume", table), image, high_pass=0.01, model="36P")
    assert "take other files, or each other's results" in said(
        recipes=recipes(Node("zscore", turned))
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"recipes": {"x": to_json(CLEAN)}, "tensors": {"x": ["float32", ["voxel"], None]}},
            "the recipe of 'x': it is here and not there",
        ),
        (
            {"tensors": {"fc": ["float64", ["parcel", "parcel"], None]}},
            "the tensor 'fc': dtype 'float32' there, 'float64' here",
        ),
        ({"columns": {"sex": "String"}}, "the column 'sex': it is here and not there"),
        ({"columns": {"age": "Int64"}}, "the column 'age': 'Float64' there, 'Int64' here"),
        ({"sharding": {"bytes": 1024}}, "shard_size: 512 there, 1024 here"),
        (
            {"sharding": {"seed": 0, "by": ["site"]}},
            "shard_by: [] there, ['site'] here, and in shuffle: None there, 0 here",
        ),
        (
            {"series": [IDENTITY["series"][0] | {"format": "tfrecord"}],
             "code": {"format tfrecord": "x"}},
            "format: 'webdataset' there, 'tfrecord' here",
        ),
        (
            {"series": [IDENTITY["series"][0] | {"tensors": [name], "folder": f"{{split}}/{name}"}
                        for name in ("clean", "fc")]},
            "disaggregate: None there, 'tensor' here",
        ),
        ({"code": {"denoise": "x"}}, "the code of denoise"),
        ({"code": {"entense": "x"}}, "the code of entense"),
        (
            {"code": {"plan": "greedy, share, mask"}},
            "its rules or fusion: fold only there, mask only here",
        ),
        ({"made_by": {"device": "abacus"}}, "device: 'cpu' there, 'abacus' here"),
        (
            {"made_by": {"entense": "2.0"}, "code": {"entense": "x", "denoise": "y"}},
            "entense: '1.0' there, '2.0' here",
        ),
    ],
)  # fmt: skip
def test_everything_else_names_what_write_was_asked(changes, words):
    assert said(**changes) == f"differs in {words}"


def test_an_older_note_that_says_less_differs_in_what_it_lacks():
    old = begun()
    del old.identity["series"]
    assert difference(old, begun()).startswith("differs in format: ")
    short = {name: kind[:2] for name, kind in IDENTITY["tensors"].items()}
    assert difference(begun(tensors=short), begun()).startswith("differs in the tensor 'clean'")
    changed = begun(series=[IDENTITY["series"][0] | {"tensors": ["fc", "clean"]}])
    assert difference(begun(), changed) == "differs in series"
