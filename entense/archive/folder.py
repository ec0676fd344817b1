"""The folder of an archive: whose it is, what was begun in it, what is already good."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from entense.archive import manifest as names
from entense.archive.difference import difference
from entense.archive.manifest import Manifest, MaskFile, ShardFile, check_inside, sealed, unsealed
from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from entense.archive.home import Home

HIDDEN = ".entense"
RUNS = f"{HIDDEN}/run"  # the tasks of other processes, while they write
BEGUN, KNOWN, BESIDE = (f"{HIDDEN}/{name}.json" for name in ("begun", "masks", "beside"))
RECEIPTS = f"{HIDDEN}/receipts"
MASK = re.compile(r"\.?([0-9a-f]{16})(\.nii\.gz|\.dscalar\.nii)(\.partial)?")


@dataclass(frozen=True)
class Begun:
    """What is being written."""

    identity: Mapping[str, Any]  # what must not change within one archive
    records: Sequence[str]  # all ids, sorted
    parts: Mapping[str, Sequence[str]]  # of what is written at once: name to files
    options: Mapping[str, Any] = field(default_factory=dict)  # see `entense.archive.options`
    splits: Sequence[str] = ()  # of each record


class _Packed(Sequence[Any]):
    """What JSON can hold, packed; each item is made anew."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._bytes, self._length = zlib.compress(json.dumps([*items]).encode(), 1), len(items)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, at: Any) -> Any:
        return json.loads(zlib.decompress(self._bytes))[at]

    def __iter__(self) -> Iterator[Any]:
        return iter(self[:])


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

    @property
    def placed(self) -> Receipt:
        """The same once it is on the disk: without its inputs, and small, for there may be many."""
        return replace(self, inputs=(), tensors=_Packed(self.tensors))

    def plain(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        lists = {"files": [vars(file) for file in self.files], "tensors": [*self.tensors]}
        plain = vars(self) | lists
        return plain if self.said else {name: plain[name] for name in plain if name != "said"}

    @classmethod
    def of(cls, body: dict[str, Any]) -> Receipt:
        """Return the receipt that `plain` gave."""
        return cls(**(body | {"files": [ShardFile(**file) for file in body["files"]]}))


def claim(home: Home, *, overwrite: bool = False) -> None:
    """Raise unless `home` is free to write into: absent, empty, or an archive of ours.

    One whose notes are lost may be replaced, and not be gone on with.
    """
    others = home.others()
    if others and not overwrite:
        check_notes(home)
    if others and not (home.exists(BEGUN) or home.exists(names.NAME)):
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
    if overwrite and _lacks_notes(home):
        _note_anew(home)
    if overwrite and home.exists(BEGUN):
        _remove(home, _parts_in(home))
    elif before := fitting(home, begun):
        discard(home, {name: files for name, files in before.parts.items()
                       if files != begun.parts.get(name)})  # fmt: skip
    home.save(BEGUN, sealed(vars(begun)))


def fitting(home: Home, begun: Begun) -> Begun | None:
    """Return what was begun there, None where nothing was; raise where this is something else."""
    if (before := begun_in(home)) and (how := difference(before, begun)):
        raise ArchiveError(
            f"the folder {home} holds an archive that {how}; "
            "choose another folder, or pass overwrite=True to replace it"
        )
    return before


def check_notes(home: Home) -> None:
    """Raise where there is an archive without the notes that go on with it, or mend it."""
    if _lacks_notes(home):
        raise ArchiveError(
            f"the archive {home} has lost its notes (the hidden folder {HIDDEN}), which say what "
            f"it was made of; copy it again with hidden files (cp -r {home}, not {home}/*), "
            "or write it anew with overwrite=True"
        )


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


def _lacks_notes(home: Home) -> bool:
    return home.exists(names.NAME) and not home.exists(BEGUN)


def _note_anew(home: Home) -> None:
    """Note what the manifest names as what is to be removed, so that a kill leaves it known."""
    path = home.place / names.NAME
    try:
        files = Manifest.from_json(home.read(names.NAME), path).files
    except ArchiveError as error:
        raise ArchiveError(
            f"{path} is damaged, and nothing else says which files of {home} are the archive's; "
            "remove them yourself, or choose another folder"
        ) from error
    home.save(BEGUN, sealed(vars(Begun({}, [], {file.path: [file.path] for file in files}))))


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


def _remove(home: Home, parts: Mapping[str, Sequence[str]]) -> None:
    """Remove an archive: every file that is its own, the note that it is one last."""
    discard(home, parts)
    remove_masks(home, ())
    save_beside(home, {})
    home.remove(names.NAME, names.RECORDS, KNOWN, BESIDE)
    home.remove(BEGUN)
