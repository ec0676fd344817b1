"""Memory that is used again: fresh pages cost more than the copy into them."""

from __future__ import annotations

from bisect import bisect_left, insort
from threading import Lock
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary

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
        # by dtype: what is decoded and what is made differ in it, and would swap their memory
        self._free: dict[np.dtype[Any], list[NDArray[np.uint8]]] = {}
        # weak: what a record that failed was lent goes with the record
        self._ours: WeakValueDictionary[int, NDArray[np.uint8]] = WeakValueDictionary()
        self._lock = Lock()

    def lend(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array of that shape and dtype; what it holds is undefined."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with self._lock:
            free = self._free.setdefault(np.dtype(dtype), [])
            fits = bisect_left(free, size, key=len)
            if fits < len(free):
                memory = free.pop(fits)
            else:
                free[-1:] = []  # one too small goes for each that is made
                # longer than asked for: the next run may be, and what is not touched takes nothing
                memory = np.empty(size + size // 4, np.uint8)
                self._ours[id(memory)] = memory
        return memory[:size].view(dtype).reshape(shape)

    def take_back(self, array: NDArray[Any]) -> None:
        """Take an array back; nobody may look at it any more. Others' arrays are let be."""
        memory = array.base
        with self._lock:
            ours = memory is not None and self._ours.get(id(memory)) is memory
            free = self._free.setdefault(array.dtype, [])
            if ours and not any(m is memory for m in free):
                insort(free, cast("NDArray[np.uint8]", memory), key=len)
