"""S3, as moto plays it on loopback."""

import fsspec
import pytest

from entense.errors import RecordError, TableError
from entense.files import head, local, version_of
from entense.index.fetch import forget, register_storage, walk_url

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of moto


@pytest.fixture(scope="module")
def options():
    """An S3 server; yields what s3fs needs for it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {"key": "a", "secret": "b", "client_kwargs": {"endpoint_url": f"http://{host}:{port}"}}
    server.stop()


@pytest.fixture
def store(kept, options):
    """A filesystem with the bucket ``ours``, whose credentials are registered."""
    register_storage("s3://ours", options)
    store = fsspec.filesystem("s3", **options)
    if not store.exists("ours"):
        store.mkdir("ours")
    return store


def test_listed_fetched_and_its_versions_told_apart(store):
    for name in ("sub-01/a.nii", "sub-01/figures/b.svg", ".hidden/c", "top.json"):
        store.pipe_file(f"ours/ds/{name}", name.encode())
    assert sorted(walk_url("s3://ours/ds", skip={"figures"})) == ["sub-01/a.nii", "top.json"]
    with pytest.raises(TableError, match="no such folder, or it is empty"):
        list(walk_url("s3://ours/none"))
    url = "s3://ours/ds/sub-01/a.nii"
    before = version_of(url)
    assert before[0] == 12
    assert head(url, 3) == b"sub"
    with local(url) as place:
        assert place.read_bytes() == b"sub-01/a.nii"
    store.pipe_file("ours/ds/sub-01/a.nii", b"something else")
    forget()
    assert version_of(url) != before
    with local(url) as place:
        assert place.read_bytes() == b"something else"
    with pytest.raises(RecordError, match="no such file"), local("s3://ours/ds/none"):
        pass


def test_an_etag_is_a_checksum_where_it_is_an_md5(store, monkeypatch):
    store.pipe_file("ours/plain.nii", b"as it was")
    store.pipe_file("ours/secret.nii", b"as it was", ServerSideEncryption="aws:kms")
    for name in ("plain", "secret"):
        version_of(f"s3://ours/{name}.nii")
    # as a disk that lies would: other bytes, of the same length, under the same ETag
    opened = type(store).open

    def spoilt(self, path, *args, **kwargs):
        file = opened(self, path, *args, **kwargs)
        file.read, whole = lambda size: whole(size).replace(b"was", b"is!"), file.read
        return file

    monkeypatch.setattr(type(store), "open", spoilt)
    with local("s3://ours/secret.nii") as place:
        assert place.read_bytes() == b"as it is!"  # such an ETag says nothing of the content
    with pytest.raises(RecordError, match="its md5 is not the one"), local("s3://ours/plain.nii"):
        pass


def test_a_file_of_many_parts(store, monkeypatch):
    data = bytes(range(256)) * 50_000
    with store.open("ours/big.nii", "wb", block_size=5 * 2**20) as file:
        file.write(data)
    assert "-" in store.info("ours/big.nii")["ETag"]
    with local("s3://ours/big.nii") as place:
        assert place.read_bytes() == data
    assert len(head("s3://ours/big.nii", 100)) == 100
