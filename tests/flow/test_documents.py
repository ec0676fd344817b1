"""The code of README.md and docs/ runs as it stands, in the folder where `make demo` ran."""

import re
from pathlib import Path

import pytest

from entense.demo.dataset import make_dataset

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_block_runs_in_order(tmp_path, monkeypatch, capsys):
    make_dataset(tmp_path / "demo" / "dataset", subjects=4, sessions=1, runs=1, frames=60)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENTENSE_CACHE", str(tmp_path / "cache"))  # docs/fetch.md sets it, too
    for page in PAGES:
        scope = {}
        for block in blocks(page):
            exec(compile(block, str(page), "exec"), scope)
    assert "STAGES" in capsys.readouterr().out
    assert (tmp_path / "out" / "entense.json").is_file()


def test_the_readme_has_a_block_and_every_link_leads_somewhere():
    assert blocks(ROOT / "README.md")
    for page in PAGES:
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\((?!http)([^)#]+)", prose):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"
