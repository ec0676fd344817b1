"""An archive as batches, as a dataset of PyTorch, as a data source of grain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from entense.archive.loaders.items import Items
from entense.archive.loaders.loader import Loader
from entense.archive.loaders.source import Source, columns_of, named, readable
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from numpy.typing import NDArray

    from entense.archive.loaders.loader import Asked, OnError, Short
    from entense.archive.loaders.torch import Indexed, Stream
    from entense.archive.placed import Stored
    from entense.archive.read import Archive


def loader(
    archive: Archive,
    split: str | None = None,
    *,
    batch_size: int,
    tensors: Sequence[str] | None = None,
    check: bool = True,
    **asked: Unpack[Asked],
) -> Loader:
    """Return batches of arrays, read straight from the shards.

    Parameters
    ----------
    split
        Only the records of this split; None for all. Failed records are never in it.
    batch_size
        Records, or windows, in a batch.
    tensors
        Which tensors to read; None for all.
    check
        Compare the CRC-32C of each block that is read. False is for who verified before.
    window
        Frames to cut from each tensor whose first dimension is time; None for all of them.
    short
        What becomes of records that have fewer frames than a window: ``"raise"``, unless given;
        ``"skip"`` leaves them out, says so and counts them in `Loader.skipped`; ``"pad"`` puts
        zeros behind their frames, and ``<tensor>_shape`` says what is not padding.
    windows_per_record
        How many windows of each record an epoch has; 1 unless given.
    seed
        Shuffles records and places windows at random, differently each epoch; None: records
        in the order of their ids, windows evenly spaced.
    drop_last
        Leave out a last batch (with ``ragged="bucket"``, the last of each shape) that is
        smaller than the others, and what makes a rank's batches more than another's.
    rank, world
        Which of how many processes this is: each gets its share of every epoch, and together
        they get every record, or window, once. Shares differ by one at most, so that one
        process may have a batch more than another, unless `drop_last` makes them equal.
    workers
        Threads that read, 1 unless given. As many batches and one more are read ahead; their
        order does not depend on it.
    ragged
        What becomes of records of different shapes: ``"error"``, unless given; ``"pad"``, zeros
        up to the largest of the batch, and ``<tensor>_shape`` says what is not padding;
        ``"bucket"``, batches of records of one shape, each still once.
    on_error
        ``"skip"`` leaves a record that cannot be read out of its batch, which is then smaller
        (a batch of which nothing is left is not given), and counts it in `Loader.skipped`.
    to
        ``"jax"`` gives arrays of JAX on its default device, where 64 bits are 32 unless JAX
        is told otherwise.

    Returns
    -------
    Loader
        Iterate over it for an epoch; each time is another.

    Examples
    --------
    >>> from entense.archive import open_archive
    >>> archive = open_archive("out")
    >>> loader = archive.loader("train", batch_size=8, window=32, windows_per_record=16, seed=0)
    >>> next(iter(loader))["clean"].shape[:2]
    (8, 32)
    """
    return Loader(source_of(archive, split, tensors, check=check), batch_size, **asked)


def to_torch(
    archive: Archive,
    split: str | None = None,
    *,
    style: Literal["iterable", "map"] = "iterable",
    window: int | None = None,
    short: Short = "raise",
    windows_per_record: int = 1,
    seed: int | None = None,
    tensors: Sequence[str] | None = None,
    rank: int | None = None,
    world: int | None = None,
    check: bool = True,
    on_error: OnError = "raise",
) -> Stream | Indexed:
    """Return records, or windows of them, as a dataset of PyTorch; each item is a dict.

    The workers of a `DataLoader` share the items, each once, whatever their number and way of
    starting.

    Parameters
    ----------
    style
        ``"iterable"``, an IterableDataset, in the order that `seed` says; ``"map"``, one that
        a sampler can index.
    split, window, short, windows_per_record, tensors, check
        As `loader` says.
    seed
        As `loader` says; set `epoch` of the dataset before each epoch.
    rank, world
        As `loader` says; None: those of torch.distributed, if it is initialised by now.
    on_error
        ``"skip"`` leaves out a record that cannot be read, and counts it in the dataset's
        `skipped`, to which workers add. A batch of the map style is then smaller, and one of which
        nothing is left is an error, as is such an item by itself.

    Raises
    ------
    ArchiveError
        When torch is not installed, or there is no such split or window.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> from entense.archive import open_archive
    >>> data = to_torch(open_archive("out"), "train", window=32, windows_per_record=8, seed=0)
    >>> batch = next(iter(DataLoader(data, batch_size=8)))
    >>> batch["clean"].shape[:2]
    torch.Size([8, 32])
    """
    try:
        from entense.archive.loaders.torch import Indexed, Stream, rank_and_world
    except ImportError as error:
        raise ArchiveError(
            'to_torch needs PyTorch; install it with: pip install "entense[torch]"'
        ) from error
    styles: dict[str, type[Stream | Indexed]] = {"iterable": Stream, "map": Indexed}
    if style not in styles:
        raise ArchiveError(f"style={style!r} is none of 'iterable', 'map'")
    source = source_of(archive, split, tensors, check=check)
    rank, world = rank_and_world(rank, world)
    each, skips = windows_per_record, on_error
    items = Items(source, window, each, seed, rank, world, short=short, on_error=skips)
    return styles[style](items)


def to_grain(
    archive: Archive,
    split: str | None = None,
    *,
    window: int | None = None,
    short: Short = "raise",
    windows_per_record: int = 1,
    tensors: Sequence[str] | None = None,
    check: bool = True,
    on_error: OnError = "raise",
) -> Items:
    """Return records, or windows of them, as a data source of grain: ``source[i]`` is a dict.

    Windows are evenly spaced; grain itself shuffles, shards and batches.

    Parameters
    ----------
    split, window, short, windows_per_record, tensors, check
        As `loader` says.
    on_error
        ``"skip"`` gives None for a record that cannot be read, which grain leaves out when it
        iterates (make batches after `to_iter_dataset`), and counts it in the source's `skipped`,
        which worker processes add to.

    Examples
    --------
    >>> import grain
    >>> from entense.archive import open_archive
    >>> source = to_grain(open_archive("out"), "train", window=32, windows_per_record=8)
    >>> batches = grain.MapDataset.source(source).shuffle(seed=0).batch(8)
    >>> batches[0]["clean"].shape[:2]
    (8, 32)
    """
    source = source_of(archive, split, tensors, check=check)
    return Items(source, window, windows_per_record, short=short, on_error=on_error)


@dataclass(frozen=True, eq=False)
class Rows:
    """Some tensors of some records of an archive, read by offset; it can be pickled."""

    stored: Stored
    rows: Sequence[int]
    tensors: Sequence[str]
    checked: bool

    def check(self, record: int) -> None:
        """Raise where a shard is too short for the tensors of a record."""
        for tensor in self.tensors:
            self.stored.check(self.rows[record], tensor)

    def read(self, record: int, tensor: str, start: int, stop: int, out: NDArray[Any]) -> None:
        """Read rows of a tensor of a record."""
        row = self.rows[record]
        self.stored.read_rows(row, tensor, start, stop, out, check=self.checked)


def source_of(
    archive: Archive, split: str | None, tensors: Sequence[str] | None, *, check: bool
) -> Source:
    """Return the records of a split for the loaders, which read windows of them by offset."""
    rows, stored = archive.rows(split), archive.stored
    names = named(tensors, archive.schema)
    columns = columns_of(archive.scalars)  # of all records: a split has the dtypes of the whole
    found, numbers = Rows(stored, rows, names, check), np.array(rows, np.intp)
    return Source(
        tensors={name: stored.tensor(name) for name in names},
        shapes={name: stored.shapes(name)[numbers] for name in names},
        columns={name: column[numbers] for name, column in columns.items()},
        opened=partial(readable, found.read),
        check=found.check,
    )
