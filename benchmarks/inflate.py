"""The floor: inflating gzipped files with the fastest libraries, on all cores."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.chains import scratch
from benchmarks.data import Runs
from benchmarks.fresh import cores

CHUNK = 2**22
PACKED = 2**23  # what rapidgzip inflates at once: of its own 4 MiB it is slower
Pieces = Iterator[bytes | memoryview]


def inflate(folder: str, library: str, keep: bool) -> dict:
    """Inflate all files, to the disk or to nothing."""
    runs = Runs(Path(folder))
    paths = runs.bolds
    # rapidgzip is parallel within a file, the others over files
    threads = 1 if library == "rapidgzip" else cores()
    with ThreadPoolExecutor(threads) as pool, scratch(runs) as out:
        targets = [out / path.parts[-3] if keep else None for path in paths]
        start = perf_counter()
        list(pool.map(_run, [LIBRARIES[library]] * len(paths), paths, targets))
        seconds = (perf_counter() - start) / len(paths)
    way = "flushed to the disk" if keep else "dropped"
    return {"seconds": seconds, "note": f"{len(paths)} files, {cores()} cores, {way}"}


def _run(pieces: Callable[[Path], Pieces], path: Path, target: Path | None) -> None:
    if target is None:
        for _ in pieces(path):
            pass
        return
    with target.open("wb", buffering=0) as file:
        for piece in pieces(path):
            file.write(piece)
        os.fsync(file.fileno())


def _chunks(file: Any) -> Pieces:
    buffer = memoryview(bytearray(CHUNK))
    while size := file.readinto(buffer):
        yield buffer[:size]


def _isal(path: Path) -> Pieces:
    from isal import igzip

    with igzip.open(path) as file:
        yield from _chunks(file)


def _zlib_ng(path: Path) -> Pieces:
    from zlib_ng import gzip_ng

    with gzip_ng.open(path) as file:
        yield from _chunks(file)


def _libdeflate(path: Path) -> Pieces:
    import deflate

    yield deflate.gzip_decompress(path.read_bytes())


def _rapidgzip(path: Path) -> Pieces:
    import rapidgzip

    with rapidgzip.RapidgzipFile(str(path), cores(), chunk_size=PACKED) as file:
        yield from _chunks(file)


LIBRARIES: dict[str, Callable[[Path], Pieces]] = {
    "isal": _isal,
    "zlib-ng": _zlib_ng,
    "libdeflate": _libdeflate,
    "rapidgzip": _rapidgzip,
}
