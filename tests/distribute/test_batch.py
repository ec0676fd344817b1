"""A worker computes what was planned, or nothing."""

import os
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest
from tripping import Trips

import entense as et
from entense.distribute.batch import write_batch
from entense.errors import ArchiveError


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_a_slice_or_a_page_that_is_another_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trips = Trips(tmp_path, "process", count=2)
    room = Path(et.dry_run(trips.table, trips.out, **trips.asked).rpartition(" ")[2])
    job, table = room / "000000.json", room / "000000.parquet"
    digest = sha256(job.read_bytes() + table.read_bytes()).hexdigest()
    with pytest.raises(ArchiveError, match="is not there for a worker"):  # which is looked for next
        write_batch(str(job), digest)
    path = job.with_suffix(f".{kind}")
    path.write_bytes(path.read_bytes().replace(b"subject", b"sabject") + b" ")
    with pytest.raises(ArchiveError, match=r"000000\.json: .* not what was planned.*write again"):
        write_batch(str(job), digest)


def test_a_record_is_noted_in_any_locale(tmp_path):
    """The driver reads what a worker wrote, which may have another."""
    (tmp_path / "000000.at").write_text("sub-é", "utf-8")
    script = (
        "import sys; from pathlib import Path; from entense.distribute.batch import at; "
        "print(ascii(at(Path(sys.argv[1]))))"
    )
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    said = subprocess.check_output(
        [sys.executable, "-c", script, tmp_path / "000000.json"],
        env={**os.environ, **plain},
        text=True,
    )
    assert said.strip() == r"'sub-\xe9'"
