"""TFRecord files of tf.train.Example, framed by hand: TensorFlow's bytes without TensorFlow."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from awscrt.checksums import crc32c

from entense.archive.checksum import Buffer, add
from entense.archive.formats.base import Arrays, Format, Piece, Sample, size_of
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

KEY = "__key__"
LIMIT = 2**31 - 1  # protobuf reads no message larger than this
DATA_TYPES = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "complex64": 8,
    "int64": 9, "bool": 10, "bfloat16": 14, "uint16": 17, "complex128": 18, "float16": 19,
    "uint32": 22, "uint64": 23,
}  # fmt: skip
"""NumPy's names to the numbers of TensorFlow's DataType."""


def layout(sample: Sample) -> list[Piece]:
    """Return the pieces of a record: its length, then the Example.

    A tensor is a bytes_list with one serialised TensorProto (read it with `tf.io.parse_tensor`);
    integers and booleans are int64_list, floats float_list (32 bits), strings bytes_list; a null
    is absent; the record's id is under ``__key__``.
    """
    key, arrays, scalars, _ = sample
    if KEY in arrays or KEY in scalars:
        raise ArchiveError(f"{KEY!r} names the record's id in TFRecord; rename that column")
    features = {KEY: _scalar(key)}
    features |= {name: _column(sample, name) for name, v in scalars.items() if v is not None}
    features |= {name: _tensor(name, array) for name, array in arrays.items()}
    pieces = _field(0x0A, _entries(features, arrays), arrays)  # Example.features
    length = size_of(pieces, arrays)
    if length > LIMIT:
        raise ArchiveError(
            f"record {key} takes {length / 2**30:.1f} GiB, and a TFRecord holds at most 2 GiB; "
            'write it with format="webdataset" or a smaller dtype'
        )
    head = struct.pack("<Q", length)
    return [head + _masked(crc32c(head)), *pieces]


def seal(buffers: Sequence[Buffer]) -> bytes:
    """Return the masked CRC-32C of the payload, which is all but the first buffer."""
    return _masked(add(0, buffers[1:]))


def _masked(crc: int) -> bytes:
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _entries(features: Mapping[str, list[Piece]], arrays: Arrays) -> list[Piece]:
    """Return the entries of the map, in the order of their keys as bytes."""
    pieces: list[Piece] = []
    for name in sorted(features, key=str.encode):
        feature = _field(0x12, features[name], arrays)
        pieces += _field(0x0A, [*_field(0x0A, [name.encode()], arrays), *feature], arrays)
    return pieces


def _tensor(name: str, array: NDArray[Any]) -> list[Piece]:
    if array.dtype.name not in DATA_TYPES:
        raise ArchiveError(f"TFRecord has no dtype {array.dtype} for {name!r}; use .astype first")
    sizes = b"".join(_bytes(0x12, b"\x08" + _varint(n)) if n else b"\x12\x00" for n in array.shape)
    proto: list[Piece] = [b"\x08" + _varint(DATA_TYPES[array.dtype.name]) + _bytes(0x12, sizes)]
    arrays = {name: array}
    if array.nbytes:
        proto += _field(0x22, [name], arrays)
    else:
        proto += [name]  # no content has no field, and its place is still known
    return _field(0x0A, _field(0x0A, proto, arrays), arrays)


def _column(sample: Sample, name: str) -> list[Piece]:
    try:
        return _scalar(sample.scalars[name])
    except OverflowError:
        raise ArchiveError(
            f"{name!r} of record {sample.key} is {sample.scalars[name]:g}, and floats in TFRecord "
            'have 32 bits (up to 3.4e+38); scale the column, or write with format="webdataset"'
        ) from None


def _scalar(value: Any) -> list[Piece]:
    if isinstance(value, str):
        return [_bytes(0x0A, _bytes(0x0A, value.encode()))]
    if isinstance(value, float):
        return [_bytes(0x12, _bytes(0x0A, struct.pack("<f", value)))]
    return [_bytes(0x1A, _bytes(0x0A, _varint(int(value) & 0xFFFFFFFFFFFFFFFF)))]


def _field(tag: int, pieces: list[Piece], arrays: Arrays) -> list[Piece]:
    return [bytes([tag]) + _varint(size_of(pieces, arrays)), *pieces]


def _bytes(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


TFRECORD = Format("tfrecord", ".tfrecord", layout, seal)
