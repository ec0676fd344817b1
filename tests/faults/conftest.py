import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `import spoil`


@pytest.fixture
def root(study):
    """Three good runs; the tests spoil the second."""
    for subject in ("01", "02", "03"):
        study.run(subject)
    study.atlas()
    return study.root
