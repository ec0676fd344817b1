import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "archive"))

from npy_tables import plan, records  # noqa: F401  fixtures
