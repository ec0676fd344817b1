"""The folder of an archive: whose it is, what was begun in it, what is already good."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from crc32c import crc32c

from entense.archive import manifest as names
from entense.archive.manifest import check_inside, sealed, unsealed
from entense.archive.shard import partial, refusals, save
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

HIDDEN = ".entense"
CHUNK = 2**23
IDENTITY = {
    "format": "format",
    "recipes": "recipes",
    "tensors": "dtypes or dimensions",
    "columns": "columns",
    "made_by": "versions or machine",
}
"""What must not change within one archive, as an error says it."""


@dataclass(frozen=True)
class Receipt:
    """What is known of a shard that was written whole.

    Parameters
    ----------
    path, bytes, crc32c
        The file.
    digest
        Of all that decides its bytes beside the inputs' content: recipes, ids, shapes, scalars.
    inputs
        For each record, slot to (file name, size, time of change in ns).
    tensors
        For each record, tensor to its placement; None where the record failed.
    errors
        For each record, its error or None.
    """

    path: str
    bytes: int
    crc32c: int
    digest: str
    inputs: Sequence[Mapping[str, Sequence[Any]]]
    tensors: Sequence[Mapping[str, Mapping[str, Any]] | None]
    errors: Sequence[str | None]


def claim(folder: Path) -> None:
    """Raise unless `folder` is free to write into: absent, empty, or an archive of ours.

    Raises
    ------
    ArchiveError
        When it is a file or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise ArchiveError(f"{folder} is a file, not a folder; choose another folder to write to")
    others = folder.exists() and any(path.name != HIDDEN for path in folder.iterdir())
    if others and not _begun(folder).exists():
        raise ArchiveError(
            f"the folder {folder} holds something else, no archive of entense; "
            "choose another folder to write to, or empty it yourself"
        )


def begin(
    folder: Path, identity: Mapping[str, Any], shards: Sequence[str], *, overwrite: bool
) -> None:
    """Note what is being written, so that a rerun can tell; clear away what does not belong.

    Parameters
    ----------
    folder
        A folder that was claimed.
    identity
        What must not change within one archive: the keys of `IDENTITY`.
    shards
        The paths of all shards to come.
    overwrite
        Remove the archive that is there first, and nothing that is not its own.

    Raises
    ------
    ArchiveError
        When another archive is there and `overwrite` is False.
    """
    before = _read_begun(folder)
    if before and overwrite:
        _remove(folder, before["shards"])
    elif before and before["identity"] != identity:
        raise _differs(folder, before["identity"], identity)
    elif before:
        discard(folder, set(before["shards"]) - set(shards))
    text = sealed({"identity": identity, "shards": shards})
    if not _begun(folder).exists() or _begun(folder).read_bytes() != text:
        save(_begun(folder), text)


def keep(folder: Path, receipt: Receipt) -> None:
    """Save the receipt of a shard."""
    save(_receipt(folder, receipt.path), sealed(asdict(receipt)))


def kept(folder: Path, shard: str) -> Receipt | None:
    """Return the receipt of a shard, or None; it does not look at the shard."""
    try:
        receipt = Receipt(**unsealed(_receipt(folder, shard).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None  # no receipt, or a damaged one: the shard is written again
    return receipt if receipt.path == shard else None


def checksum(path: Path) -> tuple[int, int]:
    """Return size and CRC-32C of a file; (-1, 0) where there is none."""
    size = crc = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                size, crc = size + len(chunk), crc32c(chunk, crc)
    except OSError:
        return -1, 0
    return size, crc


def discard(folder: Path, shards: Iterable[str]) -> None:
    """Remove shards and their receipts, and first the manifest: what is left is unfinished."""
    for shard in shards:
        path = folder / shard
        own = (folder / names.NAME, _receipt(folder, shard), path, partial(path))
        with refusals(folder):
            for file in own:
                file.unlink(missing_ok=True)
            _remove_if_empty(path.parent)


def remove_masks(folder: Path, wanted: set[str]) -> None:
    """Remove the masks of ours that are not in `wanted`."""
    masks = folder / names.MASKS
    for path in masks.iterdir() if masks.exists() else ():
        ours = re.fullmatch(r"\.?[0-9a-f]{16}\.nii\.gz(\.partial)?", path.name)
        if ours and f"{names.MASKS}/{path.name}" not in wanted:
            path.unlink()
    _remove_if_empty(masks)


def _begun(folder: Path) -> Path:
    return folder / HIDDEN / "begun.json"


def _receipt(folder: Path, shard: str) -> Path:
    return folder / HIDDEN / "receipts" / f"{shard.replace('/', '_')}.json"


def _read_begun(folder: Path) -> dict[str, Any] | None:
    path = _begun(folder)
    if not path.exists():
        return None
    try:
        begun = unsealed(path.read_bytes())
        for shard in begun["shards"]:
            check_inside(shard, path)
    except (ValueError, TypeError, KeyError) as error:
        raise ArchiveError(
            f"{path} is damaged, so what is in {folder} is unknown; "
            "delete that folder, or choose another"
        ) from error
    return begun


def _differs(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> ArchiveError:
    what = " and ".join(IDENTITY[key] for key in new if old.get(key) != new[key])
    detail = ""
    if old.get("made_by") != new["made_by"]:
        versions = _versions(old.get("made_by")), _versions(new["made_by"])
        detail = f" (it was made by {versions[0]}; this is {versions[1]})"
    return ArchiveError(
        f"the folder {folder} holds an archive that differs in its {what}{detail}; "
        "choose another folder, or pass overwrite=True to replace it"
    )


def _versions(made_by: Mapping[str, str] | None) -> str:
    return ", ".join(f"{name} {number}" for name, number in (made_by or {}).items())


def _remove(folder: Path, shards: Sequence[str]) -> None:
    """Remove an archive: every file that is its own, the note that it is one last."""
    discard(folder, shards)
    remove_masks(folder, set())
    records = folder / names.RECORDS
    with refusals(folder):
        for file in (records, partial(records), partial(folder / names.NAME), _begun(folder)):
            file.unlink(missing_ok=True)
        _remove_if_empty(folder / HIDDEN / "receipts")


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
