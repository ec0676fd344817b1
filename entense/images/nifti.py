"""NIfTI-1 and NIfTI-2 images of four dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from entense.errors import RecordError
from entense.files import INFLATES, content, head, in_words, open_packed, opening, version_of
from entense.geometry import Grid, grid_of
from entense.index.fetch import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from entense.index.fetch import Version

CHUNK = 4 << 20  # bytes that are inflated at once
_HEAD_1, _HEAD = 348, 540  # bytes of a header: NIfTI-1's, and the longer one of NIfTI-2
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}


@dataclass(frozen=True)
class Header:
    """What a 4-D image says of itself.

    Parameters
    ----------
    path
        The file.
    grid
        Its lattice.
    frames
        How many volumes.
    dtype
        NumPy dtype of the stored values, with its byte order.
    offset
        Where they begin, in bytes of the inflated file.
    slope, inter
        value = slope * stored + inter.
    tr
        The fourth zoom in seconds; None where it is 0 or has no unit of time.
    """

    path: str
    grid: Grid
    frames: int
    dtype: str
    offset: int
    slope: float
    inter: float
    tr: float | None

    @property
    def held(self) -> int:
        """A few frames."""
        return CHUNK

    def read(self, cores: int = 1, /) -> Iterator[NDArray[Any]]:
        """Yield each stored frame, flat; it is valid until the next one is asked for.

        A RecordError where the file is cut short or damaged; gzip's own checksum is checked. It is
        inflated on so many cores, where it is packed.
        """
        done = 0
        try:
            for frame in self._frames(cores):
                done += 1
                yield frame
        except RecordError:
            if cores == 1:
                raise
            # one core has the last word, and archives keep its: no number of cores changes either
            yield from islice(self._frames(1), done, None)

    def _frames(self, cores: int) -> Iterator[NDArray[Any]]:
        dtype = np.dtype(self.dtype)
        size = math.prod(self.grid.shape) * dtype.itemsize
        at_once = max(1, min(CHUNK // size, self.frames))
        buffer = memoryview(bytearray(at_once * size))
        with opening(self.path) as place, open_packed(place, cores) as stream:
            _skip(stream, self.offset)
            for start in range(0, self.frames, at_once):
                count = min(at_once, self.frames - start)
                got = _fill(stream, buffer[: count * size])
                if got < count * size:
                    raise RecordError(
                        f"{self.path}: the file is cut short, it holds {start + got // size} of "
                        f"{self.frames} frames; copy it again"
                    )
                values = count * size // dtype.itemsize
                yield from np.frombuffer(buffer, dtype, values).reshape(count, -1)
            while stream.read(CHUNK):  # to the end, where gzip's checksum is
                pass


@dataclass(frozen=True)
class _Said:
    """What a header says, whatever its file is called."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    affine: NDArray[np.float64]
    offset: int
    slope: float
    inter: float
    tr: float | None


def read_header(path: str) -> Header:
    """Read the header of a 4-D NIfTI-1 or NIfTI-2 image; no voxel is touched."""
    return _read_header(path, version_of(path))


@lru_cache(maxsize=64)  # a record's tensors ask one after the other
def _read_header(path: str, version: Version | None) -> Header:
    said = _first_of(path)
    if said is None or len(said.shape) > 4:  # CIFTI has six: told as such
        said = _loaded(path)
    return _header(path, said, version)


def read_stored(path: str) -> tuple[Grid, NDArray[Any]] | None:
    """Return the grid of a file of one part and its numbers as stored, (X, Y, Z, …).

    None where it takes nibabel to read them: they are scaled, or the file is damaged.
    """
    if not name_of(path).endswith((".nii", ".nii.gz")):
        return None
    packed = content(path)
    said = _said_at(path, _begin(path, packed, _HEAD))
    if said is None or (said.slope, said.inter) != (1, 0):
        return None
    if not 3 <= len(said.shape) <= 4 or min(said.shape) < 1:  # CIFTI has six: told as such
        return None
    count = math.prod(said.shape)
    size = said.offset + count * said.dtype.itemsize
    data = _begin(path, packed, size + 1)  # to the end, where gzip's checksum is
    if len(data) < size:
        return None
    with in_words(path):
        grid = grid_of(said.shape[:3], said.affine)
    return grid, np.frombuffer(data, said.dtype, count, said.offset).reshape(said.shape, order="F")


