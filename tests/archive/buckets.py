"""An S3 server on loopback, and buckets in it that keep every change."""

from __future__ import annotations

import pytest

KEY, SECRET = "key-of-mine", "se-cret-of-mine"


class Server:
    """A server of S3; what its buckets hold stays when it is stopped and started again."""

    def __init__(self):
        self.port, self._server = 0, None
        self.start()

    def start(self):
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self._server.start()
        _, self.port = self._server.get_host_and_port()

    def stop(self):
        self._server.stop()
        self._server._server.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def options(self):
        """What s3fs takes; it asks once, as entense asks again."""
        config = {"retries": {"total_max_attempts": 1}}
        client = {"endpoint_url": self.url}
        return {"key": KEY, "secret": SECRET, "client_kwargs": client, "config_kwargs": config}

    @property
    def environment(self):
        """The same for another process."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.url,
        }


class Bucket:
    """A bucket, and an archive in its folder `out`."""

    def __init__(self, server, name):
        import fsspec

        self.server, self.name = server, name
        self.files = fsspec.filesystem("s3", use_listings_cache=False, **server.options)
        self.files.mkdir(name)
        self.call("put_bucket_versioning", VersioningConfiguration={"Status": "Enabled"})

    def call(self, method, **options):
        return self.files.call_s3(method, Bucket=self.name, **options)

    @property
    def url(self):
        return f"s3://{self.name}/out"

    @property
    def to(self):
        """What `write` is asked."""
        return {"path": self.url, "storage_options": self.server.options}

    def all(self):
        """Return every object of the bucket."""
        return {name: self.get(f"../{name}") for name in self._names()}

    def contents(self):
        """Return the files of the archive."""
        names = [name.removeprefix("out/") for name in self._names() if name.startswith("out/")]
        return {name: self.get(name) for name in names}

    def _names(self):
        return [one["Key"] for one in self.call("list_objects_v2").get("Contents", ())]

    def get(self, name):
        return self.files.cat_file(self._path(name))

    def put(self, name, content):
        self.files.pipe_file(self._path(name), content)

    def delete(self, name):
        self.files.rm_file(self._path(name))

    def _path(self, name):
        inside = name.removeprefix("../")
        return f"{self.name}/{inside}" if inside != name else f"{self.name}/out/{name}"

    def versions(self):
        """Return how often each file was put."""
        found, more = {}, {}
        while True:
            said = self.call("list_object_versions", **more)
            for one in said.get("Versions", ()):
                found.setdefault(one["Key"].removeprefix("out/"), []).append(one["VersionId"])
            if not said.get("IsTruncated"):
                return {name: len(ids) for name, ids in found.items()}
            more = {
                "KeyMarker": said["NextKeyMarker"],
                "VersionIdMarker": said["NextVersionIdMarker"],
            }


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def bucket(server, request, monkeypatch):
    """A bucket of the test's own; nothing pauses between two tries."""
    from zlib import crc32

    from s3fs import S3FileSystem

    from entense.index.fetch import retry

    S3FileSystem.clear_instance_cache()  # of other servers, which the environment named
    monkeypatch.setattr(retry, "PAUSES", (0,) * 2)
    return Bucket(server, f"b-{crc32(request.node.nodeid.encode()):08x}")
