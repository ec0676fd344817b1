import polars as pl
import pytest

from entense.index import FILE_SCHEMA
from entense.index.layouts.fmriprep import FMRIPREP
from entense.index.parse import parse


@pytest.fixture
def files():
    """Make the file table of a dataset from paths below its folder, without the folder."""

    def make(*names: str, dataset: str = "ds", root: str = "/data") -> pl.DataFrame:
        paths = pl.Series("path", [f"/{name}" for name in names], pl.String)
        made = parse(paths, FMRIPREP).with_columns(
            root=pl.lit(root), path=root + paths, dataset=pl.lit(dataset)
        )
        return made.select(*FILE_SCHEMA)

    return make
