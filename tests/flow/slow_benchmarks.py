"""Each benchmark on data so small that its figures mean nothing: rows and aims come out of it.

Run by `make smoke`; pytest does not collect it by itself.
"""

import contextlib
import importlib
import io
import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import fresh

WITHOUT_AIMS = {"index", "scale"}
pytestmark = pytest.mark.filterwarnings("ignore")  # peers warn


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """What is generated, which benchmarks share."""
    return tmp_path_factory.mktemp("benchmarks")


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Measure in this process: to start another, and to import all again, is most of the time."""

    def answered(function, arguments):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            fresh._answer(function, arguments)
        return said.getvalue()

    monkeypatch.setattr(fresh, "_elsewhere", answered)


@pytest.mark.parametrize("name", benchmarks.BENCHES)
def test_rows_and_aims_come_out(name, cache, capsys):
    rows = importlib.import_module(f"benchmarks.{name}").bench(cache, quick=True)
    rows = benchmarks.compare(rows)
    names = [(row.bench, row.name) for row in rows]
    assert rows
    assert len(set(names)) == len(names)
    assert all(row.seconds > 0 or "refused" in row.note for row in rows)
    aims = [aim for row in rows for aim in row.aims]
    assert bool(aims) is (name not in WITHOUT_AIMS)
    assert all(math.isfinite(aim.value) and aim.limit > 0 for aim in aims)
    benchmarks.show(rows)
    said = capsys.readouterr().out
    assert all(row.name in said for row in rows)
    assert json.loads(json.dumps([asdict(row) for row in rows]))


def test_none_is_left_out():
    modules = Path(fresh.__file__).parent.glob("*.py")
    assert {path.stem for path in modules if "\ndef bench(" in path.read_text()} == {
        *benchmarks.BENCHES
    }
