"""A simulated dataset (`make_dataset`); `entense.demo.job` runs the main job on it or on yours."""

from entense.demo.dataset import make_dataset

__all__ = ["make_dataset"]
