"""entense.json: what an archive holds, written last and checked on opening."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_origin, get_type_hints

from awscrt.checksums import crc32c

from entense.archive.schema import Tensor, as_dtype
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from entense.archive.store import Place

T = TypeVar("T")

VERSION = 2
NAME = "entense.json"
RECORDS = "records.parquet"
MASKS = "masks"
LARGEST = 2**63  # a number in it; Parquet and Polars hold no larger


@dataclass(frozen=True)
class File:
    """A file of the archive: relative path, size in bytes, CRC-32C."""

    path: str
    bytes: int
    crc32c: int


@dataclass(frozen=True)
class ShardFile(File):
    """A shard: its split, how many records it holds, and of which series it is."""

    split: str
    records: int
    series: int = 0
    number: int = 0  # within its split: shards of one number hold the same records


@dataclass(frozen=True)
class Series:
    """Shards of one format that hold some of the tensors of every record."""

    format: str
    tensors: tuple[str, ...]
    folder: str  # where they lie, `{split}` standing for the split


@dataclass(frozen=True)
class MaskFile(File):
    """A mask: how many voxels it has."""

    voxels: int


@dataclass(frozen=True)
class Manifest:
    """The whole of entense.json."""

    series: Sequence[Series]  # together they hold each tensor once a format
    sharding: Mapping[str, object]  # as `write` was asked for it
    recipes: Mapping[str, str]  # tensor to the canonical JSON of its recipe
    tensors: Mapping[str, Tensor]
    columns: Mapping[str, str]  # scalars inside the samples, to their Polars dtype
    splits: Mapping[str, int]  # to the number of records, failed ones apart
    shards: Sequence[ShardFile]  # in the order that `records.parquet` counts them
    masks: Mapping[str, MaskFile]  # by digest
    coords: Mapping[str, Mapping[str, Sequence[int | str]]]  # by digest: labels by dimension
    records: File
    failures: int
    code: Mapping[str, str]  # digests of the operations, formats and sharding
    made_by: Mapping[str, str]  # versions and kind of machine
    version: int  # of this layout
    beside: Sequence[File] = ()  # descriptions and indexes, which others read

    @property
    def format(self) -> str:
        """The first of its formats, from which tensors are read unless others are asked for."""
        return self.series[0].format

    @property
    def formats(self) -> list[str]:
        """The formats, each of which holds all tensors."""
        return list(dict.fromkeys(series.format for series in self.series))

    def series_of(self, tensors: Iterable[str], fmt: str | None = None) -> list[int]:
        """Return the series that hold some tensors in a format (the first unless given)."""
        wanted, fmt = set(tensors), fmt or self.format
        return [
            number
            for number, series in enumerate(self.series)
            if series.format == fmt and wanted.intersection(series.tensors)
        ]

    def shards_of(self, split: str | None, series: int = 0) -> list[ShardFile]:
        """Return the shards of a split (None: of all) in a series."""
        wanted = [shard for shard in self.shards if shard.series == series]
        return [shard for shard in wanted if split in (None, shard.split)]

    @classmethod
    def from_json(cls, text: bytes, where: Place) -> Manifest:
        """Read entense.json, taking nothing on trust; an ArchiveError where anything is wrong."""
        try:
            manifest = unsealed(text, lambda body: _manifest(body, where))
        except ValueError as error:
            raise ArchiveError(
                f"{where} is damaged or was edited; copy it again, or write it again"
            ) from error
        for file in manifest.files:
            check_inside(file.path, where)
        return manifest

    @property
    def files(self) -> list[File]:
        """All files of the archive but the manifest itself."""
        return [self.records, *self.masks.values(), *self.shards, *self.beside]


def sealed(body: Mapping[str, Any]) -> bytes:
    r"""Return the one JSON text of a mapping: keys in their order, its own CRC-32C among them.

    Examples
    --------
    >>> sealed({"b": 1, "a": (2, None)})
    b'{\n "b": 1,\n "a": [\n  2,\n  null\n ],\n "seal": 2761970570\n}\n'
    """
    seal = crc32c(json.dumps(body).encode())
    return json.dumps({**body, "seal": seal}, indent=1, allow_nan=False).encode() + b"\n"


def unsealed(text: bytes, make: Callable[[dict[str, Any]], T]) -> T:
    """Return what `make` makes of what `sealed` was given.

    Raises
    ------
    ValueError
        When a byte of it changed, or `make` cannot use it.

    Examples
    --------
    >>> unsealed(sealed({"a": [1]}), dict)
    {'a': [1]}
    """
    try:
        body = json.loads(text)
        seal = body.pop("seal")
        if sealed(body) != text:
            raise ValueError(f"the seal {seal} is broken")
        return make(body)
    except (RecursionError, AttributeError, LookupError, TypeError) as error:
        raise ValueError("no sealed JSON of this kind") from error


def check_inside(path: str, where: Place) -> None:
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


def checked(thing: T) -> T:
    """Return a dataclass whose fields hold what they are annotated with; else a TypeError.

    Examples
    --------
    >>> checked(File("a", "many", 0))
    Traceback (most recent call last):
    TypeError: 'many' is no <class 'int'>
    """
    for name, kind in get_type_hints(type(thing)).items():
        if not _is(getattr(thing, name), kind):
            raise TypeError(f"{getattr(thing, name)!r} is no {kind}")
    return thing


def _is(value: object, kind: Any) -> bool:
    origin, parts = get_origin(kind) or kind, get_args(kind)
    if origin is UnionType:
        return any(_is(value, part) for part in parts)
    if origin is Mapping:
        pairs = value.items() if isinstance(value, dict) else [(None, None)]
        return all(_is(key, parts[0]) and _is(one, parts[1]) for key, one in pairs)
    if origin in (Sequence, tuple):
        return isinstance(value, list | tuple) and all(_is(one, parts[0]) for one in value)
    if origin in (int, float):
        return type(value) in {int, origin} and abs(cast("float", value)) < LARGEST
    return isinstance(value, origin)


@lru_cache(maxsize=1)
def made_by() -> dict[str, str]:
    """Return what decides the bits of a result: versions of packages, kinds of device and chip."""
    import jax

    from entense import __version__

    versions = {name: version(name) for name in ("jax", "jaxlib", "numpy", "scipy")}
    device = jax.devices()[0]
    kind = " ".join(dict.fromkeys((device.platform, device.device_kind)))
    return {"entense": __version__, **versions, "device": kind, "instructions": _instructions()}


def _instructions() -> str:
    """Return the widest vectors of an x86 processor; of any other, its name."""
    machine, info = platform.machine(), Path("/proc/cpuinfo")
    if machine not in ("x86_64", "AMD64") or not info.exists():
        return machine
    known = re.findall(r"avx512f|avx2|avx\b", info.read_text())
    return next((name for name in ("avx512f", "avx2", "avx") if name in known), "none")


def _manifest(body: dict[str, Any], where: Place) -> Manifest:
    version = body.get("version")
    if version != VERSION:
        old = isinstance(version, int) and version < VERSION
        remedy = "write the archive again" if old else "upgrade entense to open it"
        raise ArchiveError(
            f"{where} has version {version} of the layout and this entense reads "
            f"version {VERSION}; {remedy}"
        )
    parts = {
        "tensors": {name: _tensor(info, body) for name, info in body["tensors"].items()},
        "series": tuple(checked(_series(**series)) for series in body["series"]),
        "shards": tuple(checked(ShardFile(**shard)) for shard in body["shards"]),
        "masks": {digest: checked(MaskFile(**mask)) for digest, mask in body["masks"].items()},
        "records": checked(File(**body["records"])),
        "beside": tuple(checked(File(**file)) for file in body.get("beside", ())),
    }
    manifest = checked(Manifest(**(body | parts)))
    for shard in manifest.shards:
        manifest.series[shard.series]  # an index that is there
    return manifest


def _series(format: str, tensors: Sequence[str], folder: str) -> Series:
    return Series(format, tuple(tensors), folder)


def _tensor(info: dict[str, Any], body: dict[str, Any]) -> Tensor:
    coords = body["coords"][info["coords"]] if info["coords"] else {}
    parts = {
        "dtype": as_dtype(info["dtype"]),
        "dims": tuple(info["dims"]),
        "shape": tuple(info["shape"]),
        "coords": {dim: tuple(labels) for dim, labels in coords.items()},
    }
    tensor = checked(Tensor(**(info | parts)))
    if len(tensor.dims) != len(tensor.shape):
        raise TypeError("as many dims as extents are due")
    return tensor