def _begin(path: str, data: bytes, size: int) -> bytes:
    """Return the first bytes of what is in a file; none where it is damaged."""
    if not name_of(path).endswith(".gz"):
        return data[:size]
    from isal import igzip_lib, isal_zlib

    try:
        return isal_zlib.decompressobj(wbits=31).decompress(data, size)
    except igzip_lib.IsalError:  # type: ignore[misc]  # no class, say its stubs
        return b""


def _first_of(path: str) -> _Said | None:
    """Return what the very begin of a NIfTI file says; None where it takes nibabel to know.

    Of a URL no more is fetched; of any file it is much faster than to load an image.
    """
    if not name_of(path).endswith((".nii", ".nii.gz")):
        return None
    with in_words(path):
        start = head(path, _HEAD)
    return _said_at(path, _begin(path, start, _HEAD))


def _said_at(path: str, start: bytes) -> _Said | None:
    """Return what a file of one part begins with; None where it is no header."""
    with in_words(path):
        return _parsed(start[:_HEAD_1]) or _parsed(start[:_HEAD])


@lru_cache(maxsize=64)  # runs of one study begin alike
def _parsed(start: bytes) -> _Said | None:
    import nibabel as nib

    for kind in (nib.Nifti1Header, nib.Nifti2Header):
        if kind.sizeof_hdr == len(start) and kind.may_contain_header(start):
            header = kind(start)
            slope, inter = header.get_slope_inter()
            offset = header.get_data_offset()
            return _said(header, offset, slope or 1.0, inter or 0.0) if header.is_single else None
    return None


def _loaded(path: str) -> _Said:
    import nibabel as nib

    with opening(path) as place:
        image = nib.load(place)
        if not isinstance(image, nib.Nifti1Pair) or not image.header.is_single:
            raise RecordError(
                f"{path}: this is a {type(image).__name__}; a NIfTI image (.nii, .nii.gz) is due"
                + _begin_with(image)
            )
        proxy = image.dataobj  # nibabel takes these three out of the header of what it loads
        return _said(image.header, proxy.offset, proxy.slope, proxy.inter)


def _begin_with(image: Any) -> str:
    """Say what reads an image of another kind."""
    by = {"GiftiImage": "surface", "Cifti2Image": "cifti"}.get(type(image).__name__)
    return f", or begin with et.{by}(…)" if by else ""


def _said(header: Any, offset: int, slope: float, inter: float) -> _Said:
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    affine, numbers = header.get_best_affine(), (float(slope), float(inter))
    return _Said(shape, dtype, affine, offset, *numbers, _tr_of(header))


def _header(path: str, said: _Said, version: Version | None) -> Header:
    shape, dtype = said.shape, said.dtype
    if len(shape) != 4:
        raise RecordError(
            f"{path}: a 4-D image (x, y, z, time) is due, this one has shape {shape}; "
            "does the role's query match an anatomical or a reference image?"
        )
    if dtype.kind not in "iuf":
        raise RecordError(f"{path}: voxels of type {dtype} are not numbers")
    _check_size(path, said, version)
    with in_words(path):
        grid = grid_of(shape[:3], said.affine)
    return Header(path, grid, shape[3], dtype.str, said.offset, said.slope, said.inter, said.tr)


def _tr_of(header: Any) -> float | None:
    # by its text: 0.72, and not what float32 makes of it
    unit, zoom = header.get_xyzt_units()[1], float(str(header["pixdim"][4]))
    return zoom * _SECONDS[unit] if zoom > 0 and unit in _SECONDS else None


def _check_size(path: str, said: _Said, version: Version | None) -> None:
    """Hold what the header promises to what the file can hold, before memory is taken for it."""
    shape = said.shape
    if min(shape) < 1:
        raise RecordError(f"{path}: its header says the shape {shape}; copy it again")
    if version is None or version[0] is None:
        return
    most = version[0] * (INFLATES if name_of(path).endswith(".gz") else 1)
    frames = (most - said.offset) // (math.prod(shape[:3]) * said.dtype.itemsize)
    if frames < shape[3]:
        raise RecordError(
            f"{path}: the file is cut short, it holds {max(frames, 0)} of {shape[3]} frames at "
            "most; copy it again"
        )


def _skip(stream: IO[bytes], count: int) -> None:
    while count > 0:
        got = len(stream.read(min(count, CHUNK)))
        if not got:
            raise EOFError("it ends inside the header")
        count -= got


def _fill(stream: Any, buffer: memoryview) -> int:
    """Read until `buffer` is full; return how much there was."""
    done = 0
    while done < len(buffer) and (got := stream.readinto(buffer[done:])):
        done += got
    return done
