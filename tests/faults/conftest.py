import pytest
from serving import kept, site  # noqa: F401  fixtures


@pytest.fixture
def root(study):
    """Three good runs; the tests spoil the second."""
    for subject in ("01", "02", "03"):
        study.run(subject)
    study.atlas()
    return study.root
