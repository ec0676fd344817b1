"""CIFTI-2: vertices and grayordinates; a dtseries with the TR, or a dscalar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, final

import numpy as np

from entense.archive.checksum import raw
from entense.archive.formats.images import ImageFormat, known, stored
from entense.archive.schema import tr_of
from entense.geometry import Grayordinates

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from entense.archive.formats.base import Sample
    from entense.ops.core import Spec

SERIES, SCALAR = (3002, "ConnDenseSeries"), (3006, "ConnDenseScalar")  # intents
HEADER = 540  # bytes of NIfTI-2's
AT_ONCE = 4096  # columns that are turned round together


def _header(array: NDArray[Any], spec: Spec, sample: Sample) -> Any:
    import nibabel as nib
    from nibabel.cifti2.parse_cifti2 import Cifti2Extension

    assert isinstance(spec.mask, Grayordinates)  # noqa: S101  `check` lets no other pass
    blank = np.broadcast_to(np.zeros((), array.dtype), np.atleast_2d(array).shape)
    image = nib.Cifti2Image(blank, header=(_rows(array, spec), spec.mask.axis()))
    image.header.matrix.metadata = nib.cifti2.Cifti2MetaData(known(sample))
    image.update_headers()
    header = image.nifti_header
    header["intent_code"], header["intent_name"] = SERIES if array.ndim == 2 else SCALAR
    header["pixdim"][:4] = 1
    header.set_data_dtype(array.dtype)
    header.set_slope_inter(spec.scale or 1.0, 0.0)
    header.extensions.append(Cifti2Extension.from_bytes(image.header.to_xml()))
    return header


def _rows(array: NDArray[Any], spec: Spec) -> Any:
    from nibabel.cifti2 import ScalarAxis, SeriesAxis

    if array.ndim == 1:
        return ScalarAxis(["values"])
    return SeriesAxis(0, tr_of(spec) or 1.0, len(array))


@final
class Cifti(ImageFormat):
    """CIFTI images; the columns are the matrix's metadata."""

    name, extension, columns = "cifti", ".nii", "vertices and grayordinates"

    def holds(self, mask: object) -> bool:
        """Whether columns are vertices or grayordinates."""
        return isinstance(mask, Grayordinates)

    def suffixes(self, spec: Spec) -> list[str]:
        """Return what CIFTI calls it."""
        return [".dtseries.nii" if len(spec.dims) == 2 else ".dscalar.nii"]

    def save(self, file: BinaryIO, array: NDArray[Any], spec: Spec, sample: Sample) -> None:
        """Write an image, a column after the other, as CIFTI has them."""
        _header(array, spec, sample).write_to(file)
        rows = np.atleast_2d(array)
        for start in range(0, rows.shape[1], AT_ONCE):
            file.write(raw(np.ascontiguousarray(rows[:, start : start + AT_ONCE].T)))

    def read(self, path: Path, key: str, tensor: str, start: int, stop: int) -> NDArray[Any]:
        """Read some frames, or some columns where there is no time."""
        with self.reading(path):
            import nibabel as nib

            with path.open("rb") as file:
                header = nib.Nifti2Header(file.read(HEADER))
            *_, frames, columns = header.get_data_shape()
            data = stored(path, header, int(header["vox_offset"])).reshape(columns, frames)
            series = int(header["intent_code"]) == SERIES[0]
            rows = data[:, start:stop].T if series else data[start:stop, 0]
            return np.ascontiguousarray(np.asarray(rows))
