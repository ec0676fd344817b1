"""The formats of shards, by name."""

from __future__ import annotations

from entense.archive.formats.base import Format
from entense.archive.formats.tfrecord import TFRECORD
from entense.archive.formats.webdataset import WEBDATASET
from entense.registry import Registry

__all__ = ["Format", "formats", "register_format"]

formats: Registry[Format] = Registry("format")


def register_format(fmt: Format) -> Format:
    """Make a format known to ``write(format=fmt.name)``.

    Parameters
    ----------
    fmt
        The format; its name must not be taken.

    Returns
    -------
    Format
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
    return formats.add(fmt.name, fmt)


register_format(TFRECORD)
register_format(WEBDATASET)
