"""GIFTI: series, labels and masks of the vertices of one or two hemispheres."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

import numpy as np

from entense.errors import RecordError
from entense.files import INFLATES, open_packed, opening, version_of
from entense.geometry.grayordinates import CORTEX, PREFIX, Grayordinates, Sides
from entense.geometry.labels import labelled
from entense.index.fetch import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_NARROW = ("NIFTI_TYPE_UINT8", "NIFTI_TYPE_INT8", "NIFTI_TYPE_INT16", "NIFTI_TYPE_FLOAT32")
_MESH = ("NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE")
_SAID = {"CortexLeft": "L", "CortexRight": "R"}
_NAMED = {"L": ("hemi-L", ".L.", "lh."), "R": ("hemi-R", ".R.", "rh.")}


@dataclass(frozen=True)
class Surface:
    """A func.gii of one hemisphere, or two, opened and not yet decoded.

    Parameters
    ----------
    files
        In the order of the columns.
    frames, dtype
        As `Series` has it.
    axis
        All vertices of the hemispheres.
    """

    files: tuple[str, ...]
    frames: int
    dtype: str
    axis: Grayordinates = field(repr=False)
    slope: float = 1.0
    inter: float = 0.0
    tr: float | None = None

    @property
    def path(self) -> str:
        """The first file."""
        return self.files[0]

    @property
    def held(self) -> int:
        """All of the files: nibabel reads them whole."""
        return self.frames * self.axis.size * np.dtype(self.dtype).itemsize

    def read(self, _cores: int = 1, /) -> Iterator[NDArray[Any]]:
        """Yield each frame, flat; it is valid until the next one is asked for."""
        parts = [
            _series(path, (self.frames, one.vertices))
            for path, one in zip(self.files, self.axis.structures, strict=True)
        ]
        frame = np.empty(self.axis.size, self.dtype)
        for t in range(self.frames):
            np.concatenate([part[t] for part in parts], out=frame, casting="same_kind")
            yield frame


@dataclass(frozen=True)
class _Head:
    """What is said before the first array's numbers."""

    arrays: int
    dims: tuple[int, ...]
    dtype: str
    meta: dict[str, str]


def read_surface(path: str | Sides) -> Surface:
    """Read what a func.gii says before its numbers.

    A RecordError where a file is missing or damaged, or the hemispheres differ in frames.
    """
    sides = _sides(path)
    heads = {file: _head(file, version_of(file)) for file in sides.values()}
    frames = {file: _frames(head) for file, head in heads.items()}
    if len(set(frames.values())) > 1:
        (first, n), (second, m) = frames.items()
        raise RecordError(
            f"{first}: it has {n} frames, and the other hemisphere {second} has {m}; they must be "
            "of the same run and both whole"
        )
    narrow = all(head.dtype in _NARROW for head in heads.values())
    whole = {name: np.ones(heads[file].dims[0], bool) for name, file in sides.items()}
    axis = Grayordinates.of_surface(whole)
    return Surface(
        tuple(sides.values()), next(iter(frames.values())), "<f4" if narrow else "<f8", axis
    )


def read_whole_mask(path: str | Sides) -> tuple[Grayordinates, NDArray[np.bool_]]:
    """Read shape.gii or label.gii: all vertices, and those at which the first map is above 0."""
    inside = {name: _first(_image(file)) > 0 for name, file in _sides(path).items()}
    if not any(one.any() for one in inside.values()):
        first = next(iter(_sides(path).values()))
        raise RecordError(f"{first}: the mask is empty (no vertex is above 0); make it again")
    whole = Grayordinates.of_surface({name: np.ones_like(one) for name, one in inside.items()})
    return whole, np.concatenate([*inside.values()])


def read_labels(path: str | Sides) -> tuple[Grayordinates, NDArray[np.int64], dict[int, str]]:
    """Read label.gii: the vertices, the key of each, and the names of the keys.

    A key of the right hemisphere is another parcel than the same key of the left.
    """
    files = _sides(path)
    keys, names = zip(*(_keys(file) for file in files.values()), strict=True)
    shift = max(int(keys[0].max()), *names[0], 0) + 1
    if len(keys) == 2 and set(names[0].values()) & set(names[1].values()):
        names = tuple(
            {k: f"{s}_{n}" for k, n in one.items()} for s, one in zip("LR", names, strict=True)
        )
    axis = Grayordinates.of_surface({
        name: np.ones(one.size, bool) for name, one in zip(files, keys, strict=True)
    })  # fmt: skip
    moved = [np.where(one > 0, one + i * shift, 0) for i, one in enumerate(keys)]
    known = {k + i * shift: n for i, one in enumerate(names) for k, n in one.items()}
    return axis, np.concatenate(moved), known


