import polars as pl
import pytest
from polars.testing import assert_frame_equal

from entense.errors import TableError
from entense.records import drop_incomplete

RECORDS = pl.DataFrame(
    {
        "subject": ["01", "02", "03", None],
        "bold": ["/1", "/2", "/3", "/4"],
        "bold_sidecar": [None, "/2.json", None, None],
        "mask": ["/1m", None, "/3m", "/4m"],
        "mask_sidecar": pl.Series([None] * 4, dtype=pl.String),
        "confounds": [None, "/2c", "/3c", "/4c"],
        "confounds_sidecar": pl.Series([None] * 4, dtype=pl.String),
    }
)


@pytest.mark.parametrize(
    ("roles", "kept"), [((), [2, 3]), (("mask",), [0, 2, 3]), (("mask", "confounds"), [2, 3])]
)
def test_records_that_lack_a_role_go(roles, kept):
    assert_frame_equal(drop_incomplete(RECORDS, *roles), RECORDS[kept])
    lazy = drop_incomplete(RECORDS.lazy(), *roles)
    assert isinstance(lazy, pl.LazyFrame)
    assert_frame_equal(lazy.collect(), RECORDS[kept])


def test_an_unknown_role():
    with pytest.raises(TableError, match="there is no role 'masc'; did you mean 'mask'"):
        drop_incomplete(RECORDS, "masc")
    with pytest.raises(TableError, match="there are: bold, mask, confounds"):
        drop_incomplete(RECORDS, "subject")


def test_a_table_without_roles():
    with pytest.raises(TableError, match="needs a table of records, as stage makes it"):
        drop_incomplete(RECORDS.select("subject", "bold"))
