"""The folder of an archive: whose it is, what was begun in it, what is already good."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from entense.archive import manifest as names
from entense.archive.manifest import MaskFile, ShardFile, check_inside, sealed, unsealed
from entense.archive.shard import make_folder, partial, refusals, save
from entense.archive.store import readable
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HIDDEN = ".entense"
RUNS = f"{HIDDEN}/run"  # the tasks of other processes, while they write
MASK = re.compile(r"\.?([0-9a-f]{16})(\.nii\.gz|\.dscalar\.nii)(\.partial)?")
IDENTITY = {
    "series": "format or disaggregation",
    "sharding": "sharding",
    "recipes": "recipes",
    "tensors": "dtypes, dimensions or scales",
    "columns": "columns",
    "code": "rules, fusion, or code of operations, format or sharding",
    "made_by": "versions or machine",
}
"""What must not change within one archive, as an error says it."""


@dataclass(frozen=True)
class Begun:
    """What is being written."""

    identity: Mapping[str, Any]  # what must not change within one archive
    records: Sequence[str]  # all ids, sorted
    parts: Mapping[str, Sequence[str]]  # of what is written at once: name to files
    options: Mapping[str, Any] = field(default_factory=dict)  # see `entense.archive.options`
    splits: Sequence[str] = ()  # of each record


@dataclass(frozen=True)
class Receipt:
    """What is known of a part that is done; it has no file where every record failed."""

    name: str
    files: Sequence[ShardFile]
    digest: str  # of all that decides its bytes beside identity and inputs: ids, shapes, scalars
    inputs: Sequence[Mapping[str, Sequence[Any]]]  # a record: slot to name, version
    tensors: Sequence[Mapping[str, Mapping[str, Any]] | None]  # a record: where, in which file
    errors: Sequence[str | None]  # a record

    @property
    def placed(self) -> Receipt:
        """The same without its inputs, which take most room, once it is on the disk."""
        return replace(self, inputs=())

    def plain(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return vars(self) | {"files": [vars(file) for file in self.files]}

    @classmethod
    def of(cls, body: dict[str, Any]) -> Receipt:
        """Return the receipt that `plain` gave."""
        return cls(**(body | {"files": [ShardFile(**file) for file in body["files"]]}))


def claim(folder: Path) -> None:
    """Raise unless `folder` is free to write into: absent, empty, or an archive of ours."""
    if folder.exists() and not folder.is_dir():
        raise ArchiveError(f"{folder} is a file, not a folder; choose another folder to write to")
    with refusals(folder):
        others = folder.exists() and any(path.name != HIDDEN for path in folder.iterdir())
    if others and not _begun(folder).exists():
        raise ArchiveError(
            f"the folder {folder} holds something else, no archive of entense; "
            "choose another folder to write to, or empty it yourself"
        )
    for place, folders, _ in os.walk(folder):
        if linked := [name for name in folders if (Path(place) / name).is_symlink()]:
            raise ArchiveError(
                f"{Path(place) / linked[0]} is a link, and what is written there would lie outside "
                f"{folder}; remove it, or choose another folder to write to"
            )


def begin(folder: Path, begun: Begun, *, overwrite: bool) -> None:
    """Note what is being written, so that a rerun can tell; clear away what does not belong.

    Another archive that is there is an error, unless it may be overwritten: then it is removed,
    and nothing that is not its own.
    """
    if overwrite and _begun(folder).exists():
        _remove(folder, _parts_in(folder))
    elif before := begun_in(folder):
        if how := difference(before, begun):
            raise ArchiveError(
                f"the folder {folder} holds an archive that {how}; "
                "choose another folder, or pass overwrite=True to replace it"
            )
        discard(folder, {name: files for name, files in before.parts.items()
                         if files != begun.parts.get(name)})  # fmt: skip
    save(_begun(folder), sealed(vars(begun)))


def begun_in(folder: Path) -> Begun | None:
    """Return the note of what is being written, or was; None where there is none."""
    path = _begun(folder)
    if not path.exists():
        return None
    try:
        begun = unsealed(_content(path), lambda body: Begun(**body))
    except ValueError as error:
        raise ArchiveError(
            f"{path} is damaged, so what is in {folder} is unknown; pass overwrite=True to "
            "replace it, or choose another folder"
        ) from error
    for name in (*begun.parts, *chain.from_iterable(begun.parts.values())):
        check_inside(name, path)
    return begun


def difference(old: Begun, new: Begun) -> str | None:
    """Say what `old` has that `new` has not; None where nothing would be lost."""
    other = [key for key in IDENTITY if old.identity.get(key) != new.identity[key]]
    if other:
        what = " and ".join(IDENTITY[key] for key in other)
        return f"differs in its {what}{_machines(old, new)}"
    if lost := sorted(set(old.records) - set(new.records)):
        return f"has {len(lost)} records that this table has not, such as {lost[0]}"
    now = dict(zip(new.records, new.splits, strict=True))
    before = dict(zip(old.records, old.splits, strict=False))  # older archives do not say
    if moved := [record for record, split in before.items() if now[record] != split]:
        first = moved[0]
        return (
            f"has {len(moved)} records in another split, such as {first} ({before[first]!r} there, "
            f"{now[first]!r} here)"
        )
    return None


def keep(folder: Path, receipt: Receipt) -> None:
    """Save the receipt of a part."""
    make_folder(folder / HIDDEN, "receipts")
    save(_receipt(folder, receipt.name), sealed(receipt.plain()))


def kept(folder: Path, part: str) -> Receipt | None:
    """Return the receipt of a part, or None; it does not look at the files."""
    try:
        receipt = unsealed(_content(_receipt(folder, part)), Receipt.of)
    except ValueError:
        return None  # no receipt, or a damaged one: the part is written again
    return receipt if receipt.name == part else None


def keep_masks(folder: Path, masks: Mapping[str, MaskFile]) -> None:
    """Save what is known of the masks, by digest."""
    save(_masks(folder), sealed({digest: vars(mask) for digest, mask in masks.items()}))


def kept_masks(folder: Path) -> dict[str, MaskFile]:
    """Return what `keep_masks` saved; it does not look at the masks."""
    try:
        text = _content(_masks(folder))
        return unsealed(text, lambda body: {name: MaskFile(**m) for name, m in body.items()})
    except ValueError:
        return {}


def save_beside(folder: Path, files: Mapping[str, bytes]) -> None:
    """Save the files that others read, and remove those of ours that are not among them."""
    before = _kept_beside(folder)
    _note_beside(folder, {*before, *files})  # a kill leaves none that is unknown
    for path in sorted(before - files.keys()):
        _unlink(folder, folder / path, partial(folder / path))
        _remove_if_empty((folder / path).parent)
    for path, content in files.items():
        make_folder(folder, str(PurePosixPath(path).parent))
        save(folder / path, content)
    _note_beside(folder, files)


def discard(folder: Path, parts: Mapping[str, Sequence[str]]) -> None:
    """Remove parts and their receipts, and first the manifest: what is left is unfinished."""
    for name, files in parts.items():
        _unlink(folder, folder / names.NAME, _receipt(folder, name))
        for path in (folder / file for file in files):
            _unlink(folder, path, partial(path))
            for above in path.relative_to(folder).parents[:-1]:
                _remove_if_empty(folder / above)


def remove_masks(folder: Path, wanted: Iterable[str]) -> None:
    """Remove the masks of ours whose digests are not in `wanted`."""
    keep = set(wanted)
    files = [(path, MASK.fullmatch(path.name)) for path in (folder / names.MASKS).glob("*")]
    stale = [path for path, ours in files if ours and (ours[1] not in keep or ours[3])]
    _unlink(folder, *stale)
    _remove_if_empty(folder / names.MASKS)


def _parts_in(folder: Path) -> Mapping[str, Sequence[str]]:
    """Return the parts that are there: those that receipts know, where the note is damaged."""
    with suppress(ArchiveError):
        begun = begun_in(folder)
        return begun.parts if begun else {}
    place = _receipt(folder, "").parent
    receipts = filter(None, (kept(folder, path.stem) for path in sorted(place.glob("*.json"))))
    parts = {receipt.name: [file.path for file in receipt.files] for receipt in receipts}
    for path in chain.from_iterable(parts.values()):
        check_inside(path, place)
    return parts


def _content(path: Path) -> bytes:
    """Return what a small file of ours holds; nothing, which has no seal, where it is not there."""
    with suppress(FileNotFoundError), readable(path):
        return path.read_bytes()
    return b""


def _begun(folder: Path) -> Path:
    return folder / HIDDEN / "begun.json"


def _masks(folder: Path) -> Path:
    return folder / HIDDEN / "masks.json"


def _beside(folder: Path) -> Path:
    return folder / HIDDEN / "beside.json"


def _note_beside(folder: Path, paths: Iterable[str]) -> None:
    save(_beside(folder), sealed({"paths": sorted(paths)}))


def _kept_beside(folder: Path) -> set[str]:
    try:
        paths = unsealed(_content(_beside(folder)), lambda body: set(map(str, body["paths"])))
    except ValueError:
        return set()
    for path in paths:
        check_inside(path, _beside(folder))
    return paths


def _receipt(folder: Path, part: str) -> Path:
    return folder / HIDDEN / "receipts" / f"{part}.json"


def _machines(old: Begun, new: Begun) -> str:
    """Say what made the archive that is there, and what this is, where they differ."""
    made = [begun.identity.get("made_by") or {} for begun in (old, new)]
    if made[0] == made[1]:
        return ""
    parts = [", ".join(f"{name} {number}" for name, number in one.items()) for one in made]
    return f" (it was made by {parts[0]}; this is {parts[1]})"


def _remove(folder: Path, parts: Mapping[str, Sequence[str]]) -> None:
    """Remove an archive: every file that is its own, the note that it is one last."""
    discard(folder, parts)
    remove_masks(folder, ())
    save_beside(folder, {})
    tables = (folder / names.RECORDS, folder / names.NAME, _masks(folder), _beside(folder))
    _unlink(folder, *tables, *map(partial, tables), _begun(folder))
    _remove_if_empty(folder / HIDDEN / "receipts")


def _unlink(folder: Path, *files: Path) -> None:
    with refusals(folder):
        for file in files:
            file.unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
