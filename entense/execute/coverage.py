"""How much of each parcel, or of the mask, a record has data for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from entense.execute.decode import Decoded, parcel_weights
from entense.ops.core import Kind
from entense.ops.parcels import codes_of
from entense.plan.optimize import DECODED, kind, nodes, source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from entense.ops.load import Opened
    from entense.tensors.graph import Node


def coverage(
    root: Node, known: Mapping[Node, Any], decoded: Mapping[Node, Decoded]
) -> dict[str, Any]:
    """Return the coverage of a tensor, and how many of its parcels are absent.

    A column has data where it is finite throughout and changes.

    Parameters
    ----------
    root
        The tensor, as the program has it.
    known
        What is known of the recipe's nodes.
    decoded
        What was kept of its files.

    Returns
    -------
    ``coverage``: of each parcel, between 0 and 1, the share of its columns in the whole atlas that
    have data, or one number, that of the mask's columns, where there are no parcels. ``absent``:
    how many parcels have no finite column. Of several files the worst counts.
    """
    found = [node for node in nodes((root,)) if node.op in DECODED]
    pools = [node for node in nodes((root,)) if node.op == "parcels" or kind(node) is Kind.POOL]
    if not pools:
        shares = [_share(decoded[node]) for node in found]
        return {"coverage": [round(min(shares), 4)]} if shares else {}
    parts = [_of_parcels(pool, known, decoded) for pool in pools]
    parts = [part for part in parts if part[0].size == parts[0][0].size]
    shares = np.min([share for share, _ in parts], axis=0)
    return {
        "coverage": np.round(shares, 4).tolist(),
        "absent": max(absent for _, absent in parts),
    }


def _share(item: Decoded) -> float:
    lacking = item.constant | item.nonfinite
    return float(1 - lacking.mean()) if lacking.size else 1.0


def _of_parcels(
    pool: Node, known: Mapping[Node, Any], decoded: Mapping[Node, Decoded]
) -> tuple[NDArray[np.float64], int]:
    files = [node for node in nodes((pool,)) if node.op in DECODED]
    opened: Opened = known[source(files[0])]
    atlas = known[pool.inputs[1] if pool.op == "parcels" else pool.inputs[1].inputs[0]]
    weights = parcel_weights(codes_of(atlas, opened.mask))  # type: ignore[arg-type]
    bad = np.logical_or.reduce([decoded[node].nonfinite for node in files])
    still = np.logical_or.reduce([decoded[node].constant for node in files])
    some = weights @ (~(bad | still)).astype(np.float64)
    absent = int((weights @ (~bad).astype(np.float64) <= 0).sum())
    extent = atlas.extent
    return np.divide(some, extent, out=np.zeros_like(some), where=extent > 0), absent
