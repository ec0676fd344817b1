"""CRC-32C of tensors, block by block, and of what they are part of, without a second reading."""

from __future__ import annotations

from functools import cached_property, lru_cache, reduce
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from crc32c import crc32c

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

BLOCK_BYTES = 2**20
POLYNOMIAL = 0x82F63B78  # CRC-32C, lowest power in the highest bit
ONE = 0x80000000


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
        lengths = map(len, self._parts())
        return reduce(lambda a, b: join(a, *b), zip(self.blocks.tolist(), lengths, strict=True), 0)

    def _parts(self) -> list[memoryview]:
        return [self.view[at : at + self._step] for at in range(0, len(self.view), self._step)]


Buffer: TypeAlias = bytes | Data
"""A part of a sample: bytes as they are, or a tensor's."""


def add(crc: int, buffers: Iterable[Buffer]) -> int:
    """Return the CRC-32C of what `crc` stands for, with `buffers` after it."""
    for buffer in buffers:
        if isinstance(buffer, Data):
            crc = join(crc, buffer.crc32c, len(buffer))
        else:
            crc = crc32c(buffer, crc)
    return crc


def join(first: int, second: int, length: int) -> int:
    """Return the CRC-32C of two texts laid end to end, from theirs and the second's length.

    Examples
    --------
    >>> join(crc32c(b"brain"), crc32c(b"waves"), 5) == crc32c(b"brainwaves")
    True
    """
    return _times(_power(length), first) ^ second


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


@lru_cache(maxsize=1024)
def _power(length: int) -> int:
    """Return x to the power of 8 * `length`, modulo the polynomial."""
    power, square = ONE, ONE >> 8
    while length:
        if length & 1:
            power = _times(power, square)
        square = _times(square, square)
        length >>= 1
    return power


def _times(a: int, b: int) -> int:
    """Multiply two polynomials over GF(2), modulo the polynomial."""
    product = 0
    while a:
        if a & ONE:
            product ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ (POLYNOMIAL if b & 1 else 0)
    return product
