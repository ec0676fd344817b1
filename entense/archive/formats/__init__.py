"""The formats of shards, by name."""

from __future__ import annotations

from typing import TypeAlias, TypeVar

from entense.archive.formats.base import Format, Sample
from entense.archive.formats.cifti import Cifti
from entense.archive.formats.foreign import Foreign
from entense.archive.formats.gifti import Gifti
from entense.archive.formats.hdf5 import HDF5
from entense.archive.formats.nifti import Nifti
from entense.archive.formats.parquet import Parquet
from entense.archive.formats.tfrecord import TFRECORD
from entense.archive.formats.webdataset import WEBDATASET
from entense.archive.formats.zarr import Zarr
from entense.errors import ArchiveError
from entense.registry import Registry

__all__ = ["AnyFormat", "Foreign", "Format", "Sample", "formats", "register_format"]

AnyFormat: TypeAlias = Format | Foreign
F = TypeVar("F", Format, Foreign)

formats: Registry[AnyFormat] = Registry("format")


def register_format(fmt: F) -> F:
    """Make a format known to ``write(format=fmt.name)``.

    Parameters
    ----------
    fmt
        A `Format`, or a `Foreign` one; its name must not be taken.

    Returns
    -------
    Format or Foreign
        The same format.

    Raises
    ------
    EntenseError
        If a format of that name is registered.

    Examples
    --------
    >>> raw_bytes = Format("rawbytes", ".bin", lambda sample: sorted(sample.arrays))
    >>> register_format(raw_bytes).name
    'rawbytes'
    """
    formats.add(fmt.name, fmt)
    return fmt


def is_ours(name: str) -> bool:
    """Whether a format is one of entense's; others may pack zeros as tightly as they like."""
    return name in formats and type(formats[name]).__module__.startswith("entense.")


def library_format(name: str) -> Foreign:
    """Return a format that a library reads; an ArchiveError where `name` is none of those."""
    fmt = formats[name]
    if not isinstance(fmt, Foreign):
        raise ArchiveError(
            f"the archive says of no tensor in {name!r} where it begins; do not trust this "
            "archive: write it again"
        )
    return fmt


register_format(TFRECORD)
register_format(WEBDATASET)
for fmt in (HDF5(), Parquet(), Zarr(), Nifti(), Cifti(), Gifti()):
    register_format(fmt)
