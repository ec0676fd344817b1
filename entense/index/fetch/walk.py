"""The files below a URL."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING

from entense.errors import EntenseError, TableError
from entense.index.fetch.registered import fetch_of
from entense.index.fetch.retry import retrying
from entense.index.fetch.storage import ALLOWED, filesystem
from entense.index.fetch.urls import protocols

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from concurrent.futures import Future

    Listed = list[tuple[str, bool]]

AT_ONCE = 8  # folders listed at once
# those that know no folders
_FLAT = frozenset({"abfs", "abfss", "adl", "az", "gcs", "gs", "hf", "oss", "s3", "s3a"})
_DEEPEST = 32


def walk_url(url: str, *, skip: Collection[str] = frozenset()) -> Iterator[str]:
    """Yield the path below `url` of every file, in no particular order.

    Hidden names and the folders named in `skip` are left out, as `walk` does. Of HTTP, what the
    server's page of a folder links to, one level down.

    Parameters
    ----------
    url
        A folder: of any protocol that fsspec reads.
    skip
        Names of folders that are not entered, at any depth.

    Raises
    ------
    TableError
        The store refuses, does not answer, or has no such folder.

    Examples
    --------
    >>> import fsspec
    >>> memory = fsspec.filesystem("memory")
    >>> memory.pipe_file("/walked/sub-01/sub-01_bold.nii", b"")
    >>> list(walk_url("memory://walked"))
    ['sub-01/sub-01_bold.nii']
    """
    url = url.rstrip("/") if "::" not in url else url
    _check(url)
    names = _flat(url) if protocols(url)[0] in _FLAT else _tree(url, skip)
    for name in names:
        *folders, file = name.split("/")
        if not file.startswith(".") and not any(_is_left_out(f, skip) for f in folders):
            yield name


def _check(url: str) -> None:
    try:
        fetch_of(url)
    except EntenseError as error:
        raise TableError(str(error)) from None
    if protocols(url)[0] not in ALLOWED:
        raise TableError(
            f"{url}: the files of a registered function cannot be listed; make a file table of "
            "them (columns dataset, path, subject, …) and go on with it"
        )


def _flat(url: str) -> Iterator[str]:
    """Ask a store without folders for all at once: a thousand names a request."""

    def find() -> tuple[str, list[str]]:
        store, top = filesystem(url)
        store.invalidate_cache()
        return top, store.find(top)

    top, paths = retrying(find, url, what="listed", error=TableError)
    if not paths:
        raise TableError(f"{url}: there is no such folder, or it is empty; check the URL")
    yield from (path.removeprefix(f"{top}/") for path in paths)


def _tree(url: str, skip: Collection[str]) -> Iterator[str]:
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="entense-list") as pool:
        waiting: set[Future[Listed]] = {pool.submit(_listed, url, "")}
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for name, is_folder in (one for future in done for one in future.result()):
                    if not is_folder:
                        yield name
                    elif not _is_left_out(name.rpartition("/")[2], skip):
                        waiting.add(pool.submit(_listed, url, name))
        finally:
            pool.shutdown(cancel_futures=True)


def _listed(url: str, below: str) -> Listed:
    """Return the names in a folder, below `url`, and which of them are folders."""
    if below.count("/") > _DEEPEST:
        raise TableError(f"{url}/{below}: its folders never end (a link in a cycle?); scan one")
    return retrying(partial(_list, url, below), url, what="listed", error=TableError)


def _list(url: str, below: str) -> Listed:
    store, top = filesystem(url)
    base = "/".join(part for part in (top.rstrip("/"), below) if part)
    base = f"{base}/" if base else ""
    is_http = protocols(url)[0] in ("http", "https")
    store.invalidate_cache()
    found = {}
    for entry in store.ls(base if is_http else base.rstrip("/"), detail=True):
        name = entry["name"].rstrip("/").removeprefix(base)
        # pages also link to their parents and to themselves, sorted otherwise ("?C=M")
        if name and "/" not in name and not (is_http and set("?#") & set(name)):
            found[f"{below}/{name}" if below else name] = entry["type"] == "directory"
    return list(found.items())


def _is_left_out(folder: str, skip: Collection[str]) -> bool:
    return folder.startswith(".") or folder in skip
