"""Where the columns of a tensor lie: voxels of a grid, vertices of surfaces, grayordinates."""

from __future__ import annotations

from entense.geometry.grayordinates import Grayordinates, Sides
from entense.geometry.grid import Grid, Mask, grid_of, storage_index, whole
from entense.geometry.labels import Atlas, Columns, Labels, Maps, SurfaceLabels

__all__ = [
    "Atlas",
    "Columns",
    "Grayordinates",
    "Grid",
    "Labels",
    "Maps",
    "Mask",
    "Sides",
    "SurfaceLabels",
    "grid_of",
    "storage_index",
    "whole",
]
