"""Servers, networks and disks that fail while files are fetched."""

import importlib
import resource
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import polars as pl
import pytest
from serving import held
from spoil import said
from test_bad_places import small_disk

import entense as et
from entense.archive.write import write
from entense.errors import ArchiveError, RecordError
from entense.files import head, local, version_of
from entense.index.fetch import forget, retry
from entense.index.fetch.cache import Cache


@pytest.fixture
def url(site):
    (site.root / "a.nii.gz").write_bytes(b"abcdefgh" * 50_000)
    return f"{site.url}/a.nii.gz"


def fetched(url):
    with local(url) as place:
        return place.read_bytes()


def test_a_server_that_drops_every_third_request_loses_nothing(site, kept):
    names = [f"{number:02}.nii" for number in range(40)]
    for name in names:
        (site.root / name).write_bytes(name.encode() * 40_000)
    site.drop = 3
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: fetched(f"{site.url}/{name}"), names))
    assert found == [name.encode() * 40_000 for name in names]
    assert site.cut > 20
    assert {path.stat().st_size for path in held(kept)} == {6 * 40_000}


def test_a_server_that_cuts_a_reply_of_unknown_length_in_chunks(site, kept, url, monkeypatch):
    """A half that announces nothing cannot be told from a whole, unless a checksum says so."""
    site.sized = False
    site.headers = lambda path: {"Digest": "md5=1B2M2Y8AsgTpgAmY7PhCfg=="}  # of nothing
    with pytest.raises(RecordError) as raised:
        fetched(url)
    said(raised, url, "its md5 is not the one that the server announced", "ask who keeps it")


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_is_busy_is_asked_ten_times(site, kept, url, status, monkeypatch):
    paused, pauses = [], [n + 0.25 for n in range(9)]
    monkeypatch.setattr(retry.time, "sleep", paused.append)
    monkeypatch.setattr(retry, "PAUSES", pauses)
    version_of(url)
    site.status["/a.nii.gz"] = status
    with pytest.raises(RecordError) as raised:
        fetched(url)
    said(raised, url, f"HTTP {status}", "run again when the network is well")
    assert site.count("GET") == 10
    assert [pause for pause in paused if pause in pauses] == pauses  # the server sleeps, too
    assert held(kept) == []


def test_a_server_that_recovers_at_the_last_try(site, kept, url):
    version_of(url)
    site.fails["/a.nii.gz"] = 9
    assert fetched(url) == b"abcdefgh" * 50_000
    assert site.count("GET") == 10


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (403, "give the credentials with et.register_storage"),
        (401, "give the credentials with et.register_storage"),
        (404, "check the URL (was it moved? see et.relocate)"),
        (410, "check the URL (was it moved? see et.relocate)"),
    ],
)
def test_what_will_not_pass_is_asked_once(site, kept, url, status, remedy):
    site.status["/a.nii.gz"] = status
    for _ in range(3):  # and not once a record
        with pytest.raises(RecordError) as raised:
            fetched(url)
        said(raised, url, f"HTTP {status}", remedy)
        with pytest.raises(RecordError):
            head(url, 10)
        assert version_of(url) is None
    assert site.count() == 2  # HEAD, then GET in case the server knows no HEAD
    del site.status["/a.nii.gz"]
    forget()
    assert fetched(url) == b"abcdefgh" * 50_000


def test_a_server_that_never_answers(kept, monkeypatch):
    """It accepts the connection, and that is all."""
    from entense.index.fetch import register_storage

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        import aiohttp

        timeout = aiohttp.ClientTimeout(sock_read=0.1)
        register_storage(address, {"client_kwargs": {"timeout": timeout}})
        with pytest.raises(RecordError) as raised:
            fetched(f"{address}/a.nii")
    said(raised, f"{address}/a.nii", "the server does not answer in time", "run again")


def test_a_server_that_is_gone(kept):
    with socket.create_server(("127.0.0.1", 0)) as once:
        address = f"http://127.0.0.1:{once.getsockname()[1]}"
    with pytest.raises(RecordError) as raised:
        fetched(f"{address}/a.nii")
    said(raised, f"{address}/a.nii", "cannot be fetched", "run again when the network is well")


def test_more_than_was_announced_is_not_written(site, kept, url, monkeypatch):
    """The file grew between the question and the reply."""
    version_of(url)
    (site.root / "a.nii.gz").write_bytes(b"x" * 3_000_000)
    most = []
    whole = Cache._fill

    def fill(self, fd, size, fill):
        def watched(part):
            write = part.write
            part.write = lambda data: (most.append(len(data)), write(data))
            fill(part)

        whole(self, fd, size, watched)

    monkeypatch.setattr(Cache, "_fill", fill)
    with pytest.raises(RecordError) as raised:
        fetched(url)
    said(raised, url, "it has more than the 400,000 bytes that it may have", "changed meanwhile")
    assert sum(most) <= 10 * 400_000
    assert held(kept) == []


