"""fMRIPrep's confounds table, computed from a run as fMRIPrep computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
HEAD = 50.0  # mm: Power's radius of the head
EXPANSIONS = ("", "_derivative1", "_power2", "_derivative1_power2")


def make_confounds(
    bold: NDArray[np.float32],
    motion: Array,
    masks: Mapping[str, NDArray[np.bool_]],
    *,
    tr: float,
) -> tuple[pl.DataFrame, dict[str, dict[str, object]]]:
    """Compute a confounds table and the metadata of its columns.

    Parameters
    ----------
    bold
        (X, Y, Z, frames).
    motion
        (frames, 6): mm, then radians.
    masks
        ``brain``, ``csf`` and ``white_matter``, each (X, Y, Z) bool.
    tr
        Seconds from frame to frame.

    Returns
    -------
    A row a frame, null where fMRIPrep writes ``n/a``; and what its JSON sidecar holds.
    """
    brain, csf, white = (bold[masks[m]].astype(float) for m in ("brain", "csf", "white_matter"))
    noisy = _noisiest(brain)
    both = np.concatenate([csf, white])
    means = {"global_signal": brain, "csf": csf, "white_matter": white}
    columns = {n: c for m, v in means.items() for n, c in expand(m, v.mean(axis=0)).items()}
    columns |= {"csf_wm": both.mean(axis=0), "tcompcor": noisy.mean(axis=0)}
    columns |= _dvars(brain) | displacement(motion)
    metadata: dict[str, dict[str, object]] = {
        name: {"Method": "Mean"} for name in (*means, "csf_wm", "tcompcor")
    }
    cosines = _cosines(bold.shape[-1], tr)
    for prefix, mask, voxels in _compcor_masks(noisy, csf, white, both):
        found, described = _compcor(prefix, mask, voxels, cosines, first=len(metadata))
        columns |= found
        metadata |= described
    columns |= {f"cosine{i:02d}": column for i, column in enumerate(cosines.T)}
    for name, series in zip(MOTION, motion.T, strict=True):
        columns |= expand(name, series)
    columns |= _outliers(columns["framewise_displacement"], columns["std_dvars"])
    return pl.DataFrame(columns).with_columns(pl.all().fill_nan(None)), metadata


def displacement(motion: Array) -> dict[str, Array]:
    """Compute Power's framewise displacement and Jenkinson's relative RMS, both (frames,) in mm.

    Examples
    --------
    >>> displacement(np.array([[0, 0, 0, 0, 0, 0], [0.1, 0, 0, 0.01, 0, 0]]))[
    ...     "framewise_displacement"
    ... ]
    array([nan, 0.6])
    """
    steps = np.diff(motion, axis=0)
    power = (abs(steps) * [1, 1, 1, HEAD, HEAD, HEAD]).sum(axis=1)
    turn = 2 * (steps[:, 3:] ** 2).sum(axis=1) * 80**2 / 5  # FSL's head is 80 mm wide
    rms = np.sqrt(turn + (steps[:, :3] ** 2).sum(axis=1))
    return {"framewise_displacement": _late(power), "rmsd": _late(rms)}


def _late(series: Array) -> Array:
    """Put the missing first frame of a difference back, as NaN."""
    return np.asarray(np.insert(series, 0, np.nan), dtype=np.float64)


def expand(name: str, series: Array) -> dict[str, Array]:
    """Name a series, its backward difference and the squares of both as fMRIPrep does.

    Examples
    --------
    >>> list(expand("csf", np.arange(3.0)))[1]
    'csf_derivative1'
    """
    change = _late(np.diff(series))
    return dict(
        zip([name + e for e in EXPANSIONS], (series, change, series**2, change**2), strict=True)
    )


def _dvars(brain: Array) -> dict[str, Array]:
    """As nipype: scaled to a median of 1000, and standardised by what white noise would give."""
    scaled = brain * (1000 / np.median(brain))
    quartiles = np.percentile(scaled, [25, 75], axis=1)
    deviation = (quartiles[1] - quartiles[0]) / 1.349
    centred = scaled - scaled.mean(axis=1, keepdims=True)
    ar1 = (centred[:, 1:] * centred[:, :-1]).sum(axis=1) / (centred**2).sum(axis=1)
    dvars = np.sqrt((np.diff(scaled, axis=1) ** 2).mean(axis=0))
    expected = (np.sqrt((1 - ar1) * 2) * deviation).mean()
    return {"std_dvars": _late(dvars / expected), "dvars": _late(dvars)}


def _noisiest(brain: Array) -> Array:
    """Take the 5% of voxels that vary most: tCompCor's mask."""
    spread = brain.std(axis=1)
    noisy: Array = brain[spread >= np.quantile(spread, 0.95)]
    return noisy


def _cosines(frames: int, tr: float) -> Array:
    """Make (frames, k) discrete cosines slower than 128 s."""
    order = int(2 * frames * tr / 128)
    angles = np.outer(np.arange(frames) + 0.5, np.arange(1, order + 1)) * np.pi / frames
    return np.asarray(np.sqrt(2 / frames) * np.cos(angles), dtype=np.float64)


def _compcor_masks(
    noisy: Array, csf: Array, white: Array, both: Array
) -> list[tuple[str, str | None, Array]]:
    return [("t", None, noisy), ("c", "CSF", csf), ("w", "WM", white), ("a", "combined", both)]


def _compcor(
    prefix: str, mask: str | None, voxels: Array, cosines: Array, *, first: int
) -> tuple[dict[str, Array], dict[str, dict[str, object]]]:
    """Keep the components that explain half of the variance; describe the dropped ones too."""
    basis = np.column_stack([np.full(len(cosines), len(cosines) ** -0.5), cosines])
    quiet = voxels.T - basis @ (basis.T @ voxels.T)  # the basis is orthonormal
    scaled = quiet / quiet.std(axis=0)
    power, parts = np.linalg.eigh(scaled @ scaled.T)  # far smaller than what svd would see
    power, parts = power[::-1].clip(0), parts[:, ::-1]
    parts = parts * np.sign(parts[abs(parts).argmax(axis=0), np.arange(len(power))])
    share = power / power.sum()
    kept = int(np.searchsorted(share.cumsum(), 0.5)) + 1
    method = {"Method": "tCompCor" if mask is None else "aCompCor"}
    described: dict[str, dict[str, object]] = {}
    for i, (size, part, total) in enumerate(
        zip(np.sqrt(power), share, share.cumsum(), strict=True)
    ):
        name = f"{prefix}_comp_cor_{i:02d}" if i < kept else f"dropped_{first + i}"
        described[name] = (
            method
            | ({} if mask is None else {"Mask": mask})
            | {
                "Retained": i < kept,
                "SingularValue": float(size),
                "VarianceExplained": float(part),
                "CumulativeVarianceExplained": float(total),
            }
        )
    return {f"{prefix}_comp_cor_{i:02d}": parts[:, i] for i in range(kept)}, described


def _outliers(moved: Array, changed: Array) -> dict[str, Array]:
    """Mark each frame with FD over 0.5 mm or standardised DVARS over 1.5 in a column of its own."""
    frames = np.flatnonzero((moved > 0.5) | (changed > 1.5))
    marks = (np.arange(len(moved)) == frames[:, None]).astype(float)
    return {f"motion_outlier{i:02d}": mark for i, mark in enumerate(marks)}
