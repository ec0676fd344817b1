"""Fetching ahead of the records that are computed."""

import threading
import time

import pytest
from serving import held, kept, site  # noqa: F401  fixtures

from entense.execute.ahead import fetch_ahead
from entense.files import local
from entense.index.fetch.cache import cache


def wait_for(what):
    end = time.monotonic() + 10
    while not what() and time.monotonic() < end:
        time.sleep(0.01)
    assert what()


@pytest.fixture
def urls(site):  # noqa: F811
    for number in range(40):
        (site.root / f"{number}.nii").write_bytes(b"x" * 100_000)
    return [f"{site.url}/{number}.nii" for number in range(40)]


def gets(site):  # noqa: F811
    return len({path for method, path in site.requests if method == "GET"})


def test_several_fetches_run_at_once_and_not_too_far_ahead(site, kept, urls):  # noqa: F811
    site.delay = 0.05
    with fetch_ahead([[url, url] for url in urls]) as done:
        wait_for(lambda: gets(site) == 16)
        time.sleep(0.1)
        assert gets(site) == 16
        assert 4 <= site.most_at_once <= 8
        for url in urls:
            with local(url) as place:
                assert place.stat().st_size == 100_000
            done()
    assert site.count("GET") == 40  # each once


def test_what_is_ahead_fits_the_cache_and_is_not_evicted(site, kept, urls, monkeypatch):  # noqa: F811
    monkeypatch.setenv("ENTENSE_CACHE_SIZE", "600kB")
    sizes = []
    with fetch_ahead([[url] for url in urls]) as done:
        wait_for(lambda: gets(site) == 3)
        for url in urls:
            with local(url):
                files = {stat.st_ino: stat.st_size for _, stat in cache()._files()}
                sizes.append(sum(files.values()))  # once, though it gets its name meanwhile
            done()
    assert max(sizes) <= 600_000
    assert site.count("GET") == 40


def test_a_failure_is_left_to_the_record_and_the_rest_goes_on(site, kept, urls):  # noqa: F811
    rows = [[f"{site.url}/none"], [urls[0], "pipe:ls"], [urls[1]]]
    with fetch_ahead(rows) as done:
        wait_for(lambda: len(held(kept)) == 2)  # the one that is not there is asked for, too
        for _ in rows:
            done()
        done()  # once too often does no harm
    assert len(held(kept)) == 2


def test_leaving_early_lets_everything_go(site, kept, urls, monkeypatch):  # noqa: F811
    site.delay = 0.05
    with pytest.raises(KeyError), fetch_ahead([[url] for url in urls]):
        raise KeyError
    assert gets(site) < 16
    monkeypatch.setenv("ENTENSE_CACHE_SIZE", "150kB")
    with local(urls[-1]):
        pass
    assert len(held(kept)) == 1  # nobody held the others


def test_files_that_are_here_cost_no_thread(tmp_path, kept):  # noqa: F811
    (tmp_path / "a.nii").write_bytes(b"x")
    before = threading.active_count()
    with fetch_ahead([[str(tmp_path / "a.nii")]] * 100) as done:
        for _ in range(100):
            assert threading.active_count() == before
            done()
    assert not kept.exists()
