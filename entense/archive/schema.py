"""What the tensors of an archive are, for people and for loaders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from entense.archive.formats import as_dtype

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from entense.archive.manifest import Manifest


@dataclass(frozen=True)
class Tensor:
    """What the records of an archive share of a tensor.

    Parameters
    ----------
    dtype
        Its dtype.
    dims
        Names of its dimensions.
    shape
        Its extents; None where records differ.
    coords
        Labels of a dimension, such as the parcels' numbers; empty where there are none, or where
        records differ.
    tr
        Seconds between frames; None where there is no time, or where records differ.
    """

    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    shape: tuple[int | None, ...]
    coords: Mapping[str, tuple[int | str, ...]]
    tr: float | None

    def __str__(self) -> str:
        sizes = ("ragged" if size is None else str(size) for size in self.shape)
        dims = ", ".join(f"{dim} {size}" for dim, size in zip(self.dims, sizes, strict=True))
        return f"{self.dtype} ({dims})" + (f", TR {self.tr:g} s" if self.tr else "")


def schema_of(manifest: Manifest) -> dict[str, Tensor]:
    """Return the tensors of an archive, by name, with their labels looked up."""
    return {
        name: Tensor(as_dtype(t.dtype), t.dims, t.shape, _coords(manifest, t.coords), t.tr)
        for name, t in manifest.tensors.items()
    }


def _coords(manifest: Manifest, digest: str | None) -> dict[str, tuple[int | str, ...]]:
    found = manifest.coords[digest] if digest else {}
    return {dim: tuple(labels) for dim, labels in found.items()}
