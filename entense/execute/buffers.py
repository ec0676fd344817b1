"""Memory that is used again: fresh pages cost more than the copy into them."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


class Buffers:
    """Lends arrays, and takes them back to lend their memory again; safe to share by threads.

    Examples
    --------
    >>> buffers = Buffers()
    >>> first = buffers.lend((2, 3), "float32")
    >>> buffers.take_back(first)
    >>> np.shares_memory(first, buffers.lend((3, 1), "float32"))
    True
    """

    def __init__(self) -> None:
        self._free: list[NDArray[np.uint8]] = []
        self._lent: dict[int, NDArray[np.uint8]] = {}
        self._lock = Lock()

    def lend(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array of that shape and dtype; what it holds is undefined."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with self._lock:
            fit = min((b for b in self._free if b.size >= size), key=len, default=None)
            if fit is None:
                self._free = self._free[1:]  # one too small goes for each that is made
                fit = np.empty(size, np.uint8)
            else:
                self._free = [b for b in self._free if b is not fit]
            array = fit[:size].view(dtype).reshape(shape)
            self._lent[id(array)] = fit
        return array

    def take_back(self, array: NDArray[Any]) -> None:
        """Take an array back; nobody may look at it any more. Others' arrays are let be."""
        with self._lock:
            memory = self._lent.pop(id(array), None)
            if memory is not None:
                self._free.append(memory)
