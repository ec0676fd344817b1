"""The simulated scan: motion, and BOLD as a sum of time courses times maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from entense.demo.anatomy import NETWORKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from entense.demo.anatomy import Anatomy

THERMAL = 80.0  # standard deviation of the scanner's noise, in the image's units


@dataclass(frozen=True)
class Subject:
    """What stays the same over a subject's runs.

    Attributes
    ----------
    intensity
        (X, Y, Z) float64: the mean image.
    loadings
        (networks, parcels) float64: how much of each network a parcel carries.
    """

    intensity: NDArray[np.float64]
    loadings: NDArray[np.float64]


def make_loadings(head: Anatomy, *, age: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Make a subject's connectome: networks that weaken with age, and a signature of their own."""
    member = np.array([[name == own for own in head.networks()] for name in NETWORKS], float)
    strength = 1.2 - 0.008 * age
    return strength * member + 0.15 * rng.standard_normal(member.shape)


def make_motion(frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Make (frames, 6) motion: x, y, z in mm and rotations in radians, with a few sudden moves."""
    steps = rng.standard_normal((frames, 6)) * 0.02
    sudden = rng.choice(frames, size=rng.poisson(frames / 60), replace=False)
    steps[sudden] += rng.standard_normal((len(sudden), 6)) * 0.15
    steps[0] = 0
    motion = np.cumsum(steps, axis=0)
    motion -= np.linspace(0, 0.7, frames)[:, None] * motion[-1]  # heads drift back
    motion[:, 3:] /= 50  # a degree of freedom moves the scalp, 50 mm away, as far as any other
    return motion


def simulate_bold(
    head: Anatomy,
    subject: Subject,
    motion: NDArray[np.float64],
    *,
    tr: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Simulate a run.

    Parameters
    ----------
    motion
        (frames, 6), as `make_motion` makes it: a fifth of what it does to the image remains,
        as after realignment.
    tr
        Seconds from frame to frame.

    Returns
    -------
    (X, Y, Z, frames) float32, about 10,000 in the brain and noise outside.
    """
    courses, maps = zip(
        _neural(head, subject, len(motion), tr, rng),
        _physiology(head, len(motion), tr, rng),
        _drift(head, len(motion), rng),
        _motion(head, subject, motion),
        strict=True,
    )
    course, weight = np.concatenate(courses, axis=1), np.concatenate(maps)
    change = np.tensordot(weight.astype(np.float32), course.astype(np.float32), (0, 1))
    noise = THERMAL * rng.standard_normal(change.shape, np.float32)
    # a magnitude image is never negative
    return np.abs(subject.intensity.astype(np.float32)[..., None] * (1 + change) + noise)


Effect = tuple["NDArray[np.float64]", "NDArray[np.float64]"]  # (frames, k) and (k, X, Y, Z)


def _slow(
    frames: int, count: int, tr: float, rng: np.random.Generator, high: float = 0.1
) -> NDArray[np.float64]:
    """Make (frames, count) noise from 0.01 Hz to `high`, of unit deviation."""
    frequencies = np.fft.rfftfreq(frames, tr)
    band = (frequencies > 0.01) & (frequencies < high)
    parts = rng.standard_normal((2, count, len(frequencies))) * band
    series = np.fft.irfft(parts[0] + 1j * parts[1], frames).T
    return np.asarray(series / series.std(axis=0), dtype=np.float64)


def _neural(
    head: Anatomy, subject: Subject, frames: int, tr: float, rng: np.random.Generator
) -> Effect:
    own = _slow(frames, head.count, tr, rng)
    course = _slow(frames, len(NETWORKS), tr, rng) @ subject.loadings + 0.6 * own
    cortex = head.parcels == np.arange(1, head.count + 1)[:, None, None, None]
    return 0.01 * course, cortex.astype(float)


def _physiology(head: Anatomy, frames: int, tr: float, rng: np.random.Generator) -> Effect:
    """Breath and pulse: the whole head a little, the ventricles most; aliased, so to any rate."""
    brain = head.grey | head.white | head.csf
    tissue = [brain, head.white, head.csf, head.csf * head.millimetres()[1] / 50]
    course = _slow(frames, 4, tr, rng, high=0.5 / tr) * [0.005, 0.003, 0.015, 0.01]
    return course, np.stack(tissue).astype(float)


def _drift(head: Anatomy, frames: int, rng: np.random.Generator) -> Effect:
    time = np.linspace(-1, 1, frames)
    course = np.stack([time, time**2 - 1 / 3], axis=1) * rng.normal(0, 0.01, 2)
    return course, np.stack([np.ones(head.radius.shape), head.millimetres()[1] / 100])


def _motion(head: Anatomy, subject: Subject, motion: NDArray[np.float64]) -> Effect:
    """First order in the movement, by the image's slope, and the darkening right after a jerk."""
    slopes = np.array(np.gradient(subject.intensity, head.affine[0, 0])) / 10_000
    turned = np.cross(head.millimetres(), slopes, axis=0)
    jerk = np.abs(np.diff(motion * [1, 1, 1, 50, 50, 50], axis=0, prepend=motion[:1])).sum(axis=1)
    course = np.column_stack([-0.2 * (motion - motion.mean(axis=0)), -0.01 * jerk])
    return course, np.concatenate([slopes, turned, np.ones((1, *head.radius.shape))])
