from collections.abc import Callable
from pathlib import Path

import pytest

Grow = Callable[..., Path]


@pytest.fixture
def grow(tmp_path: Path) -> Grow:
    """Touch the files named, below a folder, and return the folder."""

    def make(*names: str, root: str = "ds") -> Path:
        folder = tmp_path / root
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return folder

    return make
