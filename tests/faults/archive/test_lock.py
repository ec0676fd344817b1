"""Two writers, one folder."""

import errno
import fcntl
import signal
import subprocess
import sys

import pytest

from entense.archive.locks import locked
from entense.archive.write import write
from entense.errors import ArchiveError

HOLDER = """
import sys, time
from pathlib import Path
from entense.archive.locks import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(120)
"""


def test_a_second_writer_is_refused_and_a_killed_one_lets_go(records, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", HOLDER, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "locked\n"
            with pytest.raises(ArchiveError, match=r"another process is writing into .*out"):
                write(records, out)
        finally:
            holder.send_signal(signal.SIGKILL)
    assert write(records, out).verify().records == 9


def test_where_locks_are_not_to_be_had_writing_goes_on(records, tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", none)
    with locked(tmp_path / "out"), locked(tmp_path / "out"):
        pass
    assert write(records, tmp_path / "out").verify().records == 9
