"""Files of stores: HTTP on loopback, memory, archives, S3."""

import gzip
import hashlib
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest
from serving import held

from entense.archive.inputs import Inputs
from entense.errors import RecordError
from entense.files import MISSING, head, local, opening, version_of
from entense.index.fetch import forget, register_storage
from entense.plan.bind import Bound
from entense.plan.rows import Row

DATA = gzip.compress(bytes(range(256)) * 400, mtime=0) + b"\0" * 50_000


def said(path):
    """Return what a receipt says of a file."""
    return Inputs([Row(Bound((), (path,), ("file",)))], {path: version_of(path) or MISSING}).said(
        0
    )["file"]


@pytest.fixture
def url(site):
    """A file on the server."""
    (site.root / "a.nii.gz").write_bytes(DATA)
    return f"{site.url}/a.nii.gz"


def test_a_file_is_fetched_once_and_kept(site, kept, url):
    for _ in range(3):
        with local(url) as place:
            assert place.read_bytes() == DATA
            assert place.name.endswith(".nii.gz")
            assert place.parent == kept
    assert site.count("GET") == 1
    assert site.count("HEAD") == 1
    assert [path.stat().st_size for path in held(kept)] == [len(DATA)]
    assert kept.stat().st_mode & 0o777 == 0o700


def test_a_plain_path_is_given_as_it_is(tmp_path, kept):
    (tmp_path / "a.txt").write_text("here")
    for path in (tmp_path / "a.txt", str(tmp_path / "a.txt"), tmp_path / "none"):
        with local(path) as place:
            assert str(place) == str(path)
    with local(f"file://{tmp_path}/a.txt") as place:
        assert place == tmp_path / "a.txt"
    assert version_of(f"file://{tmp_path}/a.txt") == version_of(tmp_path / "a.txt")
    assert not kept.exists()


def test_eight_threads_fetch_a_file_once(site, kept, url):
    site.delay = 0.05
    gate = threading.Barrier(8)

    def read(_):
        gate.wait()
        with local(url) as place:
            return hashlib.sha256(place.read_bytes()).digest()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(8))) == {hashlib.sha256(DATA).digest()}
    assert site.count("GET") == 1


def test_a_file_that_changed_is_fetched_anew(site, kept, url):
    with local(url) as place:
        first = place
    (site.root / "a.nii.gz").write_bytes(DATA + b"more")
    site.headers = lambda path: {"ETag": '"2"'}
    with local(url) as place:
        assert place == first  # a survey asks once
    before = version_of(url)
    forget()
    assert version_of(url) == (len(DATA) + 4, '"2"') != before
    with local(url) as place:
        assert place.read_bytes() == DATA + b"more"


