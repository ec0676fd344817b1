"""What can go wrong, in sentences a scientist understands."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SHOWN, _LONGEST = 12, 300  # names, characters


class EntenseError(Exception):
    """The base of every error that entense raises on purpose."""


class TableError(EntenseError):
    """A table of files or records is not what the step needs."""


class RecipeError(EntenseError):
    """A tensor cannot be made as asked: an unknown op, a wrong parameter, mixed recipes."""


class RecordError(EntenseError):
    """One record cannot be computed: its file is missing, damaged or does not fit."""


class ArchiveError(EntenseError):
    """An archive is unfinished, damaged, or in the way."""


class StaleError(ArchiveError):
    """An archive was written again since it was opened; no record of it is to blame."""


class ExecutionError(EntenseError):
    """The workers of a run cannot be had, or what they need went away under them."""


def check_descriptors(error: Exception, path: object) -> None:
    """Raise where a process has too many files open for another one, which may be good."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        raise ExecutionError(
            f"{path} cannot be opened here and now ({error.strerror}), which is no fault of the "
            "file; allow more open files (ulimit -n), or use fewer workers"
        ) from error


@contextmanager
def naming(op: str) -> Iterator[None]:
    """Name the op in what it raises, where that is no sentence of ours."""
    try:
        yield
    except (EntenseError, ImportError, MemoryError):
        raise
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise RecordError(f"the op {op!r} cannot be applied: {problem}") from error


def hint(name: object, names: Iterable[str]) -> str:
    """Say which of the known names was probably meant, or which there are.

    Examples
    --------
    >>> hint("bald", ["bold", "mask"])
    "did you mean 'bold'?"
    >>> hint("fmri", ["bold", "mask"])
    'there are: bold, mask'
    """
    known = list(names)
    if close := get_close_matches(str(name), known, n=1):
        return f"did you mean {close[0]!r}?"
    listed = ", ".join(known[:_SHOWN])[:_LONGEST]
    more = ", …" if len(known) > _SHOWN or len(listed) == _LONGEST else ""
    return f"there are: {listed}{more}" if known else "there are none"
