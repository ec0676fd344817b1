"""What fetches a URL: fsspec's protocols, and those that users register."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from entense.errors import EntenseError, RecordError
from entense.index.fetch.remote import Remote
from entense.index.fetch.retry import retrying
from entense.index.fetch.storage import ALLOWED
from entense.index.fetch.urls import protocols
from entense.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from entense.index.fetch.remote import Version


class Fetch(Protocol):
    """What makes a local file of a URL."""

    def hold(self, url: str) -> AbstractContextManager[Path]:
        """Give a local file that stays while the context is open."""

    def version(self, url: str) -> Version:
        """Return the file's size, and a token that changes when its content does."""

    def head(self, url: str, size: int) -> bytes:
        """Return the file's first bytes."""


@dataclass(frozen=True)
class Own:
    """A user's function from a URL to a local file."""

    function: Callable[[str], str | Path]

    @contextmanager
    def hold(self, url: str) -> Iterator[Path]:
        """Give what the function returns."""
        yield self._place(url)

    def version(self, url: str) -> Version:
        """Return size and time of change of what the function returns."""
        stat = self._place(url).stat()
        return stat.st_size, stat.st_mtime_ns

    def head(self, url: str, size: int) -> bytes:
        """Read what the function returns."""
        with self._place(url).open("rb") as file:
            return file.read(size)

    def _place(self, url: str) -> Path:
        place = Path(retrying(lambda: self.function(url), url))
        if not place.is_file():
            raise RecordError(
                f"{url}: cannot be fetched (its function gave {place}, which is no file); mend "
                "the function that was given to et.register_fetch"
            )
        return place


fetches: Registry[Fetch] = Registry("fetch")
"""What fetches the URLs of each protocol."""

for _protocol in ALLOWED:
    fetches.add(_protocol, Remote())
for _protocol in ("file", "local"):
    fetches.replace(_protocol, Own(lambda url: url.partition("://")[2]))


def register_fetch(protocol: str, function: Callable[[str], str | Path]) -> None:
    """Say how the URLs of a protocol become local files: a store of one's own, a decryption.

    Parameters
    ----------
    protocol
        What such a URL begins with: ``lab`` for ``lab://sub-01/bold.nii.gz``.
    function
        From a URL to the path of a local file, whose name ends as the file's kind has it
        (``.nii.gz``). It is called in several threads, and each time that the file is opened: let
        it keep what it fetched. What it raises is the error of the record, after ten tries where
        it is an `OSError` that may pass.

    Raises
    ------
    EntenseError
        The protocol has a fetch already, or is no name of one.

    Examples
    --------
    >>> register_fetch("lab", lambda url: url.replace("lab://", "/mnt/lab/"))
    """
    if protocols(f"{protocol}://")[0] != protocol or not protocol:
        raise EntenseError(f"{protocol!r} is no protocol: give what is before the ://")
    fetches.add(protocol, Own(function))


def fetch_of(url: str) -> Fetch:
    """Return what fetches a URL.

    Raises
    ------
    RecordError
        A part of the URL is of a protocol that nothing fetches.

    Examples
    --------
    >>> fetch_of("pipe:cat /etc/passwd")
    Traceback (most recent call last):
    ...
    entense.errors.RecordError: pipe:cat /etc/passwd: nothing here fetches 'pipe' URLs; if you \
trust it, say how with et.register_fetch('pipe', function)
    """
    kinds = protocols(url)
    for kind in kinds:
        if kind not in fetches:
            raise RecordError(
                f"{url}: nothing here fetches {kind!r} URLs; if you trust it, say how with "
                f"et.register_fetch({kind!r}, function)"
            )
        if len(kinds) > 1 and kind not in ALLOWED:
            raise RecordError(
                f"{url}: {kind!r} URLs, which a registered function fetches, cannot be part of a "
                "chain; let the function do all of it"
            )
    if "://" not in url:
        raise RecordError(f"{url}: a URL has ://; give it as a string, a Path changes it")
    return fetches[kinds[0]]
