"""One table of operations and their oracles, which `test_oracles` runs: a row a case.

An oracle takes float64 (time, column), the columns that are finite and change, and returns what
the op should give. To add a case, add a row.
"""

from collections.abc import Callable
from typing import NamedTuple

import ml_dtypes
import numpy as np
from nilearn.connectome import ConnectivityMeasure, sym_matrix_to_vec
from nilearn.signal import butterworth, standardize_signal
from scipy.signal import detrend
from scipy.stats import median_abs_deviation
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from sklearn.preprocessing import RobustScaler

TR = 1.5  # seconds, of all data here


class Row(NamedTuple):
    """A case.

    `data` is ``"voxels"``, which are treated each by itself; ``"gaps"``, the same where the oracle
    is given the columns with NaN and without change too; ``"parcels"``, a few columns of which the
    op makes a matrix; or ``"edges"``, a matrix that `correlation` made of them, and the oracle is
    still given the series. `still` is what becomes of a constant column, None where the oracle
    says so for ``"gaps"`` or no one number does. `frames` is how many the op needs.
    """

    op: str
    oracle: Callable
    params: dict = {}  # noqa: RUF012  no one changes it
    data: str = "voxels"
    still: float | None = 0.0
    frames: int = 2


def connectome(kind, estimator):
    return lambda x: ConnectivityMeasure(estimator, kind=kind).fit_transform([x])[0]


def fisher(x):
    r = np.corrcoef(x.T)
    return np.arctanh(np.where(np.eye(len(r)), 0, r))


def lower(diagonal):
    keep = 0 if diagonal else -1
    return lambda x: np.corrcoef(x.T)[np.tril_indices(x.shape[1], keep)]


def percent(x):
    return standardize_signal(x, detrend=False, standardize="psc")


def mad(x):
    return (x - np.median(x, axis=0)) / median_abs_deviation(x, axis=0, scale="normal")


def filled(x):
    mean = np.nanmean(np.where(np.isfinite(x), x, np.nan), axis=0)
    return np.where(np.isfinite(x), x, mean)


def rounded(dtype):
    return lambda x: x.astype("f4").astype(dtype)  # a tie is one of float32


def steps(scale, most):
    def oracle(x):
        near = np.clip(np.rint(np.nan_to_num(x.astype("f4")) / scale), -most, most)
        return np.where(np.isnan(x), -most - 1, near)

    return oracle


def filtered(**cutoffs):
    return lambda x: butterworth(x, 1 / TR, **cutoffs)


EMPIRICAL, SHRUNK = EmpiricalCovariance(), LedoitWolf()
LOW, BAND = {"low_pass": 0.2}, {"high_pass": 0.02, "low_pass": 0.2}

TABLE = [
    # temporal
    Row("detrend", lambda x: detrend(x, axis=0)),
    Row("bandpass", filtered(**LOW), LOW, still=None),
    Row("bandpass", filtered(**BAND), BAND, frames=40),
    # standardize
    Row("zscore", lambda x: standardize_signal(x, standardize="zscore_sample")),
    Row("psc", percent),
    Row("robust_scale", mad),
    Row("robust_scale", lambda x: RobustScaler().fit_transform(x), {"spread": "iqr"}),
    Row("tsnr", lambda x: x.mean(axis=0) / x.std(axis=0, ddof=1)),
    # connectome
    Row("covariance", lambda x: np.cov(x.T, ddof=0), data="parcels"),
    Row("covariance", connectome("covariance", EMPIRICAL), data="parcels"),
    Row("covariance", lambda x: SHRUNK.fit(x).covariance_, {"estimator": "ledoit_wolf"}, "parcels"),
    Row("correlation", lambda x: np.corrcoef(x.T), data="parcels"),
    Row("correlation", fisher, {"fisher_z": True}, "parcels"),
    Row("correlation", connectome("correlation", SHRUNK), {"estimator": "ledoit_wolf"}, "parcels"),
    Row("partial_correlation", connectome("partial correlation", SHRUNK), data="parcels"),
    Row(
        *("partial_correlation", connectome("partial correlation", EMPIRICAL)),
        *({"estimator": "empirical"}, "parcels"),
    ),
    # edges
    Row("fisher_z", fisher, data="edges"),
    Row("vectorise", lambda x: sym_matrix_to_vec(np.corrcoef(x.T), True), data="edges"),
    Row("vectorise", lower(True), {"diagonal": True}, "edges"),
    # missing
    Row("fill_nan", lambda x: np.nan_to_num(x, nan=7.0), {"value": 7.0}, "gaps", still=None),
    Row("fill_nan", filled, {"value": "mean"}, "gaps", still=None),
    Row("missing", lambda x: ~np.isfinite(x), data="gaps"),
    # dtype
    Row("astype", rounded("f4"), {"dtype": "float32"}, "gaps", still=None),
    Row("astype", rounded("f2"), {"dtype": "float16"}, "gaps", still=None),
    Row("astype", rounded(ml_dtypes.bfloat16), {"dtype": "bfloat16"}, "gaps", None),
    Row("astype", steps(0.5, 32767), {"dtype": "int16", "scale": 0.5}, "gaps", None),
    Row("astype", steps(100.0, 127), {"dtype": "int8", "scale": 100.0}, "gaps", None),
]

ELSEWHERE = {
    "denoise": "needs a table of confounds: temporal/test_denoise and oracle/test_real_voxels",
    "regress": "needs a table of confounds: temporal/test_regress",
    "drop_dummies": "leaves frames out: temporal/test_frames",
    "censor": "needs a table of confounds: temporal/test_frames",
    "interpolate": "needs a table of confounds: temporal/test_frames",
    "resample_tr": "makes other frames: temporal/test_resample",
    "despike": "leaves a constant as it is: temporal/test_despike",
    "mean_fd": "needs a table of confounds: temporal/test_summary",
    "kept_frames": "looks at no voxel: temporal/test_summary",
    "window": "needs a start: test_window",
    "parcellate": "needs an atlas: test_space and oracle/test_real_voxels",
    "parcel_median": "needs an atlas: test_parcels",
    "mask": "needs a mask: test_space_moves and oracle/test_resampling",
    "crop": "needs a grid: oracle/test_resampling",
    "pad": "needs a grid: oracle/test_resampling",
    "downsample": "needs a grid: oracle/test_resampling",
    "resample": "needs a grid: oracle/test_resampling",
    "smooth": "needs a grid: test_smooth and oracle/test_resampling",
    "grid": "needs a grid: oracle/test_resampling",
    "concat": "takes a list: test_gather",
    "stack": "takes a list: test_gather",
    "mean": "takes a list: test_gather",
}
"""Operations that are not in the table, and where they are held to what they should be."""
