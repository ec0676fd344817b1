"""The recipe graph: interned, canonical, and safe to read from anywhere."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entense.errors import RecipeError
from entense.tensors import graph
from entense.tensors.graph import Node, from_json, rename_slots, slots, to_json, walk

SLOT = Node("slot", name="a")
NAMES = st.sampled_from(["detrend", "bandpass", "zscore", "x"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)
PARAMS = st.dictionaries(
    st.sampled_from(["p", "q", "low_pass"]), SCALARS | st.lists(SCALARS, max_size=3), max_size=3
)


@st.composite
def graphs(draw):
    """Draw a random graph, in which nodes are taken more than once."""
    nodes = [Node("slot", name=name) for name in draw(st.sets(st.sampled_from("abc"), min_size=1))]
    for _ in range(draw(st.integers(0, 8))):
        inputs = draw(st.lists(st.sampled_from(nodes), max_size=3))
        nodes.append(Node(draw(NAMES), *inputs, **draw(PARAMS)))
    return nodes[-1]


def test_equality_is_identity():
    assert Node("zscore", SLOT) is Node("zscore", Node("slot", name="a"))
    assert Node("zscore", SLOT) is not Node("zscore", Node("slot", name="b"))
    assert Node("f", SLOT, a=1, b=2) is Node("f", SLOT, b=2, a=1)
    assert Node("f", SLOT, Node("g")) is not Node("f", Node("g"), SLOT)


@pytest.mark.parametrize("pair", [(1, 1.0), (1, True), (1.0, True), (0, False), ("1", 1), (0, "")])
def test_types_tell_parameters_apart(pair):
    one, other = pair
    assert Node("f", p=one) is not Node("f", p=other)
    assert Node("f", p=[one]) is not Node("f", p=[other])
    assert to_json(Node("f", p=one)) != to_json(Node("f", p=other))


@pytest.mark.parametrize(
    "pair",
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.01), 0.01),
        (np.int16(3), 3),
        (np.bool_(True), True),
        (np.str_("36P"), "36P"),
        (np.array([1, 2]), [1, 2]),
        ((1, (2.0,)), [1, [2.0]]),
        (-0.0, 0.0),
        (np.float64(-0.0), 0.0),
    ],
)
def test_equal_values_are_one_parameter(pair):
    assert Node("f", p=pair[0]) is Node("f", p=pair[1])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -np.inf, {}, object(), b"x", 1j])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(RecipeError, match="the parameter p is"):
        Node("f", p=value)


def test_parameters_cannot_be_changed():
    node = Node("f", p=[1, 2])
    node.params["p"].append(3)
    assert node.params == {"p": [1, 2]}


@given(graphs())
def test_json_gives_the_same_nodes_back(root):
    assert from_json(to_json(root)) is root
    assert pickle.loads(pickle.dumps(root)) is root


@given(graphs())
def test_json_is_canonical(root):
    text = to_json(root)
    data = json.loads(text)
    assert text == json.dumps(data, sort_keys=True, separators=(",", ":"))
    assert len(data["nodes"]) == len(walk(root)) == len(set(walk(root)))


@given(graphs())
def test_inputs_come_before_what_takes_them(root):
    place = {node: i for i, node in enumerate(walk(root))}
    assert all(place[item] < place[node] for node in place for item in node.inputs)
    assert max(place, key=place.__getitem__) is root


@given(graphs())
def test_slots_are_renamed_and_nothing_else(root):
    there = {name: f"{name}:2" for name in slots(root)}
    renamed = rename_slots(root, there)
    assert set(slots(renamed)) == set(there.values())
    assert rename_slots(renamed, {new: old for old, new in there.items()}) is root


def test_a_deep_chain_needs_no_recursion():
    node = SLOT
    for _ in range(graph.MAX_NODES - 1):
        node = Node("f", node)
    assert from_json(to_json(node)) is node
    with pytest.raises(RecipeError, match="between 1 and 10,000 nodes"):
        from_json(to_json(Node("f", node)))


def rows(*nodes, version=1):
    return json.dumps({"nodes": list(nodes), "version": version})


def nested(depth):
    return '{"nodes": [["f", [], {"p": ' + "[" * depth + "]" * depth + '}]], "version": 1}'


HOSTILE = {
    "empty": "",
    "no json": "{",
    "null": "null",
    "a number": "1",
    "a list": "[]",
    "a string": '"nodes"',
    "no nodes": "{}",
    "no version": '{"nodes": []}',
    "zero nodes": rows(),
    "nodes are no list": '{"nodes": {"a": 1}, "version": 1}',
    "a later version": rows(["f", [], {}], version=2),
    "a version of another type": rows(["f", [], {}], version=[1]),
    "version is true": rows(["f", [], {}], version=True),
    "takes itself": rows(["f", [0], {}]),
    "takes a later node": rows(["f", [1], {}], ["g", [], {}]),
    "takes a node before the first": rows(["f", [], {}], ["g", [-1], {}]),
    "a place that is true": rows(["f", [], {}], ["f", [], {}], ["g", [True], {}]),
    "a place that is no number": rows(["f", [], {}], ["g", ["0"], {}]),
    "a place that is a float": rows(["f", [], {}], ["g", [0.0], {}]),
    "places are null": rows(["f", None, {}]),
    "a short node": rows(["f", []]),
    "a long node": rows(["f", [], {}, 1]),
    "a node that is a number": rows(1),
    "a node that is a dict": rows({"op": "f"}),
    "op is a number": rows([1, [], {}]),
    "op is a list": rows([["f"], [], {}]),
    "op is null": rows([None, [], {}]),
    "params are a list": rows(["f", [], []]),
    "params are null": rows(["f", [], None]),
    "a param is a dict": rows(["f", [], {"p": {"a": 1}}]),
    "a param called op": rows(["f", [], {"op": 1}]),
    "a param called cls": rows(["f", [], {"cls": 1}]),
    "a param is NaN": '{"nodes": [["f", [], {"p": NaN}]], "version": 1}',
    "a param is infinite": '{"nodes": [["f", [], {"p": 1e999}]], "version": 1}',
    "a slot without a name": rows(["slot", [], {}]),
    "a slot with a number for a name": rows(["slot", [], {"name": 1}]),
    "deep lists": "[" * 100_000,
    "a param of 5,000 lists": nested(5_000),
    "a param of 600 lists": nested(600),
    "too many nodes": rows(*[["f", [], {}]] * (graph.MAX_NODES + 1)),
    "too long": '"' + "x" * graph.MAX_BYTES + '"',
    "a huge integer": '{"nodes": [["f", [], {"p": ' + "9" * 5000 + '}]], "version": 1}',
    "a lone surrogate": '{"nodes": [["\\ud800", [], {}]], "version": 7}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_damaged_recipe_is_a_recipe_error(text):
    with pytest.raises(RecipeError):
        from_json(text)


@given(graphs(), st.data())
def test_a_changed_byte_is_a_recipe_or_a_recipe_error(root, data):
    text = to_json(root)
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.characters()) + text[at + 1 :]
    try:
        again = from_json(damaged)
    except RecipeError:
        return
    assert from_json(to_json(again)) is again


def test_reading_a_recipe_imports_nothing():
    code = """
import sys
from entense.tensors.graph import from_json
before = set(sys.modules)
from_json('{"nodes":[["os.system",[],{"name":"antigravity"}],["jax",[0],{}]],"version":1}')
assert set(sys.modules) == before, set(sys.modules) - before
"""
    subprocess.run([sys.executable, "-c", code], check=True)
