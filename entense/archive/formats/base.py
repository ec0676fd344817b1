"""What a format is: where the bytes of one sample go."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, TypeAlias

import numpy as np

from entense.archive.checksum import Buffer, Data
from entense.archive.schema import as_dtype, digest_of
from entense.archive.shard import Stream
from entense.errors import ArchiveError
from entense.registry import code_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from entense.archive.formats.foreign import Shared
    from entense.ops.core import Spec

Scalar: TypeAlias = bool | int | float | str | None
Arrays: TypeAlias = "Mapping[str, NDArray[Any]]"
Piece: TypeAlias = bytes | str
"""Bytes as they are, or the name of the tensor whose data goes here."""


class Sample(NamedTuple):
    """A record as formats see it.

    Parameters
    ----------
    key
        The record's id.
    arrays
        Its tensors by name, C-contiguous; where shards are planned, as `blank` makes them.
    scalars
        Its columns: numbers, strings and nulls.
    specs
        What is known of each tensor: dims, coords, mask, repetition time.
    """

    key: str
    arrays: Arrays
    scalars: Mapping[str, Scalar]
    specs: Mapping[str, Spec]

    @property
    def nbytes(self) -> int:
        """The bytes of its arrays."""
        return sum(array.nbytes for array in self.arrays.values())


@dataclass(frozen=True)
class Framed:
    """The bytes of a sample around its arrays, where each begins in them, and its checksums."""

    buffers: list[Buffer]
    offsets: dict[str, int]
    data: dict[str, Data]


class Sink(Protocol):
    """A shard being written, under the name that it has until it is whole."""

    def append(self, sample: Sample, /) -> Framed | None:
        """Add a record; say where its tensors lie, if their bytes lie there as they are."""

    def close(self) -> tuple[int, int] | None:
        """End the shard; say its size and CRC-32C, if they are known without reading it again."""


def no_seal(buffers: Sequence[Buffer]) -> bytes:
    """Return the seal of a format that has none."""
    return b""


@dataclass(frozen=True)
class Format:
    """How samples become the bytes of a shard.

    Parameters
    ----------
    name
        What ``write(format=...)`` calls it.
    extension
        The suffix of a shard's file name, with the dot.
    layout
        ``layout(sample)`` returns the pieces of a `Sample` in order: bytes, or the name of a
        tensor where its data (C order, little endian) goes. It must not look at the data, only at
        shapes and dtypes: shards are planned, with `blank` arrays, before anything is computed.
        It raises `ArchiveError` for what the format cannot hold.
    seal
        Bytes that end a sample and depend on its data, such as a checksum (see `checksum.add`);
        always of one length.
    trailer
        Bytes that end a shard.

    Examples
    --------
    A format of one's own: the data and nothing else.

    >>> raw = Format("raw", ".bin", lambda sample: sorted(sample.arrays))
    >>> arrays = {"y": np.zeros(3, "u1"), "x": np.zeros(2, "f4")}
    >>> raw.frame(Sample("a", arrays, {}, {})).offsets
    {'x': 0, 'y': 8}
    """

    name: str
    extension: str
    layout: Callable[[Sample], list[Piece]]
    seal: Callable[[Sequence[Buffer]], bytes] = no_seal
    trailer: bytes = b""
    single: ClassVar[bool] = False  # samples follow each other in a file

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of its code: an archive made with other code is another."""
        return digest_of([self.name, code_of(self.layout), code_of(self.seal), self.trailer.hex()])

    def check(self, name: str, spec: Spec) -> None:
        """Raise for a dtype that no archive has; what else it cannot hold `layout` refuses."""
        as_dtype(spec.dtype)

    def suffixes(self, spec: Spec) -> Sequence[str]:
        """Return the ending of a file: `extension`, whatever the tensor."""
        return [self.extension]

    def parted(self, sample: Sample) -> Sequence[Sample]:
        """Return what goes into each file: all into one."""
        return [sample]

    def begin(self, path: Path, shared: Shared) -> _FramedSink:
        """Begin a shard; samples are framed alike, whatever they share."""
        return _FramedSink(self, path)

    def size(self, sample: Sample) -> int:
        """Return how many bytes a sample will take, from shapes and dtypes alone."""
        return size_of(self.layout(sample), sample.arrays) + len(self.seal(()))

    def frame(self, sample: Sample) -> Framed:
        """Return the bytes of a sample but its seal, its arrays as views that are never copied."""
        data = {name: Data(array) for name, array in sample.arrays.items()}
        buffers: list[Buffer] = []
        offsets: dict[str, int] = {}
        at = 0
        for piece in self.layout(sample):
            if isinstance(piece, str):
                offsets[piece] = at
            buffers.append(data[piece] if isinstance(piece, str) else piece)
            at += len(buffers[-1])
        return Framed(buffers, offsets, data)


class _FramedSink:
    """A shard of samples, one after the other."""

    def __init__(self, fmt: Format, path: Path) -> None:
        self._format, self._file = fmt, Stream(path)

    def append(self, sample: Sample) -> Framed:
        """Write a sample; return it, its offsets from the beginning of the shard."""
        framed, begin = self._format.frame(sample), self._file.bytes
        self._file.append(framed.buffers)
        self._file.append([self._format.seal(framed.buffers)])  # their checksums are made by now
        offsets = {name: begin + offset for name, offset in framed.offsets.items()}
        return replace(framed, offsets=offsets)

    def close(self) -> tuple[int, int]:
        """End the shard; return its size and CRC-32C."""
        try:
            if self._file.is_open:
                self._file.append([self._format.trailer])
        finally:
            self._file.close()
        return self._file.bytes, self._file.crc32c


def blank(shape: Sequence[int], dtype: str) -> NDArray[Any]:
    """Return an array that is to come: it has shape, dtype and size, and takes no memory.

    Examples
    --------
    >>> blank((200, 400), "float32").nbytes
    320000
    """
    return np.broadcast_to(np.zeros((), as_dtype(dtype)), shape)


def size_of(pieces: Iterable[Piece], arrays: Arrays) -> int:
    """Return how many bytes pieces take."""
    return sum(arrays[piece].nbytes if isinstance(piece, str) else len(piece) for piece in pieces)


def json_of(sample: Sample) -> bytes:
    """Return the columns of a record as JSON, which knows no NaN: such a float becomes null.

    An ArchiveError where one is infinite.
    """
    nan = {k for k, v in sample.scalars.items() if isinstance(v, float) and math.isnan(v)}
    plain = {**sample.scalars, **dict.fromkeys(nan)}
    try:
        return json.dumps(plain, allow_nan=False, sort_keys=True).encode()
    except ValueError:
        raise ArchiveError(
            f"a column of record {sample.key} is infinite, which JSON cannot hold; "
            'replace it, or write with format="tfrecord"'
        ) from None
