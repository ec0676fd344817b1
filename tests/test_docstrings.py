"""Every example in a docstring runs, and every public function has one."""

import contextlib
import doctest
import importlib
import inspect
import io
import pkgutil
import shutil

import polars as pl
import pytest

import entense as et
from entense.demo import make_dataset

MODULES = [
    "entense",
    *sorted(name for _, name, _ in pkgutil.walk_packages(et.__path__, "entense.")),
]
FUNCTIONS = [name for name in et.__all__ if inspect.isfunction(getattr(et, name))]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The archive that examples read: the tensor `clean`, of the split `train`."""
    root = tmp_path_factory.mktemp("examples")
    make_dataset(root / "ds", subjects=1, sessions=1, runs=1, frames=40, shape=(10, 12, 10))
    roles = {name: {"suffix": name, "space": "MNI152NLin2009cAsym"} for name in ("bold", "mask")}
    records = et.stage(et.scan(root / "ds"), **roles).with_columns(split=pl.lit("train"))
    records = records.entense.transform(clean=et.volume("bold", mask="mask").zscore())
    records.entense.write(root / "out")
    return root / "out"


@pytest.mark.filterwarnings("ignore:.*numpy:DeprecationWarning")
@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(out, "out")
    module = importlib.import_module(name)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        failed = doctest.testmod(module).failed
    assert not failed, said.getvalue()


def test_no_example_is_skipped_and_no_module_missed():
    assert {"entense.namespace", "entense.ops.filters", "entense.archive.write"} <= set(MODULES)
    for name in MODULES:
        assert "doctest: +SKIP" not in inspect.getsource(importlib.import_module(name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_has_an_example(name):
    assert ">>> " in getattr(et, name).__doc__
