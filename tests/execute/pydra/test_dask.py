"""A Dask cluster of our own is nobody else's."""

import re
from pathlib import Path

import pytest
from distributed import Client, Security
from tasking import has_started, processes_of

OURS = re.compile(r"t[a-z]+://127\.0\.0\.1:\d+")


@pytest.fixture
def worker():
    return "dask"


@pytest.mark.parametrize("other", [None, Security.temporary()], ids=["plain", "other keys"])
def test_who_has_not_its_key_is_kept_out(make, run, tmp_path, other):
    task, met = make("wait", "wait"), []

    def poll():
        if not has_started(task):
            return
        for process in processes_of(tmp_path / "cache"):
            line = Path(f"/proc/{process}/cmdline").read_text()
            if found := OURS.search(line):
                address = found[0] if other else found[0].replace("tls", "tcp")
                try:
                    Client(address, security=other, timeout=3).close()
                    met.append("let in")
                except OSError as error:
                    met.append(type(error))
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run([task], poll=poll)
    assert met
    assert "let in" not in met
