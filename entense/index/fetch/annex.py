"""Annexed files whose content is not here, and DataLad, which gets it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
import threading
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import Any

from entense.errors import RecordError

POINTER_SIZE = 32_768  # git-annex: a pointer file is at most this large
_POINTER = b"/annex/objects/"
_SIZE = re.compile(r"^[A-Z0-9_]+(?:-[a-z]\d+)*?-s(\d+)")


def key_of(path: str | Path) -> str | None:
    """Return the git-annex key of a file that is a link into an annex: it tells its content."""
    try:
        target = os.readlink(path)  # noqa: PTH115  a Path takes thrice as long
    except OSError:
        return None
    return target.rpartition("/")[2] if "annex/objects/" in target else None


def size_of(key: str) -> int | None:
    """Return the size in bytes that a key tells.

    Examples
    --------
    >>> size_of("MD5E-s1234--0a1b.nii.gz"), size_of("URL--https&c%%host")
    (1234, None)
    """
    match = _SIZE.match(key)
    return int(match[1]) if match else None


def absent(path: str | Path) -> str | None:
    """Say as what git-annex keeps a file whose content is not here; None for any other."""
    try:
        stat = os.stat(path)  # noqa: PTH116
    except OSError:
        return "link" if key_of(path) else None
    if not 0 < stat.st_size < POINTER_SIZE or not S_ISREG(stat.st_mode):
        return None
    with open(path, "rb") as file:  # noqa: PTH123
        return "pointer" if is_pointer(file.read(len(_POINTER))) else None


def is_pointer(content: bytes) -> bool:
    """Whether a file of that content is what git-annex keeps for one that is not here.

    Examples
    --------
    >>> is_pointer(b"/annex/objects/MD5E-s1234--0a1b.nii.gz"), is_pointer(b"{}")
    (True, False)
    """
    return len(content) < POINTER_SIZE and content.startswith(_POINTER)


@dataclass
class _Queue:
    """The files of one dataset that are waited for: one call at a time gets them all."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    waiting: set[str] = field(default_factory=set)
    reasons: dict[str, str] = field(default_factory=dict)


_queues: dict[str, _Queue] = {}


def get(path: str | Path) -> None:
    """Have DataLad get the content of an annexed file.

    Raises
    ------
    RecordError
        DataLad is not installed, or cannot get it.
    """
    place = os.path.abspath(path)  # noqa: PTH100  a Path would follow links
    dataset, program = _dataset(Path(place)), shutil.which("datalad", path=_search())
    kind = absent(place)
    if kind is None:  # it came meanwhile
        return
    here = f"{path}: the content is not here (a git-annex {kind})"
    if program is None or dataset is None:
        raise RecordError(f"{here}; fetch it with: datalad get {path}")
    queue = _queues.setdefault(dataset, _Queue())  # at once: two calls would fight for a file
    queue.waiting.add(place)
    with queue.lock:
        if place in queue.waiting and absent(place):  # else the one before took it along
            _get_all(program, dataset, queue)
    if absent(place):
        reason = queue.reasons.get(place, "it says nothing")
        raise RecordError(
            f"{here}, and DataLad cannot get it ({reason}); mend its source, and try: "
            f"datalad get {path}"
        )


def _get_all(program: str, dataset: str, queue: _Queue) -> None:
    paths = sorted(queue.waiting)
    queue.waiting.difference_update(paths)
    paths = [path for path in paths if absent(path)]
    ran = subprocess.run(  # noqa: S603  no shell; the paths are absolute, so none is an option
        [program, "-f", "json", "get", *paths],
        cwd=dataset,
        env={**os.environ, "PATH": _search(), "GIT_TERMINAL_PROMPT": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        start_new_session=True,  # it may ask nobody for a password
        check=False,
    )
    said = [_short(line) for line in ran.stderr.splitlines() if line.strip()]
    last = said[-1] if said else f"it ended with {ran.returncode}"
    queue.reasons.update(dict.fromkeys(paths, last))
    for result in map(_result, ran.stdout.splitlines()):
        if result.get("path") in paths and result.get("message"):
            queue.reasons[result["path"]] = _short(str(result["message"]))


def _result(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _dataset(place: Path) -> str | None:
    return next((str(one) for one in place.parents if (one / ".git").exists()), None)


def _search() -> str:
    """Return where programs are looked for: also beside the Python that runs, activated or not."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), sysconfig.get_path("scripts")])


def _short(text: str) -> str:
    return " ".join(text.split())[:200]
