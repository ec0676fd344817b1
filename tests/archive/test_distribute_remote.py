"""Archives in an object store that other processes write."""

from pathlib import Path

import pytest
from buckets import KEY, SECRET, bucket, server  # noqa: F401  fixtures
from lying import files
from tripping import Trips
from trips import KILLS, RAISES

import entense as et
from entense.archive.failures import FailedRecordsError
from entense.archive.manifest import sealed, unsealed
from entense.errors import ArchiveError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of moto


@pytest.fixture
def plan():
    """The real plan, which the other tests here do without."""


@pytest.fixture(autouse=True)
def environment(bucket, monkeypatch):  # noqa: F811
    """What the workers know of the store."""
    for name, value in bucket.server.environment.items():
        monkeypatch.setenv(name, value)


def plain(found):
    """Return files with what a store said left out of the receipts."""
    return {
        name: sealed({k: v for k, v in unsealed(one, dict).items() if k != "said"})
        if "receipts" in name
        else one
        for name, one in found.items()
        if not name.endswith("/lock")
    }


@pytest.mark.parametrize("worker", ["process", "dask"])
def test_the_files_are_those_of_a_serial_write(bucket, tmp_path, worker):  # noqa: F811
    trips = Trips(tmp_path, worker)
    due = trips.serial()
    scratch = {} if worker == "process" else {"scratch": tmp_path / "scratch"}
    archive = et.write(trips.table, bucket.url, **trips.asked, **scratch)
    assert plain(bucket.contents()) == plain(due)
    assert set(bucket.versions().values()) == {1}
    assert archive.verify().records == 6
    assert not [*(tmp_path / "scratch").glob("*")]


@pytest.mark.slow
def test_a_record_that_kills_its_worker_is_named_and_a_rerun_goes_on(bucket, tmp_path):  # noqa: F811
    trips = Trips(tmp_path, "process", {1: KILLS}, 4)
    due = trips.serial()
    asked = trips.asked | {"scratch": tmp_path / "scratch"}
    with pytest.raises(FailedRecordsError, match="kills every process"):
        et.write(trips.table, bucket.url, **asked)
    before = bucket.versions()
    trips.open()
    et.write(trips.table, bucket.url, **asked)
    assert plain(bucket.contents()) == plain(due)
    shards = [name for name in before if name.endswith(".tar")]
    assert len(shards) == 3
    assert {name: bucket.versions()[name] for name in shards} == dict.fromkeys(shards, 1)


def test_no_secret_is_in_the_files_of_tasks(bucket, tmp_path, monkeypatch):  # noqa: F811
    trips = Trips(tmp_path, "process", {2: RAISES})
    et.register_storage(f"s3://{bucket.name}", bucket.server.options)
    said = et.dry_run(trips.table, bucket.url, **trips.asked)
    tasks = files(Path(said.rpartition("the files of the tasks are in ")[2].strip()))
    assert len([name for name in tasks if name.endswith(".json")]) == 3
    for secret in (KEY, SECRET):
        assert not [name for name, one in tasks.items() if secret.encode() in one]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"storage_options": {"key": "se-cret"}}, "storage_options= hold secrets.* modules="),
        ({"worker": "slurm"}, "workers on other machines .*give such a folder as scratch="),
    ],
)
def test_what_other_processes_could_not_have_is_refused(bucket, tmp_path, options, words):  # noqa: F811
    trips = Trips(tmp_path, "process", count=2)
    asked = trips.asked | options
    if "storage_options" in options:
        asked["storage_options"] = bucket.server.options
    with pytest.raises(ArchiveError, match=words):
        et.write(trips.table, bucket.url, **asked)
    assert not [name for name in bucket.contents() if name.endswith(".tar")]
