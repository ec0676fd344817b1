"""From values of an axis of voxels, vertices or grayordinates back to an image of the brain."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.archive.store import content_of
from entense.errors import ArchiveError
from entense.images.masks import read_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nibabel import Cifti2Image, Nifti1Image
    from numpy.typing import NDArray

    from entense.archive.manifest import MaskFile
    from entense.archive.read import Archive
    from entense.archive.store import Place
    from entense.geometry import Columns


class Masks(dict[str, "Columns"]):
    """The masks of an archive by digest; each is read, and held to its checksum, when asked for."""

    def __init__(self, folder: Place, files: Mapping[str, MaskFile]) -> None:
        super().__init__()
        self._folder, self._files = folder, files

    def __missing__(self, digest: str) -> Columns:
        file = self._files[digest]
        content = content_of(self._folder, file)
        if content is None:
            raise ArchiveError(
                f"{self._folder / file.path} is missing, cut or damaged; copy it again, or run "
                "write again, which mends it"
            )
        with TemporaryDirectory() as here:  # nibabel tells by the name what it reads
            copy = Path(here) / Path(file.path).name
            copy.write_bytes(content)
            self[digest] = read_columns(copy)
        return self[digest]


def unmask(
    archive: Archive, values: NDArray[Any], tensor: str, record: int | str | None
) -> Nifti1Image | Cifti2Image:
    """Put values back into the brain; see `Archive.unmask`."""
    known = archive.tensor(tensor)
    own = None if record is None else archive.place_of(archive.row(record), tensor)
    digest = str(known.mask if own is None else own["mask"])
    file = archive.manifest.masks.get(digest)
    if file is None:
        raise ArchiveError(
            f"{tensor!r} has no mask to go back into: it has no voxel axis (nor one of "
            "vertices), or its records have masks of their own; then say whose: "
            "unmask(…, record=id)"
        )
    if np.ndim(values) not in (1, 2) or np.shape(values)[-1] != file.voxels:
        raise ArchiveError(
            f"the values have the shape {np.shape(values)}, and the mask of {tensor!r} takes "
            f"({file.voxels},) or (time, {file.voxels}); give all voxels, in their order"
        )
    tr = known.tr if own is None or own["tr"] is None else own["tr"]
    return archive.masks[digest].image(np.asarray(values), tr)
