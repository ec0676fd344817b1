"""The operations: pure functions, registered by name.

Importing this package registers the built-in ones and imports no JAX: it is loaded when a
program is built.
"""

from entense.ops import (
    connectome,
    dtype,
    gather,
    load,
    parcels,
    regions,
    resample,
    smooth,
    space,
    temporal,
    window,
)
from entense.ops.core import Kind, Op, Spec, op, ops

__all__ = [
    "Kind",
    "Op",
    "Spec",
    "connectome",
    "dtype",
    "gather",
    "load",
    "op",
    "ops",
    "parcels",
    "regions",
    "resample",
    "smooth",
    "space",
    "temporal",
    "window",
]
