"""What the machine lacks for a while, told from what is wrong with a record."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from entense.errors import ExecutionError, RecipeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entense.plan.bind import Bound

_PASSING = {
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files (ulimit -n)"),
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT),
        "free some space, or set ENTENSE_CACHE to a folder on another disk",
    ),
    **dict.fromkeys((errno.EAGAIN, errno.ESTALE, errno.ENOTCONN), "see that its disk is there"),
}


def check_machine(error: Exception, bound: Bound) -> None:
    """Raise for what the machine lacks, which passes, and would else be kept as what is wrong."""
    what, causes = next(iter(bound.files.values()), "a record"), [*_causes(error)]
    numbers = [cause.errno for cause in causes if isinstance(cause, OSError)]
    is_memory = errno.ENOMEM in numbers or any(isinstance(one, MemoryError) for one in causes)
    if is_memory or "RESOURCE_EXHAUSTED" in str(error):
        raise RecipeError(
            f"the memory was exhausted at {what} "
            f'({error}); pass memory=, as "4GB", or a smaller one, and run again'
        ) from error
    for number in numbers:
        if number in _PASSING:
            raise ExecutionError(
                f"{what}: could not be read here and now ({os.strerror(number)}), which is no "
                f"fault of the file; {_PASSING[number]}, and run again"
            ) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
