"""Tables of regressors under today's names, whoever wrote them."""

import math
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from entense.demo.confounds import displacement
from entense.errors import RecordError
from entense.records.tables.confounds import MOTION, read_confounds

LEGACY = {
    "CSF": "csf",
    "WhiteMatter": "white_matter",
    "GlobalSignal": "global_signal",
    "stdDVARS": "std_dvars",
    "non-stdDVARS": "dvars",
    "vx-wisestdDVARS": "vx_wise_std_dvars",
    "FramewiseDisplacement": "framewise_displacement",
    "tCompCor00": "t_comp_cor_00",
    "aCompCor00": "a_comp_cor_00",
    "aCompCor11": "a_comp_cor_11",
    "Cosine00": "cosine00",
    "NonSteadyStateOutlier00": "non_steady_state_outlier00",
    "AROMAAggrComp01": "aroma_motion_01",
    "X": "trans_x",
    "Y": "trans_y",
    "Z": "trans_z",
    "RotX": "rot_x",
    "RotY": "rot_y",
    "RotZ": "rot_z",
}


@pytest.fixture
def write(tmp_path):
    def make(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return make


def random(names, frames=12, seed=0):
    return pl.DataFrame(np.random.default_rng(seed).normal(size=(frames, len(names))), list(names))


def test_legacy_names_become_todays(tmp_path):
    table = random(LEGACY).with_columns(
        pl.when(pl.int_range(pl.len()) > 0).then("FramewiseDisplacement")
    )
    table.write_csv(tmp_path / "c.tsv", separator="\t", null_value="n/a")
    assert_frame_equal(read_confounds(tmp_path / "c.tsv"), table.rename(LEGACY), check_exact=True)


def test_other_tables_keep_their_names(tmp_path):
    table = random(["X", "CSF", "framewise_displacement", "my_Own"])
    table.write_csv(tmp_path / "c.tsv", separator="\t")
    assert read_confounds(tmp_path / "c.tsv").columns == table.columns


@pytest.mark.parametrize("kind", ["c.tsv", "c.csv", "c.parquet", "c.tsv.gz"])
def test_every_kind_of_file(tmp_path, kind):
    table = random(["a", "framewise_displacement"]).with_columns(
        b=pl.when(pl.col("a") > 0).then("a"), c=pl.lit(None, pl.Float64), d=pl.lit(math.nan)
    )
    path = tmp_path / kind
    if kind == "c.parquet":
        table.write_parquet(path)
    else:
        path.write_bytes(text_of(table, kind))
    assert_frame_equal(read_confounds(path), table.fill_nan(None), check_exact=True)


def text_of(table, kind):
    import gzip

    text = table.write_csv(separator="," if kind == "c.csv" else "\t", null_value="n/a").encode()
    return gzip.compress(text) if kind.endswith("gz") else text


@pytest.mark.parametrize("name", ["Movement_Regressors.txt", "Movement_Regressors_dt.txt"])
def test_hcp_movement(write, name):
    values = random([str(n) for n in range(12)]).to_numpy()
    text = "".join(" ".join(f"{v:12.6f}" for v in row) + " \n" for row in values)
    table = read_confounds(write(name, text))
    motion = [*MOTION, *(f"{one}_derivative1" for one in MOTION)]
    assert table.columns == [*motion, "framewise_displacement"]
    expected = values.round(6)
    expected[:, [3, 4, 5, 9, 10, 11]] = np.deg2rad(expected[:, [3, 4, 5, 9, 10, 11]])
    assert np.allclose(table.select(motion).to_numpy(), expected, rtol=1e-12, atol=0)
    power = displacement(expected[:, :6])["framewise_displacement"]
    assert table["framewise_displacement"][0] is None
    assert np.allclose(table["framewise_displacement"][1:], power[1:], rtol=1e-12)


def test_columns_without_names(write):
    table = read_confounds(write("rp_bold.txt", "  0.5  1e-3\n\t-2 3\r\n\n"))
    assert table.rows(named=True) == [
        {"column_1": 0.5, "column_2": 1e-3},
        {"column_1": -2.0, "column_2": 3.0},
    ]


@given(st.lists(st.lists(st.floats(-3, 3), min_size=6, max_size=6), min_size=1, max_size=9))
def test_displacement_is_powers(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("c") / "c.parquet"
    pl.DataFrame(rows, list(MOTION), orient="row").write_parquet(path)
    found = read_confounds(path)["framewise_displacement"].to_list()
    slow = [None]
    for before, after in pairwise(rows):
        steps = [abs(b - a) for a, b in zip(before, after, strict=True)]
        slow.append(sum(steps[:3]) + 50 * sum(steps[3:]))
    assert found == [v if v is None else pytest.approx(v, rel=1e-12, abs=1e-12) for v in slow]


def test_displacement_that_is_there_is_kept(tmp_path):
    random([*MOTION, "framewise_displacement"]).write_parquet(tmp_path / "c.parquet")
    table = read_confounds(tmp_path / "c.parquet")
    assert_frame_equal(table, random([*MOTION, "framewise_displacement"]))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("c.tsv", "", "is empty"),
        ("c.tsv", "a\tb\n", "the table has no rows, one a frame is due"),
        ("c.txt", "\n", "the table has no rows"),
        ("c.tsv", "a\tb\n1\t2\n3\n", "has 1 cells in row 2 and 2 in its header"),
        ("c.txt", "1 2\n3\n", "row 2 has 1 numbers, the first has 2; it may be cut short"),
        ("c.txt", "x y\n1 2\n", "cannot be read"),
        ("Movement_Regressors.txt", "1 2\n3 4\n", "have 12 columns, this has 2"),
        ("c.mat", "x", "a table is due: .tsv, .csv, .parquet or .txt"),
        ("c.parquet", "x", "cannot be read"),
    ],
)
def test_a_table_that_cannot_be_read(write, name, text, said):
    with pytest.raises(RecordError, match=f"{name}.*{said}"):
        read_confounds(write(name, text))


def test_a_missing_table_and_a_folder(tmp_path):
    with pytest.raises(RecordError, match=r"c\.tsv: there is no such file"):
        read_confounds(tmp_path / "c.tsv")
    (tmp_path / "f.tsv").mkdir()
    with pytest.raises(RecordError, match=r"f\.tsv is a folder: name a table in it"):
        read_confounds(tmp_path / "f.tsv")


def test_motion_that_is_text(write):
    text = "\t".join(MOTION) + "\n" + "\t".join("abcdef") + "\n"
    with pytest.raises(RecordError, match=r"c\.tsv: cannot be read"):
        read_confounds(write("c.tsv", text))
