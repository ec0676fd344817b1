"""CRC-32C of tensors, block by block, and of what they are part of, without a second reading."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from awscrt.checksums import combine_crc32c, crc32c

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

BLOCK_BYTES = 2**20


class Data:
    """The bytes of a tensor, never copied, and their checksums, which are made when asked for.

    Parameters
    ----------
    array
        A C-contiguous array of any dtype.

    Examples
    --------
    >>> Data(np.zeros((2, 2), "u1")).crc32c
    1214729159
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self.view = raw(array)
        rows = len(array) if array.ndim else 1
        self._step = len(self.view) // max(1, rows) * block_rows(array.shape, array.nbytes) or 1

    def __len__(self) -> int:
        return len(self.view)

    @cached_property
    def blocks(self) -> NDArray[np.uint32]:
        """The CRC-32C of each block of rows, little endian."""
        return np.array([crc32c(part) for part in self._parts()], "<u4")

    @cached_property
    def crc32c(self) -> int:
        """The CRC-32C of all the bytes, which are read only once."""
        crc = 0
        for part, block in zip(self._parts(), self.blocks.tolist(), strict=True):
            crc = combine_crc32c(crc, block, len(part))
        return crc

    def _parts(self) -> list[memoryview]:
        return [self.view[at : at + self._step] for at in range(0, len(self.view), self._step)]


Buffer: TypeAlias = bytes | Data
"""A part of a sample: bytes as they are, or a tensor's."""


def add(crc: int, buffers: Iterable[Buffer]) -> int:
    """Return the CRC-32C of what `crc` stands for, with `buffers` after it."""
    for buffer in buffers:
        if isinstance(buffer, Data):
            crc = combine_crc32c(crc, buffer.crc32c, len(buffer))
        else:
            crc = crc32c(buffer, crc)
    return crc


def raw(array: NDArray[Any]) -> memoryview:
    """Return the bytes of a C-contiguous array, of any dtype, as a view.

    Examples
    --------
    >>> len(raw(np.zeros((2, 3), "f4")))
    24
    """
    # as bytes, because bfloat16 exports no buffer of its own; 1-D, because views need an axis
    return array.reshape(-1).view(np.uint8).data


def block_rows(shape: tuple[int, ...], nbytes: int) -> int:
    """Return how many rows (frames) a checksummed block has: about 1 MiB of them.

    Examples
    --------
    >>> block_rows((200, 400), 200 * 400 * 4)
    655
    """
    rows = shape[0] if shape else 1
    return max(1, BLOCK_BYTES * rows // nbytes) if nbytes else max(1, rows)
