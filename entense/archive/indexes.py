"""Indexes that other readers want beside the shards, made without reading these again."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import PurePosixPath
from tarfile import TarInfo
from typing import TYPE_CHECKING, NamedTuple, cast

from entense.archive.describe import as_json
from entense.archive.formats import formats
from entense.archive.formats.base import Sample, blank, size_of
from entense.archive.job import as_names
from entense.errors import ArchiveError, hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from entense.archive.assign import Planned
    from entense.archive.folder import Receipt
    from entense.archive.formats.base import Format, Piece
    from entense.archive.job import Job
    from entense.archive.manifest import Series

TAR = 512  # bytes of a header, and what members are filled up to


class Member(NamedTuple):
    """A file within a tar: its name, and where its content lies."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Extent:
    """Where a sample lies in its shard; the members of one that is no part of a tar are none."""

    begin: int
    end: int
    members: Sequence[Member]


@dataclass(frozen=True)
class Contents:
    """What a shard that is there holds: its samples, in order."""

    path: str
    split: str
    bytes: int
    samples: Sequence[Extent]


def dali(shards: Sequence[Contents]) -> dict[str, bytes]:
    """Return what `wds2idx` and `tfrecord2idx` of NVIDIA DALI make, a file a shard."""
    return {str(PurePosixPath(shard.path).with_suffix(".idx")): _dali(shard) for shard in shards}


def wids(shards: Sequence[Contents]) -> dict[str, bytes]:
    """Return the list of shards of `wids`, webdataset's random access, for each folder of them."""
    folders = groupby(shards, key=lambda shard: PurePosixPath(shard.path).parent)
    return {str(folder / "shardindex.json"): _wids(list(found)) for folder, found in folders}


def energon(shards: Sequence[Contents]) -> dict[str, bytes]:
    """Return what `energon prepare` of Megatron Energon makes, for a crude dataset."""
    splits: dict[str, list[str]] = {shard.split: [] for shard in shards}
    for shard in shards:
        splits[shard.split].append(shard.path)
    counts = {shard.path: len(shard.samples) for shard in shards}
    crude = {"__module__": "megatron.energon", "__class__": "CrudeWebdataset"}
    return {  # JSON is YAML
        ".nv-meta/.info.yaml": as_json({"shard_counts": counts}),
        ".nv-meta/split.yaml": as_json({"split_parts": splits, "exclude": []}),
        ".nv-meta/dataset.yaml": as_json(crude),
        **{f"{shard.path}.idx": _offsets(shard) for shard in shards},
    }


INDEXES: Mapping[str, tuple[Callable[[Sequence[Contents]], dict[str, bytes]], tuple[str, ...]]] = {
    "dali": (dali, (".tar", ".tfrecord")),
    "wids": (wids, (".tar",)),
    "energon": (energon, (".tar",)),
}
"""What makes each kind of index, and of shards with which extensions."""


def check_indexes(kinds: Sequence[str], series: Sequence[Series]) -> None:
    """Raise unless all kinds of index are known, and can be made of the shards to come."""
    for kind in as_names("index", kinds):
        if kind not in INDEXES:
            raise ArchiveError(f"there is no index {kind!r}; {hint(kind, INDEXES)}")
        extensions = INDEXES[kind][1]
        indexed = [one for one in series if formats[one.format].extension in extensions]
        if not indexed:
            raise ArchiveError(
                f"the index {kind!r} is none of {series[0].format} shards; leave it out, or write "
                f"{' or '.join(extensions)} shards"
            )
        if kind == "energon" and len(indexed) > 1:
            raise ArchiveError(
                "energon reads all tensors of a record from one shard; leave out its index, or "
                "disaggregate"
            )


def indexes_of(
    kinds: Sequence[str],
    job: Job,
    series: Sequence[Series],
    parts: Sequence[Planned],
    receipts: Sequence[Receipt],
) -> dict[str, bytes]:
    """Return the files of some kinds of index, by path, of the shards that are there."""
    found: dict[str, bytes] = {}
    for kind in kinds:
        make, extensions = INDEXES[kind]
        found |= make([
            Contents(file.path, file.split, file.bytes, _extents(job, series[file.series], rows))
            for part, receipt in zip(parts, receipts, strict=True)
            for rows in [[r for r, there in zip(part.rows, receipt.tensors, strict=True) if there]]
            for file in receipt.files
            if PurePosixPath(file.path).suffix in extensions
        ])  # fmt: skip
    return found


def _extents(job: Job, series: Series, rows: Sequence[int]) -> list[Extent]:
    extents, begin = [], 0
    for row in rows:
        extents.append(_extent(job, series, row, begin))
        begin = extents[-1].end
    return extents


def _extent(job: Job, series: Series, row: int, begin: int) -> Extent:
    """Lay a sample out again, without its data."""
    fmt, specs = cast("Format", formats[series.format]), job.survey.rows[row].specs or {}
    arrays = {name: blank(specs[name].shape, specs[name].dtype) for name in series.tensors}
    pieces = fmt.layout(Sample(job.ids[row], arrays, job.values(row), specs))
    starts = list(accumulate((size_of([piece], arrays) for piece in pieces), initial=0))
    members = _members(pieces, starts, begin) if fmt.extension == ".tar" else ()
    return Extent(begin, begin + starts[-1] + len(fmt.seal(())), tuple(members))


def _members(pieces: Sequence[Piece], starts: Sequence[int], begin: int) -> Iterator[Member]:
    """Yield the members of a sample: a header is where the one before it and its filling end."""
    due = 0
    for piece, start in zip(pieces, starts, strict=False):
        if start == due and isinstance(piece, bytes) and piece:  # else it fills nothing up
            info = TarInfo.frombuf(piece, "utf-8", "surrogateescape")
            yield Member(info.name, begin + start + TAR, info.size)
            due = start + TAR + -(-info.size // TAR) * TAR


def _dali(shard: Contents) -> bytes:
    if not shard.path.endswith(".tar"):
        return b"".join(b"%d %d\n" % (one.begin, one.end - one.begin) for one in shard.samples)
    lines = [" ".join(map(_component, sample.members)) for sample in shard.samples]
    return "\n".join([f"v1.2 {len(lines)}", *lines, ""]).encode()


def _component(member: Member) -> str:
    extension = member.name.partition(".")[2]
    return f"{extension} {member.offset} {member.size} {member.name}"


def _wids(shards: Sequence[Contents]) -> bytes:
    listed = [
        {
            "url": PurePosixPath(shard.path).name,
            "nsamples": len(shard.samples),
            "filesize": shard.bytes,
        }
        for shard in shards
    ]
    return as_json({"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": listed})


def _offsets(shard: Contents) -> bytes:
    """Return where the samples begin, and where the last one ends."""
    ends = [*(sample.begin for sample in shard.samples), shard.samples[-1].end]
    return struct.pack(f"<{len(ends)}Q", *ends)
