"""A web server on loopback that can be made to misbehave, and a cache of the test's own."""

import threading
import time
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from entense.index.fetch import forget, retry


class Site:
    """A folder that is served.

    `headers(path)` adds headers; `status` maps paths to what is replied instead; with `drop` = 3
    every third request is cut, in turn before the reply and within it; `fails` maps a path to how
    many more requests for it give 503.
    """

    def __init__(self, root):
        self.root, self.drop, self.delay, self.ranges, self.sized = root, 0, 0, True, True
        self.status, self.fails, self.headers = {}, {}, lambda path: {}
        self.requests, self.sent, self.seen = [], Counter(), []
        self.at_once = self.most_at_once = self.cut = 0
        self._lock = threading.Lock()

    def count(self, method=None, path=None):
        return sum(method in (None, m) and path in (None, p) for m, p in self.requests)

    def enter(self, method, path):
        """Note a request; return how it is to be cut: None, "before" or "within"."""
        with self._lock:
            self.requests.append((method, path))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            if not self.drop or len(self.requests) % self.drop:
                return None
            self.cut += 1
            return "before" if self.cut % 2 or method == "HEAD" else "within"

    def leave(self):
        with self._lock:
            self.at_once -= 1


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args, site, **kwargs):
        self.site = site
        super().__init__(*args, directory=str(site.root), **kwargs)

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        site, path = self.site, self.path.partition("?")[0]
        cut = site.enter(self.command, path)
        site.seen.append(dict(self.headers))
        try:
            time.sleep(site.delay)
            if cut == "before":
                self.close_connection = True
            elif path in site.status or site.fails.get(path, 0) > 0:
                site.fails[path] = site.fails.get(path, 0) - 1
                self.refuse(site.status.get(path, 503))
            elif (site.root / path[1:]).is_dir() and path.endswith("/"):
                page = self.page(site.root / path[1:])
                self.body(page, path, cut, more={"Content-Type": "text/html"})
            elif (site.root / path[1:]).is_file():
                self.reply(path, cut)
            else:
                self.refuse(404)
        finally:
            site.leave()

    def page(self, path):
        """Return a listing as Apache has it: it also links to its parent, and to itself sorted."""
        names = sorted(f"{one.name}/" if one.is_dir() else one.name for one in path.iterdir())
        links = ["?C=M;O=A", self.path.rstrip("/").rpartition("/")[0] + "/", "https://else.where/"]
        return "".join(f'<a href="{link}">{link}</a>\n' for link in links + names).encode()

    def refuse(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def reply(self, path, cut):
        data, status, more = (self.site.root / path[1:]).read_bytes(), 200, {}
        asked = self.headers.get("Range")
        if asked and self.site.ranges:
            first, last = (int(n) for n in asked.removeprefix("bytes=").split("-"))
            if first >= len(data):
                self.refuse(416)
                return
            more = {"Content-Range": f"bytes {first}-{min(last, len(data) - 1)}/{len(data)}"}
            data, status = data[first : last + 1], 206
        self.body(data, path, cut, status, more)

    def body(self, data, path, cut, status=200, more=None):
        self.send_response(status)
        if self.site.sized:
            self.send_header("Content-Length", str(len(data)))
        else:
            self.close_connection = True
        for name, value in {**(more or {}), **self.site.headers(path)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            half = data[: len(data) // 2] if cut else data
            self.close_connection = self.close_connection or bool(cut)
            try:
                self.wfile.write(half)
                self.site.sent[path] += len(half)
            except (BrokenPipeError, ConnectionResetError):
                pass


class Server(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False

    def handle_error(self, *_):
        """Say nothing: clients that leave early are part of the tests."""


@pytest.fixture
def site(tmp_path):
    """A served folder, tmp_path/site; `site.url` is its address."""
    (tmp_path / "site").mkdir()
    site = Site(tmp_path / "site")
    server = Server(("127.0.0.1", 0), partial(Handler, site=site))
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder of a cache of the test's own; nothing pauses between two tries."""
    monkeypatch.setenv("ENTENSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ENTENSE_CACHE_SIZE", "10MB")
    monkeypatch.setattr(retry, "PAUSES", (0,) * 9)
    forget()
    return tmp_path / "cache"


def held(folder):
    """Return the fetched files in a cache, with what a kill may have left."""
    return sorted(path for path in folder.glob("url-*")) if folder.exists() else []
