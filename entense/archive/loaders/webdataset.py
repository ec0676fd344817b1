"""An archive as a pipeline of webdataset, which reads the shards itself."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.archive.loaders.shards import shard_files
from entense.archive.loaders.source import named
from entense.errors import ArchiveError

WEBDATASET = "webdataset"

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webdataset import WebDataset

    from entense.archive.read import Archive

CUTS = "#?;"  # what ends the path of a URL, for which webdataset takes it


def to_webdataset(
    archive: Archive, split: str | None = None, *, tensors: Sequence[str] | None = None
) -> WebDataset:
    """Return webdataset's own pipeline over the shards of a split.

    A sample is what webdataset makes of it: ``"__key__"``, the record's id, ``"<tensor>.npy"``
    each tensor as an array, ``"json"`` the scalars, where there are any. Shards are split among
    nodes and workers; where there are fewer shards than workers, the others get nothing.

    Only plain paths of shards of the archive reach webdataset, which would run a URL that begins
    with ``pipe:``, and members are decoded by no decoder that could unpickle them. webdataset
    checks no checksum: run `Archive.verify` on what you copied.

    Parameters
    ----------
    archive
        An open archive of webdataset shards, on a local disk.
    split
        Only the records of this split; None for all.
    tensors
        Which tensors to read, where each lies in shards of its own: those of one series; None for
        all.

    Raises
    ------
    ArchiveError
        When webdataset is not installed, the shards are of another format, there is no such
        split, or a shard is missing or cut.

    Examples
    --------
    >>> from entense.archive import open_archive
    >>> samples = to_webdataset(open_archive("out"), "train").shuffle(100).batched(8)
    """
    try:
        import webdataset as wds
    except ImportError as error:
        raise ArchiveError(
            'to_webdataset needs webdataset; install it with: pip install "entense[webdataset]"'
        ) from error
    if WEBDATASET not in archive.manifest.formats:
        raise ArchiveError(
            f"the shards of {archive.folder} are {archive.manifest.format}, which webdataset does "
            'not read; use loader or to_torch, or write with format="webdataset"'
        )
    names = named(tensors, archive.schema)
    for name in names:
        archive.tensor(name)  # an error where there is none
    series = archive.manifest.series_of(names, WEBDATASET)
    if len(series) > 1:
        raise ArchiveError(
            f"the tensors of {archive.folder} lie in shards of their own, which webdataset does "
            f'not read side by side; name one (tensors=["{next(iter(archive.schema))}"]), or use '
            "loader"
        )
    data = wds.WebDataset(
        _plain(shard_files(archive, split, series[0]), archive),
        shardshuffle=False,
        nodesplitter=wds.split_by_node,
        empty_check=False,
    )
    return data.decode(_decoded, pre=[], post=[])


def _plain(files: list[str], archive: Archive) -> list[str]:
    """Return paths that webdataset takes for nothing but paths."""
    for mark in CUTS:
        if any(mark in file for file in files):
            raise ArchiveError(
                f"the path of {archive.folder} has {mark!r}, at which webdataset cuts it off; move "
                "the archive to a plainer place, or use loader or to_torch"
            )
    return files


def _decoded(extension: str, content: bytes) -> Any:
    """Return the content of a member; None, for webdataset, where it is not one of ours."""
    if extension.endswith(".npy"):
        return np.load(io.BytesIO(content), allow_pickle=False)
    return json.loads(content) if extension == ".json" else None
