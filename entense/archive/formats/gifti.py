"""GIFTI: vertices of the hemispheres, a file each; a func.gii with time, or a shape.gii."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from itertools import islice
from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING, Any, BinaryIO, final

import numpy as np

from entense.archive.formats.foreign import check_holds, facts
from entense.archive.formats.images import ImageFormat, known
from entense.geometry import Grayordinates
from entense.geometry.grayordinates import CORTEX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from entense.archive.formats.base import Sample
    from entense.geometry.grayordinates import Structure
    from entense.ops.core import Spec

HELD = {"uint8": "NIFTI_TYPE_UINT8", "int32": "NIFTI_TYPE_INT32", "float32": "NIFTI_TYPE_FLOAT32"}
SIDES = {CORTEX["L"]: ("_hemi-L", "CortexLeft"), CORTEX["R"]: ("_hemi-R", "CortexRight")}
END = b"</GIFTI>"
# our own files are read without XML, whose readers inflate, and follow names of other files
HEAD = re.compile(rb'<DataArray [^>]*DataType="(\w+)".*?<Name>index</Name><Value>(.*?)<', re.DOTALL)
DATA = re.compile(rb"<Data>([A-Za-z0-9+/=]*)</Data>")


def _arrays(array: NDArray[Any], side: Structure, spec: Spec) -> Iterator[bytes]:
    """Yield each frame, zero where the tensor has no vertex; the first says which it has."""
    from nibabel.gifti import GiftiDataArray, GiftiMetaData

    index = base64.b64encode(side.index.astype("<i4").tobytes()).decode()
    about = {name: str(value) for name, value in facts(replace(spec, mask=None)).items()}
    whole = np.zeros(side.vertices, array.dtype)
    for number, row in enumerate(array):
        whole[side.index] = row
        frame = GiftiDataArray(
            whole,
            intent="NIFTI_INTENT_TIME_SERIES" if len(spec.dims) == 2 else "NIFTI_INTENT_NONE",
            datatype=HELD[array.dtype.name],
            encoding="GIFTI_ENCODING_B64BIN",
            endian="little",
            meta=GiftiMetaData(about if number else about | {"index": index}),
        )
        yield frame.to_xml()


@final
class Gifti(ImageFormat):
    """GIFTI files, one of each hemisphere; the columns are the file's metadata."""

    name, extension, held = "gifti", ".gii", tuple(HELD)
    columns = "vertices of the left and the right cortex"

    def holds(self, mask: object) -> bool:
        """Whether columns are vertices of the left or the right cortex."""
        return isinstance(mask, Grayordinates) and SIDES.keys() >= _sides(mask).keys()

    def suffixes(self, spec: Spec) -> list[str]:
        """Return an ending for each hemisphere."""
        kind = "func" if len(spec.dims) == 2 else "shape"
        return [f"{SIDES[name][0]}.{kind}.gii" for name in _sides(spec.mask)]

    def parted(self, sample: Sample) -> list[Sample]:
        """Cut a tensor between its hemispheres."""
        ((name, array),) = sample.arrays.items()
        spec = sample.specs[name]
        sides = _sides(spec.mask).values()
        cuts = np.cumsum([len(side.index) for side in sides])[:-1]
        return [
            sample._replace(
                arrays={name: part}, specs={name: replace(spec, mask=Grayordinates((side,)))}
            )
            for side, part in zip(sides, np.split(array, cuts, axis=-1), strict=True)
        ]

    def save(self, file: BinaryIO, array: NDArray[Any], spec: Spec, sample: Sample) -> None:
        """Write a hemisphere, a frame at a time: all of it is several times the tensor."""
        from nibabel.gifti import GiftiImage, GiftiMetaData

        ((name, side),) = _sides(spec.mask).items()
        about = known(sample) | {"AnatomicalStructurePrimary": SIDES[name][1]}
        empty, rows = GiftiImage(meta=GiftiMetaData(about)).to_bytes(), np.atleast_2d(array)
        head = empty.replace(b'Arrays="0"', b'Arrays="%d"' % len(rows), 1)
        file.write(head.removesuffix(END))
        file.writelines(_arrays(rows, side, spec))
        file.write(END)

    def read(self, path: Path, key: str, tensor: str, start: int, stop: int) -> NDArray[Any]:
        """Read some frames, or some vertices where there is no time."""
        with self.reading(path):
            right = path.with_name(re.sub(r"_hemi-L(\.\w+\.gii)$", r"_hemi-R\1", path.name))
            files = [path, right] if right != path and right.exists() else [path]
            if path.name.endswith(".func.gii"):
                return np.concatenate([self._frames(file, start, stop) for file in files], axis=1)
            return np.concatenate([self._frames(file, 0, 1)[0] for file in files])[start:stop]

    def _frames(self, path: Path, start: int, stop: int) -> NDArray[Any]:
        with self.reading(path):
            return _frames(path, start, stop)


def _frames(path: Path, start: int, stop: int) -> NDArray[Any]:
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        head = HEAD.search(content)
        if head is None or head[1].decode() not in HELD.values():
            raise ValueError("it has no index of vertices, as write makes it")
        dtype = {kind: name for name, kind in HELD.items()}[head[1].decode()]
        index = np.frombuffer(base64.b64decode(head[2], validate=True), "<i4")
        found = [one[1] for one in islice(DATA.finditer(content), start, stop)]
        if len(found) < stop - start:
            raise ValueError("it is cut short")
        check_holds(path, len(found) * len(index) * np.dtype(dtype).itemsize)
        return np.stack([np.frombuffer(base64.b64decode(one), dtype)[index] for one in found])


def _sides(mask: Any) -> dict[str, Structure]:
    return {side.name: side for side in mask.structures}