def _sides(path: str | Sides) -> dict[str, str]:
    """Return structure -> file, left first."""
    if not isinstance(path, Sides):
        said = _side(path)
        return {CORTEX[said] if said else f"{PREFIX}CORTEX": path}
    if not (path.L and path.R):
        raise RecordError(
            f"{path.L or path.R}: the other hemisphere is missing; leave such records out with "
            '.entense.drop_incomplete(), or stage one with {"hemi": "L"}'
        )
    for side, file in (("L", path.L), ("R", path.R)):
        if _side(file) not in (None, side):
            raise RecordError(
                f"{file}: it says that it is the {_side(file)} hemisphere and is given as "
                f"{side}; exchange the two"
            )
    return {CORTEX["L"]: path.L, CORTEX["R"]: path.R}


def _side(path: str) -> str | None:
    """Return the hemisphere that a file says it is of, or else its name."""
    said = _SAID.get(_head(path, version_of(path)).meta.get("AnatomicalStructurePrimary", ""))
    name = name_of(path)
    return said or next((s for s, marks in _NAMED.items() if any(m in name for m in marks)), None)


def _frames(head: _Head) -> int:
    return head.dims[1] if len(head.dims) == 2 and head.dims[1] > 1 else head.arrays


@lru_cache(maxsize=64)
def _head(path: str, _version: object) -> _Head:
    with opening(path) as place, open_packed(place) as file:
        try:
            head = _parsed(ET.iterparse(file, ("start", "end")))  # noqa: S314  expat bounds it
        except (ET.ParseError, KeyError, ValueError) as error:
            raise _damaged(path, error) from error
        _check_size(path, head, place)
        return head


def _damaged(path: str, error: Exception) -> RecordError:
    return RecordError(
        f"{path}: this is no GIFTI file, or it is damaged ({error}); a .func.gii, .shape.gii or "
        ".label.gii is due; copy it again"
    )


def _check_size(path: str, head: _Head, place: Path) -> None:
    """Hold what is promised to what a file can hold, before memory is taken for it."""
    most = place.stat().st_size * (INFLATES**2 if place.suffix == ".gz" else INFLATES)
    size = head.dims[0] * _frames(head) if head.dims else 0
    if min((*head.dims, head.arrays)) < 1 or not 1 <= size <= most:
        raise RecordError(
            f"{path}: it says that it has {head.arrays:,} arrays of {head.dims} numbers, which it "
            "cannot hold; copy it again"
        )


def _parsed(events: Iterator[tuple[str, ET.Element]]) -> _Head:
    arrays, name, meta = 0, "", dict[str, str]()
    first: dict[str, str] | None = None
    for event, element in events:
        if event == "start" and element.tag == "GIFTI":
            arrays = int(element.attrib["NumberOfDataArrays"])
        elif event == "start" and element.tag == "DataArray":
            first = dict(element.attrib)
        elif event == "end" and element.tag == "Name":
            name = element.text or ""
        elif event == "end" and element.tag == "Value":
            meta[name.strip()] = (element.text or "").strip()
        if event == "start" and element.tag == "Data" and first is not None:
            if first.get("Intent") in _MESH:
                raise ValueError("it is the mesh of a surface, and no values on it")
            if first.get("Encoding") == "ExternalFileBinary":
                raise ValueError("its numbers lie in another file: wb_command -gifti-convert")
            dims = tuple(int(first[f"Dim{i}"]) for i in range(int(first["Dimensionality"])))
            return _Head(arrays, dims, first["DataType"], meta)
    raise ValueError("it holds no array")


def _image(path: str) -> Any:
    from nibabel.gifti.parse_gifti_fast import GiftiImageParser

    parser = GiftiImageParser()
    with opening(path) as place, open_packed(place) as file:
        try:
            # from memory nibabel follows no name of another file, which could be any file
            parser.parse(string=file.read())
        except (ExpatError, KeyError, AssertionError) as error:
            raise _damaged(path, error) from error
    return parser.img


def _arrays(image: Any) -> list[NDArray[Any]]:
    """Return the arrays; one of a single column is flat."""
    arrays = [np.asarray(one.data) for one in image.darrays]
    return [one.ravel() if one.shape[1:] == (1,) else one for one in arrays]


def _series(path: str, shape: tuple[int, int]) -> Sequence[NDArray[Any]]:
    """Return `time` frames of (vertex,)."""
    arrays = _arrays(_image(path))
    data = arrays[0].T if len(arrays) == 1 and arrays[0].ndim == 2 else arrays
    if {one.shape for one in data} != {shape[1:]} or len(data) != shape[0]:
        raise RecordError(
            f"{path}: its arrays are not of one size, {shape[0]} frames of {shape[1]:,} vertices "
            "are due; copy it again, or make it again"
        )
    return list(data)


def _first(image: Any) -> NDArray[Any]:
    array = _arrays(image)[0]
    return array[:, 0] if array.ndim == 2 else array


def _keys(path: str) -> tuple[NDArray[np.int64], dict[int, str]]:
    image = _image(path)
    if (keys := _first(image)).dtype.kind not in "iu":
        raise RecordError(f"{path}: these are no labels but {keys.dtype}; name a .label.gii")
    return labelled(keys, image.labeltable.get_labels_as_dict())
