"""What formats of images have in common: one tensor a file, put back into the brain."""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

import numpy as np

from entense.archive.formats.base import json_of
from entense.archive.formats.foreign import Foreign, Shared, check_dtype
from entense.errors import ArchiveError
from entense.ops.spec import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from numpy.typing import NDArray

    from entense.archive.formats.base import Sample
    from entense.ops.core import Spec

HELD = ("uint8", "int16", "float32", "float64")  # what every reader of NIfTI knows
OVERHEAD = 1024  # bytes of a header, about


class Image:
    """An image being written, whose tensor comes at once.

    Parameters
    ----------
    path
        The file.
    save
        ``save(file, array, spec, sample)`` writes it.
    """

    def __init__(
        self, path: Path, save: Callable[[BinaryIO, NDArray[Any], Spec, Sample], None]
    ) -> None:
        self._path, self._save = path, save

    def append(self, sample: Sample) -> None:
        """Write the one tensor."""
        ((name, array),) = sample.arrays.items()
        with self._path.open("wb") as file:
            self._save(file, array, sample.specs[name], sample)

    def close(self) -> None:
        """Do nothing: the tensor was written when it came."""


def known(sample: Sample) -> dict[str, str]:
    """Return the columns of a record and its id as text; what is null, or no number, is absent."""
    columns = json.loads(json_of(sample)) | {"record": sample.key}
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in columns.items()
        if value is not None
    }


class ImageFormat(Foreign):
    """A format of images, one of each tensor of each record, that nibabel writes.

    Attributes
    ----------
    columns
        What it holds, as an error says it.
    held
        The dtypes that it has.
    """

    library, single = "nibabel", True
    columns: ClassVar[str]
    held: ClassVar[Collection[str]] = HELD

    @abstractmethod
    def holds(self, mask: object) -> bool:
        """Whether it has places for the columns of a tensor."""

    @abstractmethod
    def save(self, file: BinaryIO, array: NDArray[Any], spec: Spec, sample: Sample) -> None:
        """Write the one tensor of a sample."""

    def check(self, name: str, spec: Spec) -> None:
        """Raise unless a tensor has columns that lie somewhere, alone or by time, and numbers."""
        check_dtype(self, name, spec, self.held)
        alone = spec.dims[1:] if spec.dims[:1] == ("time",) else spec.dims
        if not self.holds(spec.mask) or len(alone) != 1 or alone[0] not in COLUMNS:
            raise ArchiveError(
                f"{self.name} holds {self.columns} by themselves or by time, and {name!r} is "
                f'({", ".join(spec.dims)}); leave it out, or write it with format="hdf5"'
            )
        if 0 in spec.shape:
            raise ArchiveError(f"{name!r} is empty, and an image is not; leave such records out")

    def size(self, sample: Sample) -> int:
        """Add up the arrays; what lies around them, or the axis takes, is not known here."""
        return sample.nbytes + len(sample.arrays) * (len(json_of(sample)) + OVERHEAD)

    def begin(self, path: Path, shared: Shared) -> Image:
        """Begin an image."""
        return Image(path, self.save)


def stored(path: Path, header: Any, offset: int) -> NDArray[Any]:
    """Return the numbers of an image, flat, as they lie in the file; none is read yet."""
    count = int(np.prod(header.get_data_shape(), dtype=object))
    kind = header.get_data_dtype()
    if kind.name not in HELD or count < 1 or offset + count * kind.itemsize > path.stat().st_size:
        raise ValueError(f"it promises {count} numbers of dtype {kind}, which it does not hold")
    return np.memmap(path, kind, "r", offset, (count,))