def test_less_than_was_announced(site, kept, url):
    version_of(url)
    (site.root / "a.nii.gz").write_bytes(b"x" * 1000)
    with pytest.raises(RecordError) as raised:
        fetched(url)
    said(raised, url, "1,000 of 400,000 bytes arrived", "changed meanwhile")


def test_an_endless_reply_of_unknown_length_ends_at_the_size_of_the_cache(
    site, kept, url, monkeypatch
):
    monkeypatch.setenv("ENTENSE_CACHE_SIZE", "100kB")
    site.sized = False
    with pytest.raises(RecordError) as raised:
        fetched(url)
    said(raised, url, "it has more than the 100,000 bytes that it may have")
    assert held(kept) == []


def test_a_protocol_whose_package_is_missing(kept, monkeypatch):
    registry = importlib.import_module("fsspec.registry")
    monkeypatch.setitem(
        registry.known_implementations,
        "gs",
        {"class": "no_such_package.Store", "err": "Please install no_such_package"},
    )
    monkeypatch.delitem(registry._registry, "gs", raising=False)
    with pytest.raises(RecordError) as raised:
        fetched("gs://bucket/a.nii")
    said(raised, "gs://bucket/a.nii", "no_such_package", "pip install 'entense[http,s3,gcs]'")


def test_options_that_are_wrong(site, kept, url):
    from entense.index.fetch import register_storage

    register_storage(site.url, {"client_kwargs": {"no_such_option": 1}})
    with pytest.raises(RecordError) as raised:
        fetched(url)
    said(raised, url, "no_such_option", "options given with et.register_storage")


def test_a_full_disk(site, tmp_path, kept, monkeypatch):
    for name in "abc":
        (site.root / f"{name}.nii").write_bytes(name.encode() * 300_000)
    with small_disk(tmp_path / "small", "400k") as disk:
        monkeypatch.setenv("ENTENSE_CACHE", str(disk / "cache"))
        for name in "abca":  # room is made, though the bound is far
            assert fetched(f"{site.url}/{name}.nii") == name.encode() * 300_000
        with local(f"{site.url}/a.nii"), pytest.raises(RecordError) as raised:
            fetched(f"{site.url}/b.nii")
        said(
            raised,
            f"the disk of the cache folder {disk / 'cache'} is full; free some space",
            "set ENTENSE_CACHE to a folder on another disk",
        )
        assert [path.name for path in held(disk / "cache") if path.suffix == ".part"] == []
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        assert fetched(f"{site.url}/b.nii") == b"b" * 300_000


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_may_not_grow(site, kept, url):
    """What stands in for a full disk where none can be mounted."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        with pytest.raises(RecordError) as raised:
            fetched(url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said(raised, str(kept), "cannot be used (File too large)", "set ENTENSE_CACHE")
    assert held(kept) == []
    assert fetched(url) == b"abcdefgh" * 50_000


def test_a_cache_folder_that_goes_away_while_a_file_is_held(site, kept, url):
    import shutil

    with local(url) as place:
        shutil.rmtree(kept)
        assert not place.exists()
    assert fetched(url) == b"abcdefgh" * 50_000


def test_an_interrupt_while_fetching_leaves_nothing(site, kept, url, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("entense.index.fetch.cache.Part.finish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetched(url)
    assert held(kept) == []
    assert fetched(url) == b"abcdefgh" * 50_000


def test_who_waits_for_a_fetch_that_fails_tries_for_itself(site, kept, url):
    version_of(url)
    site.delay = 0.05
    site.fails["/a.nii.gz"] = 12  # ten of the first who asks, two of the second
    outcomes = []
    started = time.monotonic()

    def read():
        try:
            outcomes.append(len(fetched(url)))
        except RecordError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert time.monotonic() - started < 30
    assert sorted(map(str, outcomes))[:2] == ["400000", "400000"]
    assert "HTTP 503" in next(one for one in outcomes if one != 400_000)
    assert site.count("GET") == 13


def test_a_server_that_goes_away_meanwhile_is_no_error_of_its_records(
    tmp_path, monkeypatch, site, kept
):
    """A receipt would keep that, too; what the server said of the file is remembered."""
    for name in "ab":
        image = nib.Nifti1Image(np.ones((3, 3, 3, 5), "f4"), np.eye(4))
        nib.save(image, site.root / f"{name}.nii.gz")
    urls = [f"{site.url}/{name}.nii.gz" for name in "ab"]
    table = pl.DataFrame({"record": ["a", "b"], "bold": urls})
    records = et.transform(table, tsnr=et.volume("bold").tsnr())
    with monkeypatch.context() as patch:

        def away(*_):
            site.status = dict.fromkeys(["/a.nii.gz", "/b.nii.gz"], 503)
            raise TimeoutError

        patch.setattr("entense.index.fetch.remote._copy", away)
        with pytest.raises(ArchiveError, match=r"nii.gz: is not to be seen any more"):
            write(records, tmp_path / "out", on_error="skip")
    site.status.clear()
    assert write(records, tmp_path / "out", on_error="skip").manifest.failures == 0
