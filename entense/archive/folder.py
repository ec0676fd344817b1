"""The folder of an archive: whose it is, what was begun in it, what is already good."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from entense.archive import manifest as names
from entense.archive.manifest import MaskFile, ShardFile, check_inside, sealed, unsealed
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from entense.archive.home import Home

HIDDEN = ".entense"
RUNS = f"{HIDDEN}/run"  # the tasks of other processes, while they write
BEGUN, KNOWN, BESIDE = (f"{HIDDEN}/{name}.json" for name in ("begun", "masks", "beside"))
RECEIPTS = f"{HIDDEN}/receipts"
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
    said: Mapping[str, str] = field(default_factory=dict)  # file to its token, where a store has it

    def plain(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        plain = vars(self) | {"files": [vars(file) for file in self.files]}
        return plain if self.said else {name: plain[name] for name in plain if name != "said"}

    @classmethod
    def of(cls, body: dict[str, Any]) -> Receipt:
        """Return the receipt that `plain` gave."""
        return cls(**(body | {"files": [ShardFile(**file) for file in body["files"]]}))


def claim(home: Home) -> None:
    """Raise unless `home` is free to write into: absent, empty, or an archive of ours."""
    if home.others() and not home.exists(BEGUN):
        raise ArchiveError(
            f"the folder {home} holds something else, no archive of entense; "
            "choose another folder to write to, or empty it yourself"
        )
    home.check_links()


def begin(home: Home, begun: Begun, *, overwrite: bool) -> None:
    """Note what is being written, so that a rerun can tell; clear away what does not belong.

    Another archive that is there is an error, unless it may be overwritten: then it is removed,
    and nothing that is not its own.
    """
    if overwrite and home.exists(BEGUN):
        _remove(home, _parts_in(home))
    elif before := begun_in(home):
        if how := difference(before, begun):
            raise ArchiveError(
                f"the folder {home} holds an archive that {how}; "
                "choose another folder, or pass overwrite=True to replace it"
            )
        discard(home, {name: files for name, files in before.parts.items()
                       if files != begun.parts.get(name)})  # fmt: skip
    home.save(BEGUN, sealed(vars(begun)))


def begun_in(home: Home) -> Begun | None:
    """Return the note of what is being written, or was; None where there is none."""
    if not home.exists(BEGUN):
        return None
    try:
        begun = unsealed(home.read(BEGUN), lambda body: Begun(**body))
    except ValueError as error:
        raise ArchiveError(
            f"{home.place / BEGUN} is damaged, so what is in {home} is unknown; pass "
            "overwrite=True to replace it, or choose another folder"
        ) from error
    for name in (*begun.parts, *chain.from_iterable(begun.parts.values())):
        check_inside(name, home.place / BEGUN)
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


def keep(home: Home, receipt: Receipt) -> None:
    """Save the receipt of a part."""
    home.save(_receipt(receipt.name), sealed(receipt.plain()))


def kept(home: Home, part: str) -> Receipt | None:
    """Return the receipt of a part, or None; it does not look at the files."""
    try:
        receipt = unsealed(home.read(_receipt(part)), Receipt.of)
    except ValueError:
        return None  # no receipt, or a damaged one: the part is written again
    return receipt if receipt.name == part else None


def keep_masks(home: Home, masks: Mapping[str, MaskFile]) -> None:
    """Save what is known of the masks, by digest."""
    home.save(KNOWN, sealed({digest: vars(mask) for digest, mask in masks.items()}))


def kept_masks(home: Home) -> dict[str, MaskFile]:
    """Return what `keep_masks` saved; it does not look at the masks."""
    try:
        text = home.read(KNOWN)
        return unsealed(text, lambda body: {name: MaskFile(**m) for name, m in body.items()})
    except ValueError:
        return {}


def save_beside(home: Home, files: Mapping[str, bytes]) -> None:
    """Save the files that others read, and remove those of ours that are not among them."""
    before = _kept_beside(home)
    _note_beside(home, {*before, *files})  # a kill leaves none that is unknown
    home.remove(*sorted(before - files.keys()))
    for path, content in files.items():
        home.save(path, content)
    _note_beside(home, files)


def discard(home: Home, parts: Mapping[str, Sequence[str]]) -> None:
    """Remove parts and their receipts, and first the manifest: what is left is unfinished."""
    if parts:
        home.remove(names.NAME, *map(_receipt, parts))
        home.remove(*chain.from_iterable(parts.values()))


def remove_masks(home: Home, wanted: Iterable[str]) -> None:
    """Remove the masks of ours whose digests are not in `wanted`."""
    keep = set(wanted)
    files = [(name, MASK.fullmatch(PurePosixPath(name).name)) for name in home.names(names.MASKS)]
    home.remove(*(name for name, ours in files if ours and (ours[1] not in keep or ours[3])))


def _parts_in(home: Home) -> Mapping[str, Sequence[str]]:
    """Return the parts that are there: those that receipts know, where the note is damaged."""
    with suppress(ArchiveError):
        begun = begun_in(home)
        return begun.parts if begun else {}
    stems = [PurePosixPath(name).stem for name in home.names(RECEIPTS)]
    receipts = filter(None, (kept(home, stem) for stem in stems))
    parts = {receipt.name: [file.path for file in receipt.files] for receipt in receipts}
    for path in chain.from_iterable(parts.values()):
        check_inside(path, home.place / RECEIPTS)
    return parts


def _note_beside(home: Home, paths: Iterable[str]) -> None:
    home.save(BESIDE, sealed({"paths": sorted(paths)}))


def _kept_beside(home: Home) -> set[str]:
    try:
        paths = unsealed(home.read(BESIDE), lambda body: set(map(str, body["paths"])))
    except ValueError:
        return set()
    for path in paths:
        check_inside(path, home.place / BESIDE)
    return paths


def _receipt(part: str) -> str:
    return f"{RECEIPTS}/{part}.json"


def _machines(old: Begun, new: Begun) -> str:
    """Say what made the archive that is there, and what this is, where they differ."""
    made = [begun.identity.get("made_by") or {} for begun in (old, new)]
    if made[0] == made[1]:
        return ""
    parts = [", ".join(f"{name} {number}" for name, number in one.items()) for one in made]
    return f" (it was made by {parts[0]}; this is {parts[1]})"


def _remove(home: Home, parts: Mapping[str, Sequence[str]]) -> None:
    """Remove an archive: every file that is its own, the note that it is one last."""
    discard(home, parts)
    remove_masks(home, ())
    save_beside(home, {})
    home.remove(names.NAME, names.RECORDS, KNOWN, BESIDE)
    home.remove(BEGUN)
