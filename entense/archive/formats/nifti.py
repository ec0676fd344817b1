"""NIfTI: voxels of a mask, zero around them; (X, Y, Z), or (X, Y, Z, time) with the TR."""

from __future__ import annotations

import base64
import json
import math
import struct
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO, final

import numpy as np

from entense.archive.checksum import raw
from entense.archive.formats.base import json_of
from entense.archive.formats.foreign import check_holds
from entense.archive.formats.images import ImageFormat, stored
from entense.archive.schema import digest_of, tr_of
from entense.geometry import Mask

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from entense.archive.formats.base import Sample
    from entense.ops.core import Spec

COMMENT = 6  # the code of an extension that is text
LONGEST = 2**15 - 1  # what NIfTI-1 counts to; beyond it is NIfTI-2


def _header(array: NDArray[Any], spec: Spec, mask: Mask) -> Any:
    import nibabel as nib

    shape = (*mask.shape, *array.shape[:-1])
    kind = nib.Nifti1Image if max(shape) <= LONGEST else nib.Nifti2Image
    # of no numbers: only the header is wanted
    header = kind(np.broadcast_to(np.zeros((), array.dtype), shape), mask.affine).header
    header.set_xyzt_units("mm", "sec")
    header.set_zooms((*header.get_zooms()[:3], *([tr_of(spec) or 0.0] * (array.ndim - 1))))
    header.set_slope_inter(spec.scale or 1.0, 0.0)
    return header


def _note(sample: Sample, mask: Mask) -> Any:
    """Return what NIfTI has no field for: the mask, as zeros may lie in it, and the columns."""
    from nibabel.nifti1 import Nifti1Extension

    packed = base64.b64encode(mask.packed).decode()
    known = {"record": sample.key, "columns": json.loads(json_of(sample)), "mask": packed}
    return Nifti1Extension(COMMENT, json.dumps(known).encode())


@lru_cache(maxsize=16)
def _index(packed: bytes, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return where each voxel of a mask lies in a frame as NIfTI stores it."""
    count = math.prod(shape)
    bits = zlib.decompressobj().decompress(packed, count // 8 + 1)  # no more, whatever it says
    inside = np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(bool).reshape(shape)
    index: NDArray[np.intp] = np.arange(count).reshape(shape, order="F")[inside]
    return index


@final
class Nifti(ImageFormat):
    """NIfTI images; the mask lies in a header extension."""

    name, extension, columns = "nifti", ".nii", "voxels"

    @property
    def digest(self) -> str:
        """16 hexadecimal digits: of zlib, too, which packs the mask, each in its own way."""
        return digest_of([super().digest, zlib.ZLIB_RUNTIME_VERSION])

    def holds(self, mask: object) -> bool:
        """Whether columns are voxels."""
        return isinstance(mask, Mask)

    def save(self, file: BinaryIO, array: NDArray[Any], spec: Spec, sample: Sample) -> None:
        """Write an image, a frame at a time: all of it is several times the tensor."""
        mask = spec.mask
        assert isinstance(mask, Mask)  # noqa: S101  `check` lets no other pass
        header = _header(array, spec, mask)
        header.extensions.append(_note(sample, mask))
        header.write_to(file)
        frame, index = np.zeros(math.prod(mask.shape), array.dtype), _index(mask.packed, mask.shape)
        for row in np.atleast_2d(array):
            frame[index] = row
            file.write(raw(frame))

    def read(self, path: Path, key: str, tensor: str, start: int, stop: int) -> NDArray[Any]:
        """Read some frames, or some voxels where there is no time."""
        with self.reading(path):
            header, packed = _open(path)
            data = stored(path, header, int(header["vox_offset"]))
            x, y, z, *time = header.get_data_shape()
            frames, index = data.reshape((*time, x * y * z)), _index(packed, (x, y, z))
            rows = frames[start:stop][:, index] if time else frames[index[start:stop]]
            return np.ascontiguousarray(np.asarray(rows))


def _open(path: Path) -> tuple[Any, bytes]:
    """Return the header, and the packed mask of its first extension."""
    import nibabel as nib

    with path.open("rb") as file:
        first = file.read(4)
        kind = nib.Nifti2Header if first == struct.pack("=i", 540) else nib.Nifti1Header
        header = kind(first + file.read(kind.template_dtype.itemsize - 4))
        _, size, code = struct.unpack("=4sii", file.read(12))
        check_holds(path, size)
        if code != COMMENT:
            raise ValueError("it has no mask, as write makes it")
        return header, base64.b64decode(json.loads(file.read(size - 8).rstrip(b"\0"))["mask"])
