"""A writer that is killed: the next one ends in the same archive, and nobody reads a part."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lying import files

from entense.archive import open_archive
from entense.archive.write import write
from entense.errors import ArchiveError

WRITER = Path(__file__).with_name("writer.py")
OPTIONS = {"columns": ["age", "sex"], "shard_size": "9kB"}


def start(table, out, *fault):
    command = [sys.executable, WRITER, table, out, *map(str, fault)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


@pytest.fixture
def saved(records, tmp_path):
    path = tmp_path / "plan.parquet"
    records.write_parquet(path)
    return path


def test_a_rerun_after_a_kill_ends_in_the_same_bytes(saved, records, tmp_path):
    calls = int(start(saved, tmp_path / "whole").stdout.split()[-1])
    due = files(tmp_path / "whole")
    assert calls > 50
    for number in np.linspace(1, calls, 5).astype(int):  # `slow_kills` has hundreds
        out = tmp_path / f"killed-{number}"
        assert start(saved, out, "kill", number).returncode == -signal.SIGKILL
        if (out / "entense.json").exists():  # the last call syncs a folder that is whole
            assert open_archive(out).verify().records == 9
        else:
            with pytest.raises(ArchiveError, match=r"unfinished|no archive"):
                open_archive(out)
        write(records, out, **OPTIONS)
        assert files(out) == due


def test_killed_again_and_again_and_with_an_input_replaced(saved, records, tmp_path):
    out = tmp_path / "out"
    for number in (30, 12, 25):
        assert start(saved, out, "kill", number).returncode == -signal.SIGKILL
    np.save(tmp_path / "inputs" / "clean-0.npy", np.ones((12, 20), "f4"))
    assert start(saved, out, "kill", 20).returncode == -signal.SIGKILL
    write(records, out, **OPTIONS)
    write(records, tmp_path / "fresh", **OPTIONS)
    assert files(out) == files(tmp_path / "fresh")


def test_a_file_size_limit_is_an_error_in_words_and_a_rerun_resumes(saved, records, tmp_path):
    out = tmp_path / "out"
    done = start(saved, out, "limit", 5000)
    assert done.returncode == 1
    assert "cannot be written (File too large)" in done.stderr
    assert "ArchiveError" in done.stderr
    assert not list(out.rglob("*.tar*"))
    write(records, out, **OPTIONS)
    write(records, tmp_path / "fresh", **OPTIONS)
    assert files(out) == files(tmp_path / "fresh")
