"""The operations: pure functions, registered by name.

Importing this package registers the built-in ones and imports no JAX: it is loaded when a
program is built.
"""

from entense.ops import (  # noqa: F401  importing them registers them
    connectome,
    denoise,
    despike,
    dtype,
    edges,
    filters,
    frames,
    gather,
    grid,
    load,
    medians,
    missing,
    parcels,
    regions,
    regress,
    resample,
    resample_tr,
    smooth,
    space,
    standardize,
    summary,
    window,
)
from entense.ops.core import Kind, Op, Spec, op, ops

__all__ = ["Kind", "Op", "Spec", "op", "ops"]
