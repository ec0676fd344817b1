"""Trying again, and saying in plain words why a store does not answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from entense.errors import EntenseError, RecordError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PAUSES = (0.1, 0.2, 0.3, 0.4, 0.5, 1.0, 1.0, 2.0, 2.0)
"""Seconds between one try and the next; after the last, the error is the record's.

Ten tries: of a server that drops a third of its requests, five would lose one file in 243.
"""

_LASTING = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
)

_CHANGES = ("written", "removed")


class SpoiltError(OSError):
    """What arrived is not what the store announced."""


def retrying(
    action: Callable[[], T],
    url: str,
    *,
    what: str = "fetched",
    error: type[EntenseError] = RecordError,
) -> T:
    """Return what `action` gives; what may pass (time-outs, 5xx, a cut connection) is tried again.

    Raises
    ------
    EntenseError
        `error`, naming the URL, the reason and the remedy. An EntenseError of `action` is its own.

    Examples
    --------
    >>> retrying(lambda: 1, "s3://bucket/a.nii")
    1
    """
    pauses = iter(PAUSES)
    while True:
        try:
            return action()
        except EntenseError:
            raise
        except Exception as caught:
            cause = _cause(caught)
            pause = next(pauses, None) if _may_pass(cause) else None
            if pause is None:
                message = f"{url}: cannot be {what} ({_reason(cause)}); {_remedy(cause, what)}"
                raise error(message) from caught
            time.sleep(pause)


def _cause(error: Exception) -> Exception:
    """Return the network's error where fsspec made it into "not found"."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and isinstance(cause, Exception):
        lost = isinstance(cause, TimeoutError | ConnectionError)
        return cause if lost or _library(cause) == "aiohttp" else error
    return error


def _may_pass(error: Exception) -> bool:
    if (status := _status(error)) is not None:
        return status >= 500 or status in (408, 429)
    if isinstance(error, _LASTING):
        return False
    return isinstance(error, OSError | EOFError) or _is_foreign(error)


def _is_foreign(error: Exception) -> bool:
    """Whether a library has its own error; a ValueError or a TypeError is a mistake that stays."""
    return _library(error) != "builtins" and not isinstance(error, ValueError | ImportError)


def _library(error: Exception) -> str:
    return type(error).__module__.partition(".")[0]


def _status(error: Exception) -> int | None:
    """Return the status of an HTTP reply, as aiohttp or gcsfs call it."""
    found = error.status if hasattr(error, "status") else getattr(error, "code", None)
    return found if isinstance(found, int) and found >= 400 else None


def _reason(error: Exception) -> str:
    if (status := _status(error)) is not None:
        return f"HTTP {status} {getattr(error, 'message', '')}".strip()
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, TimeoutError):
        return "the server does not answer in time"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _remedy(error: Exception, what: str) -> str:
    status = _status(error)
    if isinstance(error, PermissionError) or status in (401, 403):
        return "give the credentials with et.register_storage, or ask for access"
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return "check the URL (was it moved? see et.relocate)"
    if isinstance(error, SpoiltError) and what not in _CHANGES:
        return "the server's copy is damaged, or changed meanwhile: run again, or ask who keeps it"
    if isinstance(error, ImportError):
        return "install what reads it: pip install 'entense[http,s3,gcs]', or its own package"
    if isinstance(error, ValueError | TypeError):
        return "check the URL and the options given with et.register_storage"
    if what in _CHANGES:
        again = "write again when the network is well: the shards that are finished are kept"
    else:
        again = "run again when the network is well, or copy it to this machine"
    return again
