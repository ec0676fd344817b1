"""Confounds: which columns of a run's table a model takes, and which frames it keeps."""

from entense.ops.confounds.censoring import Censoring, censoring_of, kept
from entense.ops.confounds.models import MODELS, check, regressors
from entense.ops.confounds.table import Regressors

__all__ = ["MODELS", "Censoring", "Regressors", "censoring_of", "check", "kept", "regressors"]
