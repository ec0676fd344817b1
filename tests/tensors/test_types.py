"""What the type of a lazy column refuses, and what it does with a file that lies."""

import polars as pl
import pytest

import entense as et
from entense.tensors.lazy import NAME, Lazy

TABLE = pl.DataFrame({"bold": ["/none/1.nii"] * 2, "mask": ["/none/m.nii"] * 2, "age": [30, 20]})
VOLUME = et.volume("bold", mask="mask")
LAZY = TABLE.entense.transform(clean=VOLUME.zscore())
OTHER = TABLE.entense.transform(clean=VOLUME.detrend())


@pytest.mark.parametrize("how", ["vertical", "diagonal", "vertical_relaxed", "diagonal_relaxed"])
@pytest.mark.parametrize("kind", [lambda f: f, lambda f: f.lazy()], ids=["DataFrame", "LazyFrame"])
def test_two_recipes_do_not_concatenate(how, kind):
    with pytest.raises(pl.exceptions.PolarsError, match=r"entense\.tensor|→"):
        pl.concat([kind(LAZY), kind(OTHER)], how=how).lazy().collect()


@pytest.mark.parametrize(
    "mix",
    [
        lambda f: f.with_columns(pl.col("clean").cast(pl.String)),
        lambda f: f.with_columns(pl.coalesce("clean", OTHER["clean"])),
        lambda f: f.with_columns(
            pl.when(pl.col("age") > 25).then("clean").otherwise(OTHER["clean"])
        ),
        lambda f: f.vstack(OTHER),
    ],
    ids=["cast", "coalesce", "when", "vstack"],
)
def test_what_would_drop_the_recipe_is_refused(mix):
    with pytest.raises(pl.exceptions.PolarsError):
        mix(LAZY)


BAD = ["", "{", "null", '{"nodes":[],"version":1}', "[" * 10_000, "é\x00"]


@pytest.mark.parametrize("metadata", BAD, ids=[text[:5] for text in BAD])
@pytest.mark.parametrize("inner", [pl.Struct({"a": pl.Int64}), pl.Int64, pl.List(pl.String)])
def test_a_bad_file_is_an_error_and_never_a_panic(metadata, inner, tmp_path):
    value = {"a": 1} if isinstance(inner, pl.Struct) else [] if isinstance(inner, pl.List) else 1
    series = pl.Series("clean", [value], inner)
    bad = series.ext.to(pl.Extension(NAME, series.dtype, metadata)).to_frame()
    bad.write_parquet(tmp_path / "bad.parquet")
    frame = pl.read_parquet(tmp_path / "bad.parquet")
    assert isinstance(frame.schema["clean"], Lazy)
    assert "unreadable recipe" in str(frame)
    assert pl.scan_parquet(tmp_path / "bad.parquet").filter(True).collect().equals(frame)
    with pytest.raises(et.RecipeError):
        frame.entense.explain()
