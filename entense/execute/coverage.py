"""How much of each parcel, or of the mask, a record has data for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from entense.execute.decode import Decoded, parcel_weights
from entense.ops.core import Kind
from entense.ops.spatial import codes_of
from entense.plan.optimize import DECODED, kind, nodes
from entense.plan.shapes import spec_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

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
    x, labels, *_ = pool.inputs if pool.op == "parcels" else pool.inputs[1].inputs
    atlas, mask = known[labels], spec_of(known[x]).mask
    weights = parcel_weights(codes_of(atlas, mask))
    # of columns that were mixed after they were decoded nothing is known
    seen = [decoded[node] for node in files if decoded[node].constant.size == mask.size]
    nothing = np.zeros(mask.size, bool)
    bad = np.logical_or.reduce([nothing, *(item.nonfinite for item in seen)])
    still = np.logical_or.reduce([nothing, *(item.constant for item in seen)])
    some = weights @ (~(bad | still)).astype(np.float64)
    absent = int((weights @ (~bad).astype(np.float64) <= 0).sum())
    extent = atlas.extent
    return np.divide(some, extent, out=np.zeros_like(some), where=extent > 0), absent
