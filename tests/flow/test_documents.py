"""The code of README.md and docs/ runs as it stands, in the folder where `make demo` ran."""

import contextlib
import importlib.util
import io
import re
import tomllib
from pathlib import Path

import pytest

from entense.archive.formats import formats
from entense.archive.sharding import schemes as shardings
from entense.demo.dataset import make_dataset
from entense.ops import Kind, ops
from entense.plan.fuse import fusions
from entense.records.splitting.schemes import schemes

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
CODE = re.compile(r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


def blocks(page):
    """Return the code of a page, each with what the page says that it prints."""
    return CODE.findall(page.read_text())


def normal(text):
    """Return a text without what depends on XLA's version and on the machine."""
    return re.sub(r"[\d,.]+ (MB|GFLOP)", r"# \1", text)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_block_runs_in_order_and_prints_what_the_page_says(tmp_path, monkeypatch):
    make_dataset(tmp_path / "demo" / "dataset", subjects=4, sessions=1, runs=1, frames=60)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENTENSE_CACHE", str(tmp_path / "cache"))  # docs/fetch.md sets it, too
    monkeypatch.syspath_prepend(tmp_path)  # docs/own_ops.md has a module of its own
    # what pages register is forgotten
    for registry in (ops, fusions, schemes, shardings, formats):
        monkeypatch.setattr(registry, "_things", dict(registry._things))
    compared = 0
    for page in PAGES:
        scope = {"__name__": page.stem}
        for block, says in blocks(page):
            with contextlib.redirect_stdout(io.StringIO()) as said:
                exec(compile(block, str(page), "exec"), scope)
            assert not says or normal(said.getvalue()) == normal(says), page.name
            compared += bool(says)
    assert compared == 3
    assert (tmp_path / "out" / "entense.json").is_file()


def test_the_readme_has_a_block_and_every_link_leads_somewhere():
    assert blocks(ROOT / "README.md")
    for page in PAGES:
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\((?!http)([^)#]+)", prose):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_the_readme_says_which_extras_make_demo_leaves_out():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    (everything,) = extras.pop("all")
    held = set(re.search(r"\[(.*)\]", everything)[1].split(","))
    left = {*extras} - held - {"bench", "test", "dev"}
    (told,) = re.findall(
        r"`\.venv/bin/pip install -e \"\.\[(.*?)\]\"`", (ROOT / "README.md").read_text()
    )
    assert set(told.split(",")) == left


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_operations_is_what_the_docstrings_say():
    made = generator().page()
    assert made == (ROOT / "docs" / "operations.md").read_text(), "run `make docs`"
    methods = [name for name in ops if ops[name].kind not in (Kind.SOURCE, Kind.TABLE)]
    ours = [name for name in methods if ops[name].function.__module__.startswith("entense.")]
    assert len(ours) > 30
    for name in [*ours, "volume", "surface", "cifti", "table", "array"]:
        assert made.count(f"\n### {name}\n") == made.count(f"](#{name})") == 1
