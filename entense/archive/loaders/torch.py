"""An archive as a dataset of PyTorch: in order by several workers, or item by item.

The classes are those of a module, not of a function, so that a worker that was spawned finds them.
This module is imported where torch is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from entense.archive.loaders.items import Items
    from entense.archive.loaders.source import Skipped


class Stream(IterableDataset):  # type: ignore[misc]
    """Items in the order of an epoch, each of which one worker reads.

    Attributes
    ----------
    epoch
        Set it before each epoch, as a sampler's: with a seed it decides order and windows.
    """

    def __init__(self, items: Items) -> None:
        self.items = items
        self.epoch = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        part, parts = (worker.id, worker.num_workers) if worker else (0, 1)
        self.items.epoch = self.epoch
        for place in self.items.part(part, parts):
            item = self.items.found(*place)
            if item is not None:
                yield _tensors(item)

    @property
    def skipped(self) -> list[Skipped]:
        """Record and reason of whatever was left out, here and by workers."""
        return self.items.skipped


class Indexed(Dataset):  # type: ignore[misc]
    """Items by number, for a sampler to put in order.

    Attributes
    ----------
    epoch
        Set it before each epoch: with a seed it decides the windows.
    """

    def __init__(self, items: Items) -> None:
        self.items = items
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.items.epoch = self.epoch
        return _tensors(self.items.of(*self.items.at(index)))

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return the items of a batch, as a DataLoader asks for them, without what is skipped."""
        self.items.epoch = self.epoch
        found = [
            _tensors(item) for item in map(self.items.__getitem__, indices) if item is not None
        ]
        if not found:
            raise ArchiveError(
                f"no record of a batch of {len(indices)} can be read, and an empty batch is none; "
                'copy the damaged shards again, or use style="iterable"'
            )
        return found

    @property
    def skipped(self) -> list[Skipped]:
        """Record and reason of whatever was left out, here and by workers."""
        return self.items.skipped


def rank_and_world(rank: int | None, world: int | None) -> tuple[int, int]:
    """Return what is given, or else what torch.distributed says, where it was initialised."""
    group = torch.distributed
    started = group.is_available() and group.is_initialized()
    if rank is None:
        rank = group.get_rank() if started else 0
    if world is None:
        world = group.get_world_size() if started else 1
    return rank, world


def _tensors(item: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _tensor(value) if isinstance(value, np.ndarray) else value
        for name, value in item.items()
    }


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    """Return an array as a tensor, without a copy; torch takes no bfloat16 from NumPy."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(array)
