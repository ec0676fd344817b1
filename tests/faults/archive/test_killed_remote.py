"""A writer to an object store that is killed: the next one ends in the same archive."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from buckets import bucket, server  # noqa: F401  fixtures

import entense as et
from entense.archive.write import write
from entense.errors import ArchiveError

WRITER = Path(__file__).with_name("remote_writer.py")
OPTIONS = {"columns": ["age", "sex"], "shard_size": "9kB"}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of moto


@pytest.mark.slow
def test_a_rerun_after_a_kill_ends_in_the_same_bytes(records, tmp_path, bucket):  # noqa: F811
    records.write_parquet(plan := tmp_path / "plan.parquet")
    env = os.environ | bucket.server.environment

    def start(url, number):
        command = [sys.executable, WRITER, plan, url, str(number)]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=120, env=env
        )

    moments = int(start(bucket.url, 0).stdout.split()[-1])
    due = bucket.contents()
    assert moments > 20
    for number in np.linspace(2, moments, 5).astype(int):
        for name in bucket.contents():
            bucket.delete(name)
        assert start(bucket.url, number).returncode == -signal.SIGKILL
        if "entense.json" in bucket.contents():
            assert et.open(**bucket.to).verify().records == 9
        else:
            with pytest.raises(ArchiveError, match=r"unfinished|no archive"):
                et.open(**bucket.to)
        write(records, **bucket.to, **OPTIONS)
        assert bucket.contents() == due
