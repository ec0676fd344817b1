"""WebDataset shards: plain tar archives with a `.npy` member a tensor and a `.json` of scalars."""

from __future__ import annotations

import io
import re
from tarfile import USTAR_FORMAT, TarInfo
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.archive.formats.base import Format, Piece, Sample, json_of
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 512
LIMIT = 8**11 - 1  # eleven octal digits


def layout(sample: Sample) -> list[Piece]:
    """Return the pieces of a sample: a ``key.name.npy`` a tensor, then ``key.json`` if needed."""
    pieces: list[Piece] = []
    for name, array in sample.arrays.items():
        _check_tensor(name, array)
        head = _npy_header(array)
        pieces += _member(f"{sample.key}.{name}.npy", [head, name], len(head) + array.nbytes)
    if sample.scalars:
        text = json_of(sample)
        pieces += _member(f"{sample.key}.json", [text], len(text))
    return pieces


def _member(name: str, content: list[Piece], size: int) -> list[Piece]:
    _check_member(name, size)
    info = TarInfo(name)  # mtime 0, uid 0, gid 0, mode 0644: the same bytes every time
    info.size = size
    return [info.tobuf(USTAR_FORMAT), *content, bytes(-size % BLOCK)]


def _npy_header(array: NDArray[Any]) -> bytes:
    """Return a .npy header, whose length is a multiple of 64: in a tar the data stays aligned."""
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": tuple(array.shape)}
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def _check_tensor(name: str, array: NDArray[Any]) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise ArchiveError(
            f"the tensor {name!r} cannot be a file extension in WebDataset; rename it with lower-"
            'case letters, digits and "_", or write with format="tfrecord"'
        )
    if array.dtype.kind not in "biufc":
        raise ArchiveError(
            f"NumPy files, and so WebDataset, have no dtype {array.dtype} for {name!r}; "
            f'use dtype={{"{name}": "float16"}}, or write with format="tfrecord"'
        )


def _check_member(name: str, size: int) -> None:
    key = name.partition(".")[0]
    if not re.fullmatch(r"[A-Za-z0-9+-][A-Za-z0-9_+-]*", key) or len(name) > 100:
        raise ArchiveError(
            f"{name!r} cannot name a member of a WebDataset tar: it must have at most 100 "
            'characters and a record id of letters, digits, "_", "+" and "-"; give the table a '
            "shorter or plainer `record` column"
        )
    if size > LIMIT:
        raise ArchiveError(
            f"{name} takes {size / 2**30:.1f} GiB, and a member of a tar holds less than 8 GiB; "
            "use a smaller dtype, or write fewer frames a record"
        )


WEBDATASET = Format("webdataset", ".tar", layout, trailer=bytes(2 * BLOCK))
