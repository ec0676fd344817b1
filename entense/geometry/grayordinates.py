"""Where grayordinates lie: vertices of surfaces and voxels below them, as CIFTI has them."""

from __future__ import annotations

import hashlib
import operator
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PREFIX = "CIFTI_STRUCTURE_"
CORTEX = {"L": f"{PREFIX}CORTEX_LEFT", "R": f"{PREFIX}CORTEX_RIGHT"}


class Sides(NamedTuple):
    """The files of two hemispheres, of which one may be missing."""

    L: str | None
    R: str | None


@final
@dataclass(frozen=True, eq=False)
class Structure:
    """A part of the axis: vertices of one surface, or voxels.

    Parameters
    ----------
    name
        As CIFTI has it: ``"CIFTI_STRUCTURE_CORTEX_LEFT"``.
    vertices
        How many the whole surface has; 0 for voxels.
    index
        (n,) int32, vertices that are there; (n, 3) int32 for voxels.
    """

    name: str
    vertices: int
    index: NDArray[np.int32]

    def __str__(self) -> str:
        of = f" of {self.vertices:,}" if self.vertices else ""
        what = "vertices" if self.vertices else "voxels"
        return f"{short(self.name)} ({len(self.index):,}{of} {what})"


@final
@dataclass(frozen=True, eq=False)
class Grayordinates:
    """The columns of a surface or CIFTI tensor; equal ones have equal digests.

    Parameters
    ----------
    structures
        In the order of the columns.
    shape, affine
        Of the volume that voxels lie in, voxel index to millimetres; None without voxels.
    """

    structures: tuple[Structure, ...]
    shape: tuple[int, ...] | None = None
    affine: NDArray[np.float64] | None = field(default=None, repr=False)
    extension: ClassVar[str] = ".dscalar.nii"
    unit: ClassVar[str] = "vertex"

    @property
    def size(self) -> int:
        """How long the axis is."""
        return sum(len(one.index) for one in self.structures)

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of structures, vertices, voxels and where these lie."""
        parts = [(one.name, one.vertices, one.index.shape) for one in self.structures]
        hashed = hashlib.sha256(repr((parts, self.shape)).encode())
        if self.affine is not None:
            hashed.update((np.asarray(self.affine, np.float32) + 0.0).tobytes())
        for one in self.structures:
            hashed.update(np.ascontiguousarray(one.index, "<i4").tobytes())
        return hashed.hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grayordinates) and self.digest == other.digest

    def matches(self, other: object) -> bool:
        """Whether another axis is this one."""
        return self == other

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.structures[:3]))
        return shown + (f" and {len(self.structures) - 3} more" if len(self.structures) > 3 else "")

    @classmethod
    def of_surface(cls, sides: dict[str, NDArray[np.bool_]]) -> Grayordinates:
        """Make it from structure name -> (vertex,) bool, which says what is inside.

        Examples
        --------
        >>> Grayordinates.of_surface({CORTEX["L"]: np.array([True, False, True])}).size
        2
        """
        return cls(tuple(
            Structure(name, inside.size, np.flatnonzero(inside).astype(np.int32))
            for name, inside in sides.items()
        ))  # fmt: skip

    @classmethod
    def of_axis(cls, axis: Any) -> Grayordinates:
        """Make it from a ``nibabel.cifti2.BrainModelAxis``; a ValueError where places repeat."""
        structures = []
        for name, _, part in axis.iter_structures():
            surface = axis.nvertices.get(name, 0)
            index = np.ascontiguousarray(part.vertex if surface else part.voxel, np.int32)
            # nibabel's name may be NumPy's string, whose repr is another, and so the digest
            structures.append(Structure(str(name), int(surface), index))
        shape = None if axis.volume_shape is None else tuple(map(int, axis.volume_shape))
        _check_distinct(structures, shape)
        return cls(tuple(structures), shape, axis.affine)

    def axis(self) -> Any:
        """Return it as a ``nibabel.cifti2.BrainModelAxis``."""
        from nibabel.cifti2 import BrainModelAxis

        def part(one: Structure) -> Any:
            if one.vertices:
                return BrainModelAxis.from_surface(one.index, one.vertices, one.name)
            return BrainModelAxis(
                one.name, voxel=one.index, affine=self.affine, volume_shape=self.shape
            )

        return reduce(operator.add, [part(one) for one in self.structures])

    def select(self, wanted: Sequence[str]) -> Grayordinates:
        """Keep some structures: their names, ``"cortex"`` or ``"subcortex"``.

        A ValueError where one is not there.

        Examples
        --------
        >>> both = Grayordinates.of_surface({name: np.ones(3, bool) for name in CORTEX.values()})
        >>> both.select(["cortex_left"]).size, both.select(["cortex"]).size
        (3, 6)
        """
        kept = {one.name for name in wanted for one in self._called(name)}
        return self._of([one for one in self.structures if one.name in kept])

    def where(self, inside: NDArray[np.bool_]) -> Grayordinates:
        """Keep the columns at which `inside`, (column,), is true."""
        ends = np.cumsum([len(one.index) for one in self.structures])[:-1]
        parts = zip(self.structures, np.split(inside, ends), strict=True)
        kept = [Structure(one.name, one.vertices, one.index[part]) for one, part in parts]
        return self._of([one for one in kept if len(one.index)])

    def index_of(self, part: Grayordinates) -> NDArray[np.intp]:
        """Return where the columns of `part` are in this axis.

        Returns
        -------
        (column,) of `part`. A ValueError where one is not there.
        """
        if any(not one.vertices for one in part.structures) and not self.same_volume(part):
            raise ValueError("their voxels lie in volumes of different shape or place")
        starts = np.cumsum([0, *(len(one.index) for one in self.structures)])
        begin = {one.name: int(at) for one, at in zip(self.structures, starts, strict=False)}
        found = [
            _places(self._same(one), one, self.shape) + begin[one.name] for one in part.structures
        ]
        return np.concatenate(found) if found else np.empty(0, np.intp)

    def to_bytes(self) -> bytes:
        """Return it as a CIFTI file (dscalar of ones); the same axis always gives the same."""
        content: bytes = self._cifti(np.ones((1, self.size), np.float32), None).to_bytes()
        return content

    def image(self, values: NDArray[Any], tr: float | None = None) -> Any:
        """Put (column,) or (time, column) values into a CIFTI image; see `Archive.unmask`."""
        return self._cifti(np.atleast_2d(values).astype(np.float32), tr, values.ndim == 2)

    def _cifti(self, values: NDArray[Any], tr: float | None, series: bool = False) -> Any:
        from nibabel.cifti2 import Cifti2Image, ScalarAxis, SeriesAxis

        rows = SeriesAxis(0, tr or 1.0, len(values)) if series else ScalarAxis(["values"])
        return Cifti2Image(values, header=(rows, self.axis()))

    def _of(self, parts: Sequence[Structure]) -> Grayordinates:
        """Return these parts; without voxels there is no volume either."""
        volume = any(not one.vertices for one in parts)
        place = (self.shape, self.affine) if volume else (None, None)
        return Grayordinates(tuple(parts), *place)

    def _called(self, name: str) -> list[Structure]:
        names = {
            "cortex": [*CORTEX.values()],
            "subcortex": [one.name for one in self.structures if not one.vertices],
        }.get(name.lower(), [PREFIX + name.upper().removeprefix(PREFIX)])
        if not (found := [one for one in self.structures if one.name in names]):
            have = ", ".join(short(one.name) for one in self.structures)
            raise ValueError(f"there is no structure {name!r} in it; there are: {have}")
        return found

    def _same(self, one: Structure) -> Structure:
        for mine in self.structures:
            if mine.name == one.name and mine.vertices == one.vertices:
                return mine
        raise ValueError(f"{one} is not in it; there are: {self}")

    def same_volume(self, other: Grayordinates) -> bool:
        """Whether voxel i of one is voxel i of the other, to a micrometre."""
        if self.affine is None or other.affine is None:
            return False
        return self.shape == other.shape and np.allclose(self.affine, other.affine, atol=1e-3)


def short(name: str) -> str:
    """Return the name of a structure as people say it.

    Examples
    --------
    >>> short("CIFTI_STRUCTURE_CORTEX_LEFT")
    'cortex_left'
    """
    return name.removeprefix(PREFIX).lower()


def find(
    whole: Structure, part: Structure, shape: tuple[int, ...] | None
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return where the vertices or voxels of `part` are among those of `whole`, and which are."""
    have, want = (_flat(one, shape) for one in (whole, part))
    if not have.size:
        return np.zeros(want.size, np.intp), np.zeros(want.size, bool)
    order = np.argsort(have, kind="stable")
    at = np.minimum(np.searchsorted(have, want, sorter=order), len(have) - 1)
    places: NDArray[np.intp] = order[at]
    return places, have[places] == want


def _check_distinct(structures: Sequence[Structure], shape: tuple[int, ...] | None) -> None:
    names = [one.name for one in structures]
    for one in structures:
        lowest, highest = one.index.min(initial=0), one.index.max(initial=0)
        if one.vertices and not 0 <= lowest <= highest < one.vertices:
            raise ValueError(f"{short(one.name)} has {one.vertices} vertices and names {highest}")
        if names.count(one.name) > 1 or np.unique(_flat(one, shape)).size < len(one.index):
            raise ValueError(f"{short(one.name)}, or a place in it, stands twice among its columns")


def _places(whole: Structure, part: Structure, shape: tuple[int, ...] | None) -> NDArray[np.intp]:
    places, there = find(whole, part, shape)
    if not there.all():
        raise ValueError(f"it lacks {(~there).sum()} of the {there.size} of {short(part.name)}")
    return places


def _flat(one: Structure, shape: tuple[int, ...] | None) -> NDArray[np.int64]:
    if one.vertices:
        return one.index.astype(np.int64)
    flat: NDArray[np.int64] = np.ravel_multi_index(tuple(one.index.T), shape or ()).astype(np.int64)
    return flat
