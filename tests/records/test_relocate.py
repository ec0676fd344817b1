import polars as pl
import pytest
from polars.testing import assert_frame_equal

from entense.errors import TableError
from entense.records import relocate
from entense.tensors.lazy import Lazy


def test_paths_move_and_nothing_else_does():
    df = pl.DataFrame(
        {
            "bold": ["/old/a.nii", "/older/a.nii", "/x/old/a.nii", "/old", None, "/old/old/b"],
            "sex": ["F", "M", "old", "", None, "/ol"],
            "age": [1, 2, 3, 4, 5, 6],
        }
    )
    moved = relocate(df, {"/old": "/new/place"})
    bold = [
        "/new/place/a.nii",
        "/older/a.nii",
        "/x/old/a.nii",
        "/new/place",
        None,
        "/new/place/old/b",
    ]
    assert_frame_equal(moved, df.with_columns(bold=pl.Series(bold)))
    lazy = relocate(df.lazy(), {"/old/": "/new/place/"})
    assert isinstance(lazy, pl.LazyFrame)
    assert_frame_equal(lazy.collect(), moved)


def test_the_longest_prefix_counts_and_each_path_moves_once():
    df = pl.DataFrame({"p": ["/a/x", "/b/x", "/a/c/x"]})
    moved = relocate(df, {"/a": "/b", "/b": "/a", "/a/c": "/d"})
    assert moved["p"].to_list() == ["/b/x", "/a/x", "/d/x"]
    assert relocate(df, {})["p"].to_list() == df["p"].to_list()


def test_urls_and_the_root_are_prefixes():
    df = pl.DataFrame({"p": ["s3://bucket/a", "/a"]})
    assert relocate(df, {"s3://bucket": "/data"})["p"].to_list() == ["/data/a", "/a"]
    assert relocate(df, {"/": "/data"})["p"].to_list() == ["s3://bucket/a", "/data/a"]


def test_inside_lists_and_structs():
    df = pl.DataFrame(
        {
            "runs": [["/old/1", "/x/2"], [], None],
            "hemis": [{"L": "/old/l", "R": "/x/r", "n": 1}, None, {"L": None, "R": "/old", "n": 2}],
            "many": [[{"p": "/old/1"}], None, []],
            "numbers": [[1], None, []],
        }
    )
    moved = relocate(df, {"/old": "/new"})
    assert moved.schema == df.schema
    assert moved["runs"].to_list() == [["/new/1", "/x/2"], [], None]
    assert moved["hemis"].to_list() == [
        {"L": "/new/l", "R": "/x/r", "n": 1},
        None,
        {"L": None, "R": "/new", "n": 2},
    ]
    assert moved["many"].to_list() == [[{"p": "/new/1"}], None, []]
    assert moved["numbers"].to_list() == df["numbers"].to_list()


@pytest.mark.parametrize("nested", [False, True])
def test_inside_the_cells_of_a_tensor(nested):
    storage = pl.Struct({"atlas": pl.String(), "bold": pl.String(), "tr": pl.Float64()})
    cells = [{"atlas": "/a.nii", "bold": "/old/b.nii", "tr": 2.0}, None]
    made = pl.Series("clean", cells, storage).to_frame()
    df = made.select(pl.col("clean").ext.to(Lazy(storage, "{}")))
    if nested:
        df = df.select(pl.col("clean").implode())
    moved = relocate(df, {"/old": "/new"})
    assert moved.schema == df.schema
    flat = moved.explode("clean") if nested else moved
    assert flat.select(pl.col("clean").ext.storage())["clean"].to_list() == [
        {"atlas": "/a.nii", "bold": "/new/b.nii", "tr": 2.0},
        None,
    ]


def test_a_relative_prefix_is_refused():
    with pytest.raises(TableError, match="'old' is not an absolute path"):
        relocate(pl.DataFrame({"p": ["old/a"]}), {"old": "new"})
