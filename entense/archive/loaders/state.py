"""Where a loader is within an epoch, as JSON can hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entense.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Mapping


def state_of(loader: Mapping[str, Any], epoch: int, batch: int) -> dict[str, Any]:
    """Return the state of a loader, which is described by what decides its batches.

    Examples
    --------
    >>> state_of({"seed": 0}, epoch=2, batch=5)
    {'epoch': 2, 'batch': 5, 'of': {'seed': 0}}
    """
    return {"epoch": epoch, "batch": batch, "of": dict(loader)}


def position(state: Mapping[str, Any], loader: Mapping[str, Any], batches: int) -> tuple[int, int]:
    """Return epoch and batch of a state; an ArchiveError where it is not of such a loader.

    Examples
    --------
    >>> position({"epoch": 2, "batch": 5, "of": {"seed": 0}}, {"seed": 0}, batches=9)
    (2, 5)
    """
    try:
        epoch, batch, of = state["epoch"], state["batch"], dict(state["of"])
        right = type(epoch) is type(batch) is int and epoch >= 0
    except (LookupError, TypeError, ValueError):
        right = False
    if not right:
        raise ArchiveError("the state is none of a loader; give what state_dict() returned")
    for name, due in loader.items():
        if (has := of.get(name)) != due:
            raise ArchiveError(
                f"the state is of a loader with {name}={has!r}, and this one has {name}={due!r}; "
                "make the loader as it was, or begin anew"
            )
    if not 0 <= batch < max(batches, 1):
        raise ArchiveError(f"the state is at batch {batch} of {batches}, which is not there")
    return epoch, batch
