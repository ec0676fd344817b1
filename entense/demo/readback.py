"""Reading the demo's archives with three readers, which must agree to the last bit."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.demo.report import say, step
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from entense.archive.read import Archive

WINDOW = 32


def read_back(archives: Mapping[str, Archive]) -> None:
    """Read the training samples with our loader, webdataset and TensorFlow, and compare.

    Parameters
    ----------
    archives
        The same records as ``webdataset`` and as ``tfrecord``.

    Raises
    ------
    ArchiveError
        A reader gave other values than the archive holds.
    """
    archive = archives["webdataset"]
    split = "train" if "train" in archive.manifest.splits else "all"
    if not archive.manifest.splits[split]:
        say(f"there is nothing to read back: every record of the split {split!r} failed")
        return
    kept = [archive.records["record"][row] for row in archive.rows(split)]
    _read_ours(archive, split)
    for name, samples in (
        ("webdataset", _webdataset_samples(archive, split)),
        ("tensorflow", _tf_samples(archives["tfrecord"], split)),
    ):
        if find_spec(name) is None:
            say(f'{name} is not installed: pip install "entense[{name}]"')
            continue
        with step(f"read with {name}") as note:
            first = ""
            for record, sample in zip_longest(kept, samples):
                if record is None or sample is None:
                    raise ArchiveError(f"{name} reads another number of records; run verify")
                first = first or shapes(sample)
                _agree(archive, record, sample, name)
            note.append(f"{len(kept)} samples: {first}; all equal")


def _read_ours(archive: Archive, split: str) -> None:
    shapes_read = archive.records["clean"].struct.field("shape")[archive.rows(split)]
    window = min(WINDOW, *(shape[0] for shape in shapes_read.to_list()))
    with step("read with archive.loader") as note:
        batches = archive.loader(split, batch_size=4, window=window, windows_per_record=4, seed=0)
        count, first = 0, ""
        for batch in batches:
            first = first or shapes({name: batch[name] for name in archive.schema})
            for record, start, values in zip(
                batch["record"], batch["start"], batch["clean"], strict=True
            ):
                whole = archive.read(archive.row(record), "clean")
                _same(whole[start : start + window], values, f"the loader, {record}")
                count += 1
        note.append(f"{count} random windows of {window} frames in batches: {first}; all equal")


def _webdataset_samples(archive: Archive, split: str) -> Iterator[dict[str, Any]]:
    for sample in archive.to_webdataset(split):
        yield {name: sample[f"{name}.npy"] for name in archive.schema}


def _tf_samples(archive: Archive, split: str) -> Iterator[dict[str, Any]]:
    with _silent():
        data = archive.to_tf(split)
    for sample in data.as_numpy_iterator():
        yield {name: sample[name] for name in archive.schema}


@contextmanager
def _silent() -> Iterator[None]:
    """Keep TensorFlow's page of words about absent GPUs, which no setting stops, off stderr."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _agree(archive: Archive, record: str, sample: Mapping[str, Any], reader: str) -> None:
    ours = archive[record]
    for name, values in sample.items():
        _same(ours[name], values, f"{reader}, {record}, {name}")


def _same(ours: np.ndarray, theirs: np.ndarray, where: str) -> None:
    if ours.dtype != theirs.dtype or not np.array_equal(ours, theirs, equal_nan=True):
        raise ArchiveError(f"{where}: the values read are not those of the archive; run verify")


def shapes(sample: Mapping[str, Any]) -> str:
    """Say the names, shapes and dtypes of arrays.

    Examples
    --------
    >>> shapes({"fc": np.zeros((2, 2), "float32")})
    'fc (2, 2) float32'
    """
    return ", ".join(f"{name} {values.shape} {values.dtype}" for name, values in sample.items())
