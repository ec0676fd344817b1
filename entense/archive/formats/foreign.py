"""What a format is that a library writes: the file's bytes are the library's affair."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from entense.archive.schema import DTYPES, as_dtype, digest_of, mask_digest, tr_of
from entense.errors import ArchiveError, EntenseError, check_descriptors
from entense.registry import code_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from entense.archive.formats.base import Sample, Sink
    from entense.ops.core import Spec

LONGEST = 200  # characters of a name inside a file


@dataclass(frozen=True)
class Shared:
    """What all files of an archive have in common, beside the tensors' names and dtypes.

    Parameters
    ----------
    ragged
        Tensors whose shape differs between records.
    columns
        Column to the type of its values: bool, int, float or str; any may be null.
    """

    ragged: frozenset[str] = frozenset()
    columns: Mapping[str, type] = field(default_factory=dict)


class Foreign(ABC):
    """A format that a library writes and reads.

    One's own is a subclass with four names and four methods; see docs/formats.md. The same
    records must always give the same bytes: no time of day, no path, nothing random.

    Attributes
    ----------
    name
        What ``write(format=...)`` calls it.
    extension
        The suffix of a file's name, with the dot.
    library
        The package that writes it, as pip names it; its version is part of the archive's identity.
    single
        Whether a file holds one tensor of one record, or a part of it.
    parts
        Code beside the class that decides the bytes, such as the sink's; that of entense itself is
        part of every archive's identity.
    """

    name: ClassVar[str]
    extension: ClassVar[str]
    library: ClassVar[str]
    single: ClassVar[bool] = False
    parts: ClassVar[tuple[Callable[..., object], ...]] = ()

    @abstractmethod
    def check(self, name: str, spec: Spec) -> None:
        """Raise an ArchiveError where a tensor cannot be held: its dtype, geometry or name."""

    @abstractmethod
    def size(self, sample: Sample) -> int:
        """Return about how many bytes a record takes, from shapes and dtypes alone.

        An ArchiveError where its id or its columns cannot be held.
        """

    @abstractmethod
    def begin(self, path: Path, shared: Shared) -> Sink:
        """Begin a file."""

    @abstractmethod
    def read(self, path: Path, key: str, tensor: str, start: int, stop: int) -> NDArray[Any]:
        """Return rows `start` to `stop` of a tensor of a record, of its dtype.

        Returns
        -------
        (stop - start, …); of a tensor without dimensions all of it. An ArchiveError where the file
        is damaged, not of this format, or promises more than it holds.
        """

    def suffixes(self, spec: Spec) -> Sequence[str]:
        """Return the endings of the files of a tensor: `extension`, unless its kind decides."""
        return [self.extension]

    def parted(self, sample: Sample) -> Sequence[Sample]:
        """Return what goes into each of these files: all, unless there are several."""
        return [sample]

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of its code and its library: others make another archive."""
        try:
            library = version(self.library)
        except PackageNotFoundError:
            raise self._missing() from None
        parts: tuple[Callable[..., object], ...] = (type(self), *self.parts)
        return digest_of([self.name, library, *(code_of(part) for part in parts)])

    @contextmanager
    def reading(self, path: Path) -> Iterator[None]:
        """Name the file in whatever a library raises when it reads it."""
        try:
            yield
        except (EntenseError, MemoryError):  # a lack of memory is no file's fault
            raise
        except ImportError:
            raise self._missing() from None
        except Exception as error:
            check_descriptors(error, path)
            raise ArchiveError(
                f"{path} cannot be read as {self.name} ({error}); copy it again, or run write "
                "again, which mends it"
            ) from error

    def _missing(self) -> ArchiveError:
        extra = f'"entense[{self.name}]"' if type(self).__module__.startswith("entense.") else ""
        return ArchiveError(
            f"the format {self.name!r} takes the package {self.library}, which is not installed; "
            f"pip install {extra or self.library}"
        )


def check_dtype(fmt: Foreign, name: str, spec: Spec, held: Collection[str]) -> None:
    """Raise an ArchiveError unless the dtype is one of `held`, with one that would do."""
    if spec.dtype in held:
        return
    wider = (one for one in held if np.can_cast(as_dtype(spec.dtype), as_dtype(one)))
    instead = next(wider, None)
    raise ArchiveError(
        f"{fmt.name} has no dtype {spec.dtype} for {name!r}; "
        + (f'use dtype={{"{name}": "{instead}"}}, which holds the same numbers' if instead else "")
        + ("" if instead else 'write it with format="tfrecord"')
    )


def check_part(name: str, fmt: Foreign) -> None:
    """Raise an ArchiveError where a name cannot be one part of a path inside a file."""
    reserved = not name.strip(".") or name.startswith("__") or name == "zarr.json"
    if reserved or len(name) > LONGEST or re.search(r"[/\\\0]", name):
        raise ArchiveError(
            f"{name!r} cannot be a name in {fmt.name}: rename the tensor, or give the table a "
            f'plainer `record` column, of at most {LONGEST} characters, without "/" and "\\", '
            'that neither is dots alone nor begins with "__"'
        )


def check_member(fmt: Foreign, name: str, spec: Spec) -> None:
    """Raise an ArchiveError where a tensor cannot be an array by name in HDF5 or Zarr."""
    check_part(name, fmt)
    check_dtype(fmt, name, spec, WITHOUT_BFLOAT16)


def check_holds(path: Path, nbytes: int) -> None:
    """Raise a ValueError where a file promises more bytes than it has, before they are taken."""
    if nbytes > path.stat().st_size:
        raise ValueError(f"it promises {nbytes} bytes and has {path.stat().st_size}")


def facts(spec: Spec) -> dict[str, Any]:
    """Return what is known of a tensor beside its numbers: TR in seconds, scale, digest of mask."""
    known = {"tr": tr_of(spec), "scale": spec.scale, "mask": mask_digest(spec)}
    return {name: value for name, value in known.items() if value is not None}


WITHOUT_BFLOAT16 = tuple(dtype for dtype in DTYPES if dtype != "bfloat16")
