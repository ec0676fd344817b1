"""What a split may be called: it is a folder of shards, on any disk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_TAKEN = "masks"  # an archive's folder of masks


def problem_of(names: Collection[str]) -> str | None:
    """Say which of some splits cannot name a folder, or would share one; None where all is well.

    Examples
    --------
    >>> problem_of(["train", "test"])
    >>> problem_of(["Train", "train"])
    "the splits 'Train' and 'train' would share one folder where disks know no case; rename one"
    """
    seen: dict[str, str] = {}
    for name in sorted(set(names)):
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name.lower() == _TAKEN:
            return (
                f"the split {name!r} cannot name a folder of shards; use letters, digits, "
                f'"_" and "-" (and not {_TAKEN!r})'
            )
        other = seen.setdefault(name.lower(), name)
        if other != name:
            return (
                f"the splits {other!r} and {name!r} would share one folder where disks know no "
                "case; rename one"
            )
    return None
