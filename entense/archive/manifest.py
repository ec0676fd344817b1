"""entense.json: what an archive holds, written last and checked on opening."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from crc32c import crc32c

from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")

VERSION = 1
NAME = "entense.json"
RECORDS = "records.parquet"
MASKS = "masks"


@dataclass(frozen=True)
class File:
    """A file of the archive: relative path, size in bytes, CRC-32C."""

    path: str
    bytes: int
    crc32c: int


@dataclass(frozen=True)
class ShardFile(File):
    """A shard: its split and how many records it holds."""

    split: str
    records: int


@dataclass(frozen=True)
class MaskFile(File):
    """A mask: how many voxels it has."""

    voxels: int


@dataclass(frozen=True)
class TensorInfo:
    """What all records share of a tensor; None where they do not.

    Parameters
    ----------
    dtype
        NumPy's name of the dtype, or ``bfloat16``.
    dims
        Names of the dimensions.
    shape
        Extents; None for a ragged one.
    coords
        Digest of the labels of the dimensions, in `Manifest.coords`.
    mask
        Digest of the mask of the voxel axis, in `Manifest.masks`.
    tr
        Seconds between frames.
    """

    dtype: str
    dims: tuple[str, ...]
    shape: tuple[int | None, ...]
    coords: str | None
    mask: str | None
    tr: float | None


@dataclass(frozen=True)
class Manifest:
    """The whole of entense.json.

    Parameters
    ----------
    format
        Name of the shards' format.
    recipes
        Tensor to the canonical JSON of its recipe.
    tensors
        Tensor to what its records share.
    columns
        Scalars inside the samples: name to Polars dtype.
    splits
        Split to its number of records, in order.
    shards
        The shards, in the order that `records.parquet` counts them.
    masks
        Digest to the file of a mask.
    coords
        Digest to labels of dimensions: ``{"parcel": [1, 2, …]}``.
    records
        The file `records.parquet`.
    failures
        Records that have an error in place of tensors.
    made_by
        Versions and machine that made it.
    version
        Of this layout.
    """

    format: str
    recipes: Mapping[str, str]
    tensors: Mapping[str, TensorInfo]
    columns: Mapping[str, str]
    splits: Mapping[str, int]
    shards: Sequence[ShardFile]
    masks: Mapping[str, MaskFile]
    coords: Mapping[str, Mapping[str, Sequence[int | str]]]
    records: File
    failures: int
    made_by: Mapping[str, str]
    version: int = VERSION

    def to_json(self) -> bytes:
        """Return the bytes of entense.json, with their own checksum in them."""
        return sealed(asdict(self))

    @classmethod
    def from_json(cls, text: bytes, where: Path) -> Manifest:
        """Read entense.json, taking nothing on trust.

        Raises
        ------
        ArchiveError
            When it is damaged, of a newer version, or names files outside its folder.
        """
        try:
            body = unsealed(text)
        except ValueError as error:
            raise _damaged(where) from error
        if body.get("version") != VERSION:
            raise ArchiveError(
                f"{where} has version {body.get('version')} of the layout and this entense reads "
                f"version {VERSION}; upgrade entense to open it"
            )
        try:
            manifest = _manifest(body)
        except (KeyError, TypeError, AttributeError) as error:
            raise _damaged(where) from error
        for file in (manifest.records, *manifest.shards, *manifest.masks.values()):
            check_inside(file.path, where)
        return manifest


def sealed(body: Mapping[str, Any]) -> bytes:
    r"""Return the one JSON text of a mapping: keys in their order, its own CRC-32C among them.

    Examples
    --------
    >>> sealed({"b": 1, "a": (2, None)})
    b'{\n "b": 1,\n "a": [\n  2,\n  null\n ],\n "seal": 2761970570\n}\n'
    """
    seal = crc32c(json.dumps(body).encode())
    return json.dumps({**body, "seal": seal}, indent=1).encode() + b"\n"


def unsealed(text: bytes) -> dict[str, Any]:
    """Return what `sealed` was given; a ValueError where a byte of it changed.

    Examples
    --------
    >>> unsealed(sealed({"a": [1]}))
    {'a': [1]}
    """
    try:
        body = json.loads(text)
        seal = body.pop("seal")
    except (RecursionError, AttributeError, KeyError, TypeError) as error:
        raise ValueError("no sealed JSON") from error
    if sealed(body) != text:
        raise ValueError(f"the seal {seal} is broken")
    return dict(body)


def check_inside(path: str, where: Path) -> None:
    """Raise unless `path`, read from `where`, is relative and stays inside its folder.

    Examples
    --------
    >>> from pathlib import Path
    >>> check_inside("train/train-000000.tar", Path("out/entense.json"))
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\\" in path or "\0" in path:
        raise ArchiveError(
            f"{where} names {path!r}, which is outside its folder; do not trust this archive: "
            "write it again"
        )


def made_by() -> dict[str, str]:
    """Return what decides the bytes of an archive: versions of packages, kind of machine."""
    from entense import __version__

    packages = ("jax", "nibabel", "numpy", "polars", "scipy")
    versions = {name: version(name) for name in packages}
    return {"entense": __version__, **versions, "machine": platform.machine()}


def _damaged(where: Path) -> ArchiveError:
    return ArchiveError(f"{where} is damaged or was edited; copy it again, or write it again")


def _manifest(body: dict[str, Any]) -> Manifest:
    tensors = {
        name: TensorInfo(**{**info, "dims": tuple(info["dims"]), "shape": tuple(info["shape"])})
        for name, info in body["tensors"].items()
    }
    parts = {
        "tensors": tensors,
        "shards": tuple(ShardFile(**shard) for shard in body["shards"]),
        "masks": {digest: MaskFile(**mask) for digest, mask in body["masks"].items()},
        "records": File(**body["records"]),
    }
    return Manifest(**(body | parts))
