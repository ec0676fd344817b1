"""What a format is: where the bytes of one sample go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from entense.archive.checksum import Buffer, Data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

Scalar: TypeAlias = bool | int | float | str | None
Piece: TypeAlias = bytes | str
"""Bytes as they are, or the name of the tensor whose data goes here."""


class Kind(Protocol):
    """What a format may ask of a tensor before it exists; an array answers it too."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its extents."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its NumPy dtype."""

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""


@dataclass(frozen=True)
class Blank:
    """A tensor that is to come.

    Examples
    --------
    >>> Blank((200, 400), as_dtype("float32")).nbytes
    320000
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True)
class Framed:
    """The bytes of a sample around its arrays, where each begins in them, and its checksums."""

    buffers: list[Buffer]
    offsets: dict[str, int]
    data: dict[str, Data]


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
        ``layout(key, kinds, scalars)`` returns the pieces of one sample in order: bytes, or the
        name of a tensor where its data (C order, little endian) goes. It sees no data, only
        shapes and dtypes, so that shards can be planned before anything is computed. It raises
        `ArchiveError` for what the format cannot hold.
    seal
        Bytes that end a sample and depend on its data, such as a checksum (see `checksum.add`);
        always of one length.
    trailer
        Bytes that end a shard.

    Examples
    --------
    A format of one's own: the data and nothing else.

    >>> raw = Format("raw", ".bin", lambda key, kinds, scalars: sorted(kinds))
    >>> framed = raw.frame("a", {"y": np.zeros(3, "u1"), "x": np.zeros(2, "f4")}, {})
    >>> framed.offsets
    {'x': 0, 'y': 8}
    """

    name: str
    extension: str
    layout: Callable[[str, Mapping[str, Kind], Mapping[str, Scalar]], list[Piece]]
    seal: Callable[[Sequence[Buffer]], bytes] = no_seal
    trailer: bytes = b""

    def size(self, key: str, kinds: Mapping[str, Kind], scalars: Mapping[str, Scalar]) -> int:
        """Return how many bytes the sample will take, from shapes and dtypes alone."""
        pieces = self.layout(key, kinds, scalars)
        data = sum(kinds[p].nbytes if isinstance(p, str) else len(p) for p in pieces)
        return data + len(self.seal(()))

    def frame(
        self, key: str, arrays: Mapping[str, NDArray[Any]], scalars: Mapping[str, Scalar]
    ) -> Framed:
        """Return the bytes of a sample, its arrays as views that are never copied.

        Parameters
        ----------
        key
            The record's id.
        arrays
            Tensors by name, C-contiguous.
        scalars
            Numbers, strings and nulls that go into the sample.
        """
        data = {name: Data(array) for name, array in arrays.items()}
        buffers: list[Buffer] = []
        offsets: dict[str, int] = {}
        at = 0
        for piece in self.layout(key, arrays, scalars):
            if isinstance(piece, str):
                offsets[piece] = at
            buffers.append(data[piece] if isinstance(piece, str) else piece)
            at += len(buffers[-1])
        buffers.append(self.seal(buffers))
        return Framed(buffers, offsets, data)


def as_dtype(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype of a name, ``bfloat16`` among them.

    Examples
    --------
    >>> as_dtype("float16").itemsize
    2
    """
    if name == "bfloat16":
        import ml_dtypes

        name = ml_dtypes.bfloat16
    dtype: np.dtype[Any] = np.dtype(name)
    return dtype
