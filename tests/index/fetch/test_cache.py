"""The cache: its bound, who goes first, who may not go, several processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import held

from entense.errors import EntenseError, RecordError
from entense.files import local
from entense.index.fetch.cache import Cache, cache

KB = 1000


def put(cache, name, size=10 * KB):
    """Use a file of the cache; return whether it had to be fetched."""
    made = []

    def fill(part):
        made.append(name)
        part.write(bytes(size))
        part.finish()

    with cache.hold(named(name), size, fill) as path:
        assert path.stat().st_size == size
    return bool(made)


def named(name):
    return f"url-{name:0>32}.nii"


def there(cache):
    return {path.name.removeprefix("url-").lstrip("0") for path in held(cache.folder)}


def size(cache):
    return sum(path.stat().st_size for path in held(cache.folder))


def test_the_files_used_longest_ago_go_first(tmp_path):
    cache = Cache(tmp_path, 100 * KB)
    for name in "123456789":
        put(cache, name)
    assert not put(cache, "1")
    assert put(cache, "a")
    assert there(cache) == {f"{n}.nii" for n in "1a3456789"} - {"2.nii"} | {"2.nii"}
    assert put(cache, "b")  # full now: the oldest go, and a little more than one file
    assert {"1.nii", "a.nii", "b.nii"} <= there(cache)
    assert "2.nii" not in there(cache)
    assert "3.nii" not in there(cache)
    assert size(cache) <= 100 * KB


@given(
    st.lists(st.tuples(st.sampled_from("123456789abc"), st.integers(1, 60)), max_size=30),
    st.integers(20, 100),
)
@settings(max_examples=40)
def test_the_bound_holds_whatever_is_fetched(tmp_path_factory, uses, bound):
    cache = Cache(tmp_path_factory.mktemp("cache"), bound * KB)
    for name, kilobytes in uses:
        put(cache, f"{name}{kilobytes}", kilobytes * KB)
        assert size(cache) <= bound * KB
        big = kilobytes * KB > bound * KB
        assert (named(f"{name}{kilobytes}") in {p.name for p in held(cache.folder)}) is not big


def test_what_is_held_stays_and_goes_later(tmp_path):
    cache = Cache(tmp_path, 30 * KB)

    def fill(part):
        part.write(bytes(10 * KB))
        part.finish()

    with ExitStack() as stack:
        for name in "12345":
            stack.enter_context(cache.hold(named(name), 10 * KB, fill))
        assert there(cache) == {f"{n}.nii" for n in "12345"}  # over the bound while in use
        assert not put(cache, "1")
    assert size(cache) <= 30 * KB


def test_a_file_larger_than_the_bound_is_held_alone(tmp_path):
    cache = Cache(tmp_path, 30 * KB)
    put(cache, "1")

    def fill(part):
        assert [path.suffix for path in held(tmp_path)] == [".part"]
        part.write(bytes(50 * KB))
        part.finish()

    with cache.hold(named("2"), 50 * KB, fill):
        assert there(cache) == {"2.nii"}
    assert held(tmp_path) == []


def test_files_of_others_are_left_alone(tmp_path):
    for name in ("notes.txt", "a" * 32, "url-x", "lock.txt"):
        (tmp_path / name).write_bytes(bytes(50 * KB))
    (tmp_path / named("9")).symlink_to(tmp_path / "notes.txt")
    cache = Cache(tmp_path, 20 * KB)
    for name in "12345":
        put(cache, name)
    assert (tmp_path / "notes.txt").stat().st_size == 50 * KB
    assert len(list(tmp_path.iterdir())) >= 6
    assert (tmp_path / named("9")).is_symlink()


def test_a_spoilt_file_is_fetched_again(tmp_path):
    cache = Cache(tmp_path, 100 * KB)
    put(cache, "1")
    (tmp_path / named("1")).write_bytes(b"short")
    assert put(cache, "1")
    assert not put(cache, "1")


def test_a_count_that_was_lost_is_made_again(tmp_path):
    cache = Cache(tmp_path, 30 * KB)
    put(cache, "1")
    put(cache, "2")
    for text in ("", "no number", "-5"):
        (tmp_path / "lock").write_text(text)
        put(cache, "3")
        put(cache, "4")
        assert size(cache) <= 30 * KB


def test_files_are_counted_only_when_the_cache_is_full(tmp_path, monkeypatch):
    counted = []
    files = Cache._files
    monkeypatch.setattr(Cache, "_files", lambda self: counted.append(1) or files(self))
    cache = Cache(tmp_path, 200 * KB)
    for number in range(100):
        put(cache, f"a{number}", KB)
    assert len(counted) == 1
    for number in range(400):
        put(cache, f"b{number}", KB)
    assert size(cache) <= 200 * KB
    assert len(counted) < 40


def test_what_fails_leaves_nothing_and_is_tried_again(tmp_path):
    cache = Cache(tmp_path, 100 * KB)

    def fill(part):
        part.write(b"half")
        raise RecordError("lost")

    with pytest.raises(RecordError, match="lost"), cache.hold(named("1"), 10 * KB, fill):
        pass
    assert held(tmp_path) == []
    assert put(cache, "1")


def test_where_the_cache_is(monkeypatch, tmp_path):
    for name in ("ENTENSE_CACHE", "ENTENSE_CACHE_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache() == Cache(tmp_path / "entense", 10**10)
    monkeypatch.setenv("ENTENSE_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("ENTENSE_CACHE_SIZE", "2 GiB")
    assert cache() == Cache(tmp_path / "mine", 2**31)
    monkeypatch.setenv("ENTENSE_CACHE_SIZE", "big")
    with pytest.raises(EntenseError, match="ENTENSE_CACHE_SIZE='big' is no size"):
        cache()


def read(url, queue):
    """Fetch in another process."""
    with local(url) as place:
        queue.put(place.read_bytes()[:3])


def test_two_processes_fetch_a_file_once(site, kept):
    (site.root / "a.nii").write_bytes(b"abc" * 200_000)
    site.delay = 0.2
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    url = f"{site.url}/a.nii"
    processes = [context.Process(target=read, args=(url, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    assert [queue.get(timeout=60) for _ in processes] == [b"abc"] * 3
    for process in processes:
        process.join()
        process.close()
    queue.close()
    queue.join_thread()
    assert site.count("GET", "/a.nii") == 1


def test_a_kill_leaves_no_half_file(site, kept):
    (site.root / "a.nii").write_bytes(b"abc" * 1_000_000)
    url = f"{site.url}/a.nii"
    script = (
        "import sys, time, entense.index.fetch.cache as c\n"
        "from entense.files import local\n"
        "c.Part.finish = lambda self: (print('written', flush=True), time.sleep(60))\n"
        f"local({url!r}).__enter__()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout.readline() == b"written\n"
        assert [path.suffix for path in held(kept)] == [".part"]
        os.kill(process.pid, signal.SIGKILL)
    assert [path.suffix for path in held(kept)] == [".part"]
    with local(url) as place:  # it waits for nobody
        assert place.read_bytes() == b"abc" * 1_000_000
    assert [path.suffix for path in held(kept)] == [".nii"]


def test_what_a_kill_left_goes_first(tmp_path):
    cache = Cache(tmp_path, 40 * KB)
    put(cache, "1")
    left = tmp_path / (named("2") + ".part")
    left.write_bytes(bytes(20 * KB))
    (tmp_path / "lock").unlink()
    put(cache, "3", 15 * KB)
    assert not left.exists()
    assert {"1.nii", "3.nii"} <= there(cache)


def test_a_reader_keeps_a_file_that_another_process_would_evict(tmp_path):
    cache = Cache(tmp_path, 25 * KB)
    put(cache, "1")
    script = (
        "import sys\nfrom pathlib import Path\nfrom entense.index.fetch.cache import Cache\n"
        f"with Cache(Path({str(tmp_path)!r}), 25000).hold({named('1')!r}, 10000, None):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout.readline() == b"held\n"
        for name in "234":
            put(cache, name)
            assert "1.nii" in there(cache)
        process.stdin.close()
    put(cache, "5")
    put(cache, "6")
    assert "1.nii" not in there(cache)


def test_a_cache_that_cannot_be(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match=r"cache folder .*file/cache cannot be used .*ENTENSE_CA"):
        put(Cache(Path(tmp_path / "file" / "cache"), KB), "1")


def test_time_of_use_is_noted(tmp_path):
    cache = Cache(tmp_path, 100 * KB)
    put(cache, "1")
    path = tmp_path / named("1")
    os.utime(path, (1, 1))
    put(cache, "1")
    assert time.time() - path.stat().st_mtime < 60
