"""HDF5: a group a record, a dataset a tensor, an attribute a column."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, final

import numpy as np

from entense.archive.formats.foreign import (
    Foreign,
    Shared,
    check_holds,
    check_member,
    check_part,
    facts,
)
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from entense.archive.formats.base import Sample
    from entense.ops.core import Spec

OVERHEAD = 2048  # bytes of a group or dataset beside its data, about


class _File:
    """An HDF5 file being written; what is appended leaves memory."""

    def __init__(self, path: Path) -> None:
        import h5py

        self._file = h5py.File(path, "w")

    def append(self, sample: Sample) -> None:
        """Write a group, its datasets contiguous, so that windows are read alone."""
        group = self._file.create_group(sample.key)
        there = {name: value for name, value in sample.scalars.items() if value is not None}
        group.attrs.update(there)
        for name, array in sample.arrays.items():
            # a time of day would differ each time
            dataset = group.create_dataset(name, data=array, track_times=False)
            dataset.attrs.update(facts(sample.specs[name]))
            for dim, label in zip(dataset.dims, sample.specs[name].dims, strict=True):
                dim.label = label

    def close(self) -> None:
        """Write what HDF5 still holds."""
        self._file.close()


@final
class HDF5(Foreign):
    """HDF5 files: ``file[record][tensor]``; a null is an attribute that is absent."""

    name, extension, library = "hdf5", ".h5", "h5py"

    def check(self, name: str, spec: Spec) -> None:
        """Refuse bfloat16, which HDF5 has not."""
        check_member(self, name, spec)

    def size(self, sample: Sample) -> int:
        """Add up the arrays and the headers."""
        check_part(sample.key, self)
        for name, value in sample.scalars.items():
            if not name or "\0" in name or (isinstance(value, str) and "\0" in value):
                raise ArchiveError(
                    f"an attribute of HDF5 has a name and no zero byte, and {name!r} of record "
                    f"{sample.key} is not so; rename or clean that column"
                )
        return OVERHEAD + sample.nbytes + OVERHEAD * len(sample.arrays)

    def begin(self, path: Path, shared: Shared) -> _File:
        """Begin a file."""
        return _File(path)

    def read(self, path: Path, key: str, tensor: str, start: int, stop: int) -> NDArray[Any]:
        """Read rows of a dataset."""
        with self.reading(path):
            import h5py

            with h5py.File(path, "r") as file:
                dataset = _dataset(_own(file, key), tensor)
                check_holds(path, math.prod(dataset.shape) * dataset.dtype.itemsize)
                return np.asarray(dataset[start:stop] if dataset.shape else dataset[()])


def _dataset(group: Any, name: str) -> Any:
    """Return a dataset of plain numbers that lie in this file."""
    import h5py

    dataset = _own(group, name)
    layout = dataset.id.get_create_plist()
    # others could have filters that are loaded, or lie in other files
    if layout.get_layout() != h5py.h5d.CONTIGUOUS or layout.get_external_count():
        raise ValueError(f"{dataset.name} is not contiguous, as write makes it")
    if dataset.dtype.kind not in "biufc":
        raise ValueError(f"{dataset.name} is of dtype {dataset.dtype}, and no tensor")
    return dataset


def _own(group: Any, name: str) -> Any:
    """Return what a group holds itself: a link could lead to any file."""
    import h5py

    if "/" in name or not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"it does not hold {name!r}")
    return group[name]
