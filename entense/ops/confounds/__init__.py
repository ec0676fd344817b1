"""Confounds: which columns of a run's table a model takes, and which frames it keeps."""

from entense.ops.confounds.censoring import Censoring, check_censoring, kept, merged
from entense.ops.confounds.design import design
from entense.ops.confounds.models import censoring_of, formula_of, regressors
from entense.ops.confounds.strategies import STRATEGIES
from entense.ops.confounds.table import Regressors

__all__ = [
    "STRATEGIES",
    "Censoring",
    "Regressors",
    "censoring_of",
    "check_censoring",
    "design",
    "formula_of",
    "kept",
    "merged",
    "regressors",
]