def test_a_version_is_asked_once_and_is_an_input_of_an_archive(site, kept, url):
    site.headers = lambda path: {"ETag": '"0a"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    assert {version_of(url) for _ in range(5)} == {(len(DATA), '"0a"')}
    assert said(url) == ["a.nii.gz", len(DATA), '"0a"']
    assert site.count() == 1
    assert version_of(f"{site.url}/none") is None
    assert said(f"{site.url}/none") == ["none", None, None]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_head_does_not_fetch_the_rest(site, kept, url, ranges):
    site.ranges = ranges
    (site.root / "a.nii.gz").write_bytes(DATA * 40)
    assert head(url, 400) == DATA[:400]
    assert held(kept) == []
    if ranges:
        assert site.sent["/a.nii.gz"] == 400
    with local(url):
        pass
    asked = site.count()
    assert head(url, 400) == DATA[:400]
    assert len(head(url, 10**9)) == len(DATA) * 40
    assert site.count() == asked


def test_a_head_of_a_file_here(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert head(tmp_path / "a", 2) == b"ab"
    assert head(tmp_path / "a", 9) == b"abc"
    with pytest.raises(RecordError, match="there is no such file"):
        head(tmp_path / "b", 2)


def test_what_a_server_labels_as_packed_arrives_as_it_is(site, kept, url):
    site.headers = lambda path: {"Content-Encoding": "gzip"}  # as Apache does with .gz
    with local(url) as place:
        assert place.read_bytes() == DATA
    assert all(asked["Accept-Encoding"] == "identity" for asked in site.seen)


def test_a_size_that_nobody_says(site, kept, url):
    site.sized = False
    with local(url) as place:
        assert place.read_bytes() == DATA
    with local(url) as place:
        assert place.read_bytes() == DATA


def test_headers_that_were_given_are_sent_and_no_further(site, kept, url):
    register_storage(site.url, {"headers": {"Authorization": "Bearer 1"}})
    with local(url):
        pass
    head(f"{url}?again", 3)
    assert {asked.get("Authorization") for asked in site.seen} == {"Bearer 1"}
    assert {asked["Accept-Encoding"] for asked in site.seen} == {"identity"}


def test_an_empty_file_and_a_name_that_tells_nothing(site, kept):
    (site.root / "empty.tsv").touch()
    (site.root / "name").write_bytes(b"x")
    empty = f"{site.url}/empty.tsv"
    with pytest.raises(RecordError, match=r"empty\.tsv: the file is empty"), opening(empty):
        pass
    assert head(f"{site.url}/empty.tsv", 4) == b""
    with opening(f"{site.url}/name") as place:
        assert place.suffix == ""


def test_an_error_of_a_reader_names_the_url(site, kept, url):
    with pytest.raises(RecordError) as raised, opening(url) as place:
        raise OSError(f"{place} is odd")
    assert str(raised.value).startswith(f"{url}: cannot be read ({url} is odd)")


def test_memory(kept):
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/store/a.nii", b"one")
    assert version_of("memory://store/a.nii")[0] == 3
    assert head("memory://store/a.nii", 2) == b"on"
    with local("memory://store/a.nii") as place:
        assert place.read_bytes() == b"one"
    memory.pipe_file("/store/a.nii", b"two")
    forget()
    with local("memory://store/a.nii") as place:
        assert place.read_bytes() == b"two"
    with pytest.raises(RecordError, match="is a folder"), local("memory://store"):
        pass


def test_a_member_of_an_archive_on_a_server(site, kept):
    with zipfile.ZipFile(site.root / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "abcdef":
            archive.writestr(f"ds/{name}.nii.gz", name.encode() * 100_000)
    chained = f"zip://ds/{{}}.nii.gz::{site.url}/b.zip"

    def read(name):
        with local(chained.format(name)) as place:
            return place.read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, "abcdef")) == [n.encode() * 100_000 for n in "abcdef"]
    assert version_of(chained.format("a"))[0] == 100_000
    assert head(chained.format("b"), 3) == b"bbb"
    with pytest.raises(RecordError, match="there is no such file"):
        read("none")
    with zipfile.ZipFile(site.root / "b.zip", "w") as archive:
        archive.writestr("ds/a.nii.gz", b"new")
    forget()
    assert read("a") == b"new"


def test_a_member_of_an_archive_here(tmp_path, kept):
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a.txt", b"inside")
    with local(f"zip://a.txt::{tmp_path}/b.zip") as place:
        assert place.read_bytes() == b"inside"


@pytest.mark.parametrize(
    "header",
    [
        lambda data: {"Content-MD5": base64_of("md5", data)},
        lambda data: {"Digest": f"SHA-256={base64_of('sha256', data)},unixsum=1"},
        lambda data: {"Repr-Digest": f"sha-256=:{base64_of('sha256', data)}:"},
        lambda data: {"Digest": f"md5={base64_of('md5', data)}, sha-256=nonsense"},
    ],
)
def test_checksums(site, kept, url, header):
    site.headers = lambda path: header(DATA)
    with local(url) as place:
        assert place.read_bytes() == DATA
    asked = site.count("GET")
    site.headers = lambda path: header(b"other")
    (site.root / "b.nii").write_bytes(DATA)
    wrong = r"b\.nii: .*is not the one that the server announced"
    with pytest.raises(RecordError, match=wrong), local(f"{site.url}/b.nii"):
        pass
    assert site.count("GET") - asked == 10
    assert len(held(kept)) == 1


def base64_of(name, data):
    import base64

    return base64.b64encode(hashlib.new(name, data).digest()).decode()
