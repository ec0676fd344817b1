"""The formats of shards, by name."""

from __future__ import annotations

from typing import TypeVar

from entense.archive.formats.base import AnyFormat, Format
from entense.archive.formats.tfrecord import TFRECORD
from entense.archive.formats.webdataset import WEBDATASET
from entense.registry import Registry

__all__ = ["Format", "formats", "register_format"]

formats: Registry[AnyFormat] = Registry("format")
F = TypeVar("F", bound=AnyFormat)


def register_format(fmt: F) -> F:
    """Make a format known to ``write(format=fmt.name)``.

    Parameters
    ----------
    fmt
        The format, framed by us or written by a library; its name must not be taken.

    Returns
    -------
    AnyFormat
        The same format.

    Raises
    ------
    EntenseError
        If a format of that name is registered.

    Examples
    --------
    >>> raw_bytes = Format("rawbytes", ".bin", lambda key, arrays, scalars: sorted(arrays))
    >>> register_format(raw_bytes).name
    'rawbytes'
    """
    formats.add(fmt.name, fmt)
    return fmt


register_format(TFRECORD)
register_format(WEBDATASET)
