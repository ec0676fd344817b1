"""What a record has data for: of its columns, of the mask, of each parcel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from entense.execute.decode import parcel_weights
from entense.ops.core import Kind
from entense.ops.parcels import codes_of, weighted
from entense.plan.host import make
from entense.plan.optimize import HOSTED, kind, nodes
from entense.plan.shapes import spec_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from entense.execute.decode import Decoded
    from entense.ops.linear import Neighbours
    from entense.tensors.graph import Node


_OF_PARCELS = ("parcels", "parcel_median")


class _Seen(NamedTuple):
    """Which columns, (column,) bool, never change, and which hold a NaN or an infinity."""

    constant: NDArray[np.bool_]
    nonfinite: NDArray[np.bool_]

    @property
    def share(self) -> float:
        """How many of the columns have data."""
        lacking = self.constant | self.nonfinite
        return float(1 - lacking.mean()) if lacking.size else 1.0

    def mixed(self, neighbours: Neighbours) -> _Seen:
        """Return which of the new columns are so."""
        index, weights = neighbours
        constant = (self.constant[index] | (weights == 0)).all(axis=1)
        return _Seen(constant, self.nonfinite[index].any(axis=1))


def counts_of(
    root: Node, known: Mapping[Node, Any], decoded: Mapping[Node, Decoded]
) -> dict[str, Any]:
    """Return what is counted of a tensor, the same whichever rules made its program.

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
    ``constant`` and ``nonfinite``: how many columns of its files are so, once they are masked and
    resampled. ``coverage``: of each parcel, between 0 and 1, the share of its columns in the whole
    atlas that have data, or one number, that of the mask's columns, where there are no parcels.
    ``absent``: how many parcels have no finite column. Of several files the worst counts.
    """
    files = _seen(root, known, decoded).values()
    counts: dict[str, Any] = {
        "constant": sum(int(file.constant.sum()) for file in files),
        "nonfinite": sum(int(file.nonfinite.sum()) for file in files),
    }
    pools = [node for node in nodes((root,)) if node.op in _OF_PARCELS or kind(node) is Kind.POOL]
    if not pools:
        return counts | ({"coverage": [round(min(f.share for f in files), 4)]} if files else {})
    parts = [_of_parcels(pool, known, decoded) for pool in pools]
    parts = [part for part in parts if part[0].size == parts[0][0].size]
    shares = np.min([share for share, _ in parts], axis=0)
    absent = max(absent for _, absent in parts)
    return counts | {"coverage": np.round(shares, 4).tolist(), "absent": absent}


def _of_parcels(
    pool: Node, known: Mapping[Node, Any], decoded: Mapping[Node, Decoded]
) -> tuple[NDArray[np.float64], int]:
    x, labels, *weights = _recipe_of(pool)
    atlas = weighted(known[labels], *(known[one] for one in weights))
    columns = parcel_weights(codes_of(atlas, spec_of(known[x]).mask))
    files = _seen(pool if pool in decoded else pool.inputs[0], known, decoded).values()
    still, bad = np.logical_or.reduce([(file.constant, file.nonfinite) for file in files])
    some = columns @ (~(bad | still)).astype(np.float64)
    absent = int((columns @ (~bad).astype(np.float64) <= 0).sum())
    extent = atlas.extent
    return np.divide(some, extent, out=np.zeros_like(some), where=extent > 0), absent


def _recipe_of(pool: Node) -> tuple[Node, ...]:
    """Return the recipe's nodes that parcels are made of: the columns, the atlas, its weights."""
    if pool.op == "parcels":
        return pool.inputs
    (made,) = pool.inputs[1:]
    return made.inputs[0].inputs if made.op == "made" else made.inputs


def _seen(
    node: Node, known: Mapping[Node, Any], decoded: Mapping[Node, Decoded]
) -> dict[tuple[Node, ...], _Seen]:
    """Return what the decoder saw of the columns that a node has: each file, and what mixed it."""
    if node in decoded:
        return {(node,): _Seen(decoded[node].constant, decoded[node].nonfinite)}
    seen: dict[tuple[Node, ...], _Seen] = {}
    # in what is hosted are the recipe's nodes, of which no columns are taken
    for item in () if node.op in HOSTED else node.inputs:
        seen |= _seen(item, known, decoded)
    if node.op != "mix":
        return seen
    neighbours: Neighbours = make(node.inputs[1], dict(known))
    return {(*key, node): file.mixed(neighbours) for key, file in seen.items()}
