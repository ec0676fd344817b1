"""What is said of records that failed: to whom runs it, and in the archive."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from entense.errors import ArchiveError
from entense.index.fetch import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LINES = 20
ABSOLUTE = re.compile(r"(?<![\w.~/])/(?:[^\s/:'\"]+/)+(?=[^\s/])")
"""The folders of an absolute path."""


class FailedRecordsError(ArchiveError):
    """Records could not be computed.

    Attributes
    ----------
    failures
        Record id to the sentence that says why, of every one.
    """

    def __init__(self, failures: Mapping[str, str], total: int) -> None:
        super().__init__(
            f"{len(failures)} of {total} records could not be computed; repair them and write "
            "again (finished shards are kept, the archive opens when all are there), or pass "
            f'on_error="skip" to leave them out:{_listed(failures)}'
        )
        self.failures = dict(failures)


def without_folders(sentence: str, paths: Iterable[str]) -> str:
    """Return a sentence with the paths in it reduced to names.

    Examples
    --------
    >>> without_folders("/my data/a.nii: is a link to /x/b, mend it", ["/my data/a.nii"])
    'a.nii: is a link to b, mend it'
    """
    for path in paths:
        sentence = sentence.replace(path, name_of(path))
    return ABSOLUTE.sub("", sentence)


def _listed(failures: Mapping[str, str]) -> str:
    """Return a line for each different sentence, the first of them."""
    alike: dict[str, list[str]] = defaultdict(list)
    for record, sentence in failures.items():
        alike[sentence].append(record)
    shown = list(alike.items())[:LINES]
    lines = [f"\n  {_named(records)}: {sentence}" for sentence, records in shown]
    if more := len(failures) - sum(len(records) for _, records in shown):
        lines.append(f"\n  and {more:,} more; the error's attribute `failures` has them all")
    return "".join(lines)


def _named(records: list[str]) -> str:
    more = f" and {len(records) - 3:,} more" if len(records) > 3 else ""
    return ", ".join(records[:3]) + more
