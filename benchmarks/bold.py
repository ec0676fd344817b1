"""Noisy int16 runs, gzipped: frames are made and deflated once, and each file strings them anew."""

import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.anatomy import Head

LEVEL = 1  # as nibabel writes images
GZIP = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
STRIDE = 37  # frames by which a file begins later than the one before


@dataclass(frozen=True)
class Frame:
    """A frame as it is stored, and deflated: a piece of a stream that needs nothing before it."""

    raw: bytes
    deflated: bytes

    @classmethod
    def of(cls, raw: bytes) -> "Frame":
        deflate = zlib.compressobj(LEVEL, wbits=-15)
        return cls(raw, deflate.compress(raw) + deflate.flush(zlib.Z_FULL_FLUSH))


def make_frames(head: Head, count: int, tr: float) -> list[Frame]:
    """Make `count` frames: anatomy, slow courses of the parcels, and noise all over."""
    courses = slow_courses(head, count, tr)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(partial(_frame, head), range(count), courses.T))


def slow_courses(head: Head, frames: int, tr: float) -> np.ndarray:
    """Return (1 + parcel, frame) float32 below 0.1 Hz; they go round without a seam."""
    noise = np.random.default_rng(0).standard_normal((1 + head.atlas.max(), frames))
    spectrum = np.fft.rfft(noise) * (np.fft.rfftfreq(frames, tr) < 0.1)
    return np.fft.irfft(spectrum, frames).astype(np.float32)


def _frame(head: Head, number: int, course: np.ndarray) -> Frame:
    rng = np.random.default_rng(number)
    base = np.where(head.brain, 10_000 - 2_000 * head.radius, 300).astype(np.float32)
    noise = 120 * rng.standard_normal(base.shape, np.float32)
    frame = np.abs(base + 100 * course[head.atlas] * head.brain + noise).astype(np.int16)
    return Frame.of(frame.tobytes(order="F"))


def write_bold(path: Path, number: int, header: bytes, frames: list[Frame], count: int) -> None:
    """Write run `number`: `count` of the frames in a row, from a start of its own, in one stream.

    So two runs differ in every voxel, and a run takes as long to inflate as any other.
    """
    crc, size = 0, 0
    with path.open("wb") as file:
        file.write(GZIP)
        for frame in _strung(number, header, frames, count):
            file.write(frame.deflated)
            crc, size = zlib.crc32(frame.raw, crc), size + len(frame.raw)
        file.write(b"\x03\x00" + struct.pack("<II", crc, size % 2**32))


def _strung(number: int, header: bytes, frames: list[Frame], count: int) -> Iterator[Frame]:
    yield Frame.of(header)
    for t in range(count):
        yield frames[(STRIDE * number + t) % len(frames)]
