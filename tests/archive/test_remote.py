"""An archive on a web server and in an object store: the same arrays, and no byte too many."""

import pickle
import shutil
from dataclasses import replace

import npy_tables
import numpy as np
import pytest
from buckets import server  # noqa: F401  fixture
from serving import kept, site  # noqa: F401  fixtures

import entense as et
from entense.archive import blocks, checksum, store
from entense.archive.manifest import sealed, unsealed
from entense.archive.store import Remote, place_of
from entense.archive.write import write
from entense.cli import main
from entense.errors import ArchiveError
from entense.index.fetch import register_storage

FRAMES, WIDTH, STEP = 40, 20 * 4, 5  # frames of a record, bytes of a frame, frames of a block
SHARD = "/out/train/train-000000.tar"


@pytest.fixture
def here(tmp_path, monkeypatch, site, kept):  # noqa: F811
    """An archive of small blocks, written into what the server gives."""
    monkeypatch.setattr(checksum, "BLOCK_BYTES", STEP * WIDTH)
    rng = np.random.default_rng(0)
    arrays = {
        "clean": [rng.normal(size=(FRAMES, 20)).astype("f4") for _ in range(6)],
        "fc": [rng.normal(size=(4, 4)).astype("f4") for _ in range(6)],
    }
    table = npy_tables.table(tmp_path / "in", arrays, age=range(6), split=["train"] * 6)
    return write(table, site.root / "out", columns=["age"], shard_size=20_000)


@pytest.fixture
def there(here, site):  # noqa: F811
    return et.open(f"{site.url}/out")


def replace_manifest(folder, change):
    """Write the manifest anew, as changed and sealed."""
    body = unsealed((folder / "entense.json").read_bytes(), dict)
    change(body)
    (folder / "entense.json").write_bytes(sealed(body))


