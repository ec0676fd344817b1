"""The operations: pure functions, registered by name.

Importing this package registers the built-in ones and imports no JAX: it is loaded when a
program is built.
"""

from entense.ops import (
    connectome,
    denoise,
    despike,
    dtype,
    edges,
    filters,
    frames,
    gather,
    load,
    missing,
    regress,
    resample,
    spatial,
    standardize,
    summary,
    window,
)
from entense.ops.core import Kind, Op, Spec, op, ops

__all__ = [
    "Kind",
    "Op",
    "Spec",
    "connectome",
    "denoise",
    "despike",
    "dtype",
    "edges",
    "filters",
    "frames",
    "gather",
    "load",
    "missing",
    "op",
    "ops",
    "regress",
    "resample",
    "spatial",
    "standardize",
    "summary",
    "window",
]
