from fake_slurm import cluster  # noqa: F401  a fixture
from npy_tables import computed, plan, records  # noqa: F401  fixtures
