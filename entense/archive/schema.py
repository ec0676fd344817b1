"""What the tensors of an archive are: for people, for loaders and for the manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping  # noqa: TC003  the manifest looks at annotations
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from entense.errors import ArchiveError
from entense.ops.core import is_tr

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from entense.ops.core import Spec

T = TypeVar("T")
Labels = tuple[tuple[str, tuple[int | str, ...]], ...]

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
)


@dataclass(frozen=True)
class Tensor:
    """What all records share of a tensor.

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
    mask
        Digest of the mask of the voxel axis; None where there is none, or where records differ.
    tr
        Seconds between frames; None where there is no time, or where records differ.
    scale
        A stored number times this is the value; None where it is the value.
    """

    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    shape: tuple[int | None, ...]
    coords: Mapping[str, tuple[int | str, ...]]
    mask: str | None
    tr: float | None
    scale: float | None = None

    def plain(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        coords = {dim: list(labels) for dim, labels in self.coords.items()}
        return {**vars(self), "dtype": self.dtype.name, "coords": coords}

    def __str__(self) -> str:
        sizes = ("ragged" if size is None else str(size) for size in self.shape)
        dims = ", ".join(f"{dim} {size}" for dim, size in zip(self.dims, sizes, strict=True))
        tr = f", TR {self.tr:g} s" if self.tr else ""
        return f"{self.dtype} ({dims}){tr}" + (f", steps of {self.scale:g}" if self.scale else "")


def common(specs: Sequence[Spec]) -> Tensor:
    """Return what the specs of a tensor, one a record, have in common."""
    return Tensor(
        as_dtype(specs[0].dtype),
        specs[0].dims,
        tuple(_same(sizes) for sizes in zip(*(spec.shape for spec in specs), strict=True)),
        specs[0].coords if _same(coords_digest(spec.coords) for spec in specs) else {},
        _same(mask_digest(spec) for spec in specs),
        _same(tr_of(spec) for spec in specs),
        scale_of(specs),
    )


def as_dtype(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype of a name, ``bfloat16`` among them.

    Raises
    ------
    ArchiveError
        When archives do not hold it.

    Examples
    --------
    >>> as_dtype("float16").itemsize
    2
    """
    if name not in DTYPES:
        raise ArchiveError(f"archives hold no {name!r}; they hold {', '.join(DTYPES)}")
    if name == "bfloat16":
        import ml_dtypes

        name = ml_dtypes.bfloat16
    dtype: np.dtype[Any] = np.dtype(name)
    return dtype


def digest_of(value: object) -> str:
    """Return 16 hexadecimal digits of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def coords_digest(coords: Mapping[str, tuple[int | str, ...]]) -> str | None:
    """Return a digest of the labels of a tensor's dimensions; None where there are none."""
    return _labels_digest(tuple(sorted(coords.items()))) if coords else None


def mask_digest(spec: Spec) -> str | None:
    """Return the digest of the mask of a tensor's voxel axis; None where it has none."""
    return spec.mask.digest if spec.mask else None


def scale_of(specs: Iterable[Spec]) -> float | None:
    """Return what one step of a tensor's whole numbers stands for, the same in all records."""
    scales = sorted({spec.scale for spec in specs if spec.scale is not None})
    if len(scales) > 1:
        raise ArchiveError(
            f"the records of a tensor are in steps of {scales[0]:g} and {scales[1]:g}, and an "
            "archive has one for all; give astype the same scale for every record"
        )
    return scales[0] if scales else None


def tr_of(spec: Spec) -> float | None:
    """Return the seconds between frames; None where they are unknown, or what no scanner has."""
    return spec.tr if is_tr(spec.tr) else None


@lru_cache(maxsize=1024)
def _labels_digest(labels: Labels) -> str:
    return digest_of(labels)


def _same(values: Iterable[T]) -> T | None:
    """Return what all values are, or None where they differ."""
    different = set(values)
    return different.pop() if len(different) == 1 else None