def alike(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_records_batches_and_images_are_those_of_the_folder(here, there):
    assert there.records.equals(here.records)
    for row in range(6):
        alike(there[row], here[row])
    options = {"batch_size": 4, "window": 7, "windows_per_record": 3, "seed": 1}
    for ours, theirs in zip(here.loader(**options), there.loader(**options), strict=True):
        alike(ours, theirs)
    image, same = (one.unmask(here[0]["clean"], "clean") for one in (here, there))
    np.testing.assert_array_equal(image.get_fdata(), same.get_fdata())
    assert there.verify() == here.verify()


def test_opening_reads_the_manifest_and_the_table_and_no_shard(there, site):  # noqa: F811
    assert [path for _, path in site.requests] == ["/out/entense.json", "/out/records.parquet"]


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (3, 12), (35, 40), (0, 40)])
def test_a_window_is_one_request_for_the_blocks_that_hold_it(there, site, start, stop):  # noqa: F811
    before, out = len(site.requests), np.empty((stop - start, 20), "f4")
    there.read_rows(0, "clean", start, stop, out)
    assert site.requests[before:] == [("GET", SHARD)]
    assert site.sent[SHARD] == (-(-stop // STEP) - start // STEP) * STEP * WIDTH


def test_what_is_large_comes_in_pieces(there, here, site, monkeypatch):  # noqa: F811
    monkeypatch.setattr(blocks, "PIECE", 700)
    before, out = len(site.requests), np.empty((20, 20), "f4")
    there.read_rows(0, "clean", 7, 27, out)
    np.testing.assert_array_equal(out, here[0]["clean"][7:27])
    assert len(site.requests) - before == -(-25 * WIDTH // 700)


def test_the_mask_is_fetched_once(there, site):  # noqa: F811
    for _ in range(3):
        there.unmask(np.zeros(20), "clean")
    assert sum(path.startswith("/out/masks/") for _, path in site.requests) == 1


def test_verify_reads_every_byte_once_in_bounded_chunks(there, here, site, monkeypatch):  # noqa: F811
    monkeypatch.setattr(store, "CHUNK", 4096)
    site.sent.clear()
    assert there.verify().bytes == sum(site.sent.values())
    spans = [one["Range"].removeprefix("bytes=").split("-") for one in site.seen[2:]]
    assert {int(last) - int(first) + 1 for first, last in spans} == {4096}


def test_connections_that_drop_and_servers_that_falter(here, site):  # noqa: F811
    site.drop = 3
    site.fails[SHARD] = 2
    there = et.open(f"{site.url}/out")
    for row in range(6):
        alike(there[row], here[row])
    assert there.verify().records == 6
    assert site.cut > 5


def test_a_server_that_stays_broken_is_named(there, site):  # noqa: F811
    site.status[SHARD] = 503
    with pytest.raises(ArchiveError, match=r"/out/train/train-000000.tar: cannot .*HTTP 503"):
        there[0]
    site.status["/out/entense.json"] = 403
    with pytest.raises(ArchiveError, match=r"HTTP 403.*; give the credentials"):
        et.open(f"{site.url}/out")


def test_what_is_missing(there, here, site):  # noqa: F811
    (site.root / SHARD[1:]).unlink()
    with pytest.raises(ArchiveError, match=r"train-000000.tar cannot be opened \(No such file"):
        there[0]
    with pytest.raises(ArchiveError, match=r"train-000000.tar is missing; records"):
        there.verify()
    with pytest.raises(ArchiveError, match=r"there is no archive at http://.*/none; write one"):
        et.open(f"{site.url}/none")
    (site.root / "out/entense.json").unlink()
    with pytest.raises(ArchiveError, match=r"http://.*/out is unfinished"):
        et.open(f"{site.url}/out")


def test_a_shard_that_is_cut_or_replaced_behind_our_back(there, here, site):  # noqa: F811
    shard = site.root / SHARD[1:]
    shard.write_bytes(shard.read_bytes()[:1000])
    for start in (0, 30):  # partly there, and beyond the end
        with pytest.raises(ArchiveError, match="is cut short where record ds_sub-00 lies"):
            there.read_rows(0, "clean", start, start + 5, np.empty((5, 20), "f4"))
    shutil.copy(site.root / "out/train/train-000001.tar", shard)
    with pytest.raises(ArchiveError, match="is damaged where record ds_sub-00 lies"):
        there[0]
    with pytest.raises(ArchiveError, match=r"has changed bytes|bytes were written"):
        there.verify()
    (site.root / "out/records.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArchiveError, match=r"records.parquet is missing, cut or damaged"):
        et.open(f"{site.url}/out")


@pytest.mark.parametrize("read", [lambda a: a[0], lambda a: list(a.loader(batch_size=2))])
def test_what_is_large_is_looked_for_before_memory_is_taken(there, site, monkeypatch, read):  # noqa: F811
    monkeypatch.setattr(blocks, "PIECE", FRAMES * WIDTH // 2)
    shard = site.root / SHARD[1:]
    read(there)
    before = len(site.requests)
    read(there)
    assert not [one for one in site.seen[before:] if is_of_one_byte(one)]  # it was there
    shard.write_bytes(shard.read_bytes()[:1000])
    again, before = et.open(f"{site.url}/out"), len(site.requests)
    with pytest.raises(ArchiveError, match="is cut short where record ds_sub-00 lies"):
        read(again)
    asked = site.seen[before:]
    assert asked
    assert all(map(is_of_one_byte, asked))


def is_of_one_byte(headers):
    first, _, last = headers["Range"].removeprefix("bytes=").partition("-")
    return first == last


def test_a_mask_that_changed(there, site):  # noqa: F811
    (mask,) = (site.root / "out/masks").iterdir()
    mask.write_bytes(mask.read_bytes()[:-1])
    with pytest.raises(ArchiveError, match=f"{mask.name} is missing, cut or damaged"):
        there.unmask(np.zeros(20), "clean")


def test_a_server_that_ignores_ranges(here, site):  # noqa: F811
    site.ranges = False
    there = et.open(f"{site.url}/out")
    with pytest.raises(ArchiveError, match=r"train-000000.tar: the server gives whole files only"):
        there[0]


def test_a_server_that_gives_other_bytes_than_asked_for(there, site):  # noqa: F811
    site.headers = lambda path: {"Content-Range": "bytes 7-99/100"}
    with pytest.raises(ArchiveError, match="other bytes came than were asked for"):
        there[0]


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "https://else.where/x", "train/../../secret", "a\\b"]
)
def test_a_hostile_manifest_reaches_nothing_outside(here, site, path):  # noqa: F811
    (site.root / "secret").write_bytes(b"secret")
    replace_manifest(site.root / "out", lambda body: body["shards"][0].update(path=path))
    with pytest.raises(ArchiveError):
        et.open(f"{site.url}/out")[0]
    asked = [path for _, path in site.requests]
    assert all(one.startswith("/out/") for one in asked)


@pytest.mark.parametrize("path", ["%2e%2e/secret", "x?y=%2F", "a#b", "..;/secret"])
def test_names_are_never_read_as_more_than_names(here, site, path):  # noqa: F811
    (site.root / "secret").write_bytes(b"secret")
    replace_manifest(site.root / "out", lambda body: body["shards"][0].update(path=path))
    with pytest.raises(ArchiveError, match="cannot be opened"):
        et.open(f"{site.url}/out")[0]
    assert site.sent["/secret"] == 0


def test_secrets_are_in_no_message(here, site):  # noqa: F811
    host = site.url.removeprefix("http://")
    url = f"http://me:pass-word@{host}/out?token=to-ken"
    options = {"headers": {"X-Key": "se-cret"}}
    there = et.open(url, storage_options=options)
    alike(there[0], here[0])
    assert {one["X-Key"] for one in site.seen} == {"se-cret"}
    site.status[SHARD] = 500
    said = [repr(there), *(f(there.folder) for f in (str, repr))]
    said += [repr(there.stored.lying(0, "clean"))]
    for action in (
        lambda: there[0],
        there.verify,
        lambda: et.open("http://a:pass-word@localhost:9"),
    ):
        with pytest.raises(ArchiveError) as raised:
            action()
        said.append(str(raised.value))
        assert raised.value.__suppress_context__
    assert not [
        text for text in said for secret in ("se-cret", "pass-", "to-ken") if secret in text
    ]


def test_what_needs_a_folder_says_so(there, tmp_path):
    with pytest.raises(
        ArchiveError, match=r"http://.*/out: this needs the archive on this machine"
    ):
        _ = there.local
    assert et.open(f"file://{tmp_path}/site/out").local == tmp_path / "site" / "out"


def test_a_file_url_is_read_as_one(here, tmp_path):
    (tmp_path / "my out").symlink_to(here.folder)
    assert et.open(f"file://{tmp_path}/my%20out").local == tmp_path / "my out"


class TestServersThatKeepSending:
    @pytest.fixture(autouse=True)
    def endless(self, monkeypatch):
        monkeypatch.setattr(store, "CHUNK", 1000)

        def read(_, start, stop):
            assert stop < 100_000
            return bytes(stop - start)

        monkeypatch.setattr(Remote, "read", read)

    def test_a_manifest(self, monkeypatch):
        monkeypatch.setattr(store, "LONGEST", 4000)
        with pytest.raises(ArchiveError, match=r"x/entense.json is longer than any that write mak"):
            et.open("http://x")

    def test_a_checksum(self, here):
        endless = replace(here, folder=Remote("http://x"))
        with pytest.raises(ArchiveError, match=r"has more than the \d+ bytes that were written"):
            endless.verify()


@pytest.mark.parametrize("url", ["ftp://host/out", "memory://out", "zip://out::file:///a.zip"])
def test_protocols_that_are_not_read(url):
    with pytest.raises(ArchiveError, match="archives are read from a folder, or by http, https"):
        place_of(url, None)


def test_an_open_archive_goes_to_another_process(there, here):
    alike(pickle.loads(pickle.dumps(there))[2], here[2])


def test_the_command_line(there, here, site, capsys):  # noqa: F811
    assert main(["verify", f"{site.url}/out"]) == 0
    assert main(["info", f"{site.url}/out"]) == 0
    assert "6 records (train 6)" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of moto
def test_s3(here, server):  # noqa: F811
    import fsspec

    s3 = server.options
    bucket = fsspec.filesystem("s3", **s3)
    bucket.mkdir("archives")
    bucket.put(str(here.folder), "archives/out", recursive=True)
    there = et.open("s3://archives/out", storage_options=s3)
    for row in range(6):
        alike(there[row], here[row])
    assert there.verify() == here.verify()
    shard = here.manifest.shards[0].path
    bucket.pipe_file(f"archives/out/{shard}", (here.folder / shard).read_bytes()[:1000])
    for start in (0, 30):
        with pytest.raises(ArchiveError, match="is cut short where record ds_sub-00 lies"):
            there.read_rows(0, "clean", start, start + 5, np.empty((5, 20), "f4"))
    with pytest.raises(ArchiveError, match=r"train::file:///etc/passwd', which no archive does"):
        there.folder / "train::file:///etc/passwd"
    bucket.rm(f"archives/out/{shard}")
    with pytest.raises(ArchiveError, match="cannot be opened"):
        there[0]
    register_storage("s3://archives", s3)
    alike(et.open("s3://archives/out")[5], here[5])
    with pytest.raises(ArchiveError, match="there is no archive at s3://archives/none"):
        et.open("s3://archives/none")


def test_going_down_keeps_the_query():
    down = Remote("https://host/out/?token=1") / "train/a.tar"
    assert (down.url, str(down)) == (
        "https://host/out/train/a.tar?token=1",
        "https://host/out/train/a.tar",
    )
