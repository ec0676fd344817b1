"""A lazy column goes through every Polars method, and none of them computes it.

The paths in these tables do not exist: whatever opened one would fail.
"""

import io
import pickle
import subprocess
import sys

import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

import entense as et
from entense.plan.survey import survey
from entense.tensors.lazy import storage, tensor_columns

pytestmark = pytest.mark.usefixtures("no_executor")

SUBJECTS = ["1", "2", "3", "4"]
TABLE = pl.DataFrame(
    {
        "subject": SUBJECTS,
        "age": [30, 20, 50, 40],
        "task": ["rest", "nback", "rest", "nback"],
        "bold": [f"/none/{s}.nii.gz" for s in SUBJECTS],
        "mask": [f"/none/{s}_mask.nii.gz" for s in SUBJECTS],
        "confounds": [f"/none/{s}.tsv" for s in SUBJECTS],
        "bold_tr": [2.0, 2.0, None, 1.5],
    }
)
CLEAN = et.volume("bold", mask="mask").denoise("confounds", "36P", low_pass=0.08).zscore()
LAZY = TABLE.entense.transform(clean=CLEAN)
OTHER = TABLE.entense.transform(clean=et.volume("bold", mask="mask").detrend())

# the same of lists of runs that are gathered, and of windows of trials
OWN = et.volume("bold", mask="mask").bandpass(high_pass=pl.col("hp"))
SIDECARS = {f"{role}_sidecar": pl.lit(None) for role in ("bold", "mask", "confounds")}
RUNS = pl.concat(
    TABLE.with_columns(
        pl.col("bold").str.replace("/none/", f"/none/{run}/"),
        **SIDECARS,
        run=pl.lit(run),
        hp=pl.lit(int(run) / 100),
    )
    for run in ("1", "2")
).sort("subject", "run")
LISTS = RUNS.entense.pivot("subject").entense.transform(clean=OWN.zscore().concat())
TRIALS = RUNS.filter(run="1").with_columns(onset=pl.lit([2.0, 8.5])).explode("onset")
TRIALS = TRIALS.entense.transform(clean=OWN.window(pl.col("onset") + 4, seconds=12))
TABLES = {"runs": LAZY, "lists": LISTS, "trials": TRIALS}


def alike(frame, table):
    """Return `table` as a frame of the same kind as `frame`."""
    return table.lazy() if isinstance(frame, pl.LazyFrame) else table


def hive(frame, folder):
    frame.lazy().collect().write_parquet(folder, partition_by="task", mkdir=True)
    return pl.scan_parquet(folder, hive_partitioning=True)


def sink(frame, folder):
    frame.lazy().sink_parquet(folder / "t.parquet")
    return pl.scan_parquet(folder / "t.parquet")


def parquet(frame, folder):
    frame.lazy().collect().write_parquet(folder / "t.parquet")
    return pl.read_parquet(folder / "t.parquet")


def ipc(frame, folder):
    frame.lazy().collect().write_ipc(folder / "t.arrow")
    return pl.read_ipc(folder / "t.arrow")


def ipc_stream(frame, _):
    file = io.BytesIO()
    frame.lazy().collect().write_ipc_stream(file)
    file.seek(0)
    return pl.read_ipc_stream(file)


def lists(frame):
    return frame.group_by("task", maintain_order=True).agg("subject", "clean")


def pivoted(frame):
    """One column a task, and back again."""
    tasks = ["rest", "nback"]
    wide = (
        frame.pivot("task", on_columns=tasks, index="subject", values="clean")
        if isinstance(frame, pl.LazyFrame)
        else frame.pivot("task", index="subject", values="clean")
    )
    return wide.unpivot(on=tasks, index="subject", value_name="clean").filter(
        storage("clean").struct.field("volume.image").is_not_null()
    )


AGES = TABLE.select("age", group="task").sort("age")
VERBS = {
    "filter": lambda f: f.filter(pl.col("age") > 25),
    "sort": lambda f: f.sort("age", descending=True),
    "select": lambda f: f.select("clean", "subject"),
    "join": lambda f: f.join(alike(f, TABLE.select("subject", sex="task")), on="subject"),
    "join onto": lambda f: alike(f, TABLE.select("subject")).join(
        f.select("subject", "clean"), on="subject", how="left", validate="1:1"
    ),
    "join_asof": lambda f: f.sort("age").join_asof(alike(f, AGES), on="age"),
    "rename": lambda f: f.rename({"clean": "x"}).rename({"x": "clean"}),
    "alias": lambda f: (
        f.with_columns(pl.col("clean").alias("copy")).drop("clean").rename({"copy": "clean"})
    ),
    "unique": lambda f: pl.concat([f, f]).unique(maintain_order=True),
    "unique by": lambda f: f.unique("task", maintain_order=True),
    "group_by, agg, explode": lambda f: lists(f).explode("subject", "clean"),
    "group_by, first": lambda f: f.group_by("task").agg(pl.all().first()),
    "list.eval": lambda f: (
        lists(f)
        .with_columns(
            pl.col("clean").list.eval(pl.element().reverse()), pl.col("subject").list.reverse()
        )
        .explode("subject", "clean")
    ),
    "pivot, unpivot": pivoted,
    "when, then": lambda f: f.with_columns(
        pl.when(pl.col("age") > 25).then(pl.col("clean")).alias("clean")
    ).filter(pl.col("age") > 25),
    "when, then, otherwise": lambda f: f.with_columns(
        clean=pl.when(pl.col("age") > 25).then("clean").otherwise("clean")
    ),
    "concat": lambda f: pl.concat([f.head(1), f.slice(1)]),
    "concat, diagonal": lambda f: pl.concat([f.head(2).drop("age"), f.slice(2)], how="diagonal"),
    "concat, horizontal": lambda f: pl.concat(
        [f.select("subject"), f.select("clean")], how="horizontal"
    ),
    "head": lambda f: f.head(2),
    "tail": lambda f: f.tail(2),
    "slice": lambda f: f.slice(1, 2),
    "gather": lambda f: f.select(pl.all().gather([2, 0])),
    "reverse": lambda f: f.reverse(),
    "shift": lambda f: f.select(pl.all().shift(1)).slice(1),
    "with_row_index": lambda f: f.with_row_index(),
    "over": lambda f: f.with_columns(pl.col("clean", "subject").sort_by("age").over("task")),
    "struct": lambda f: f.select(both=pl.struct("subject", "clean")).unnest("both"),
    "pipe": lambda f: f.pipe(lambda g: g.filter(pl.col("age") > 25)),
    "sql": lambda f: f.sql("SELECT subject, clean FROM self WHERE age > 25 ORDER BY age"),
    "relocate": lambda f: f.entense.relocate({"/elsewhere": "/other"}),
}
DATAFRAME_ONLY = {
    "sample": lambda f: f.sample(3, seed=1),
    "partition_by": lambda f: pl.concat(f.partition_by("task")),
    "iter_slices": lambda f: pl.concat(f.iter_slices(1)),
    "to_arrow": lambda f: pl.from_arrow(f.to_arrow()),
    "rechunk": lambda f: pl.concat([f.head(2), f.slice(2)], rechunk=False).rechunk(),
    "vstack": lambda f: f.head(1).vstack(f.slice(1)),
    "extend": lambda f: f.head(1).extend(f.slice(1)),
    "pickle": lambda f: pickle.loads(pickle.dumps(f)),
    "serialize": lambda f: pl.DataFrame.deserialize(io.BytesIO(f.serialize())),
}
LAZYFRAME_ONLY = {
    "streaming collect": lambda f: f.filter(pl.col("age") > 25).collect(engine="streaming"),
    "collect_batches": lambda f: pl.concat(f.collect_batches(chunk_size=1)),
    "cache": lambda f: f.cache(),
    "pickle": lambda f: pickle.loads(pickle.dumps(f)),
    "serialize": lambda f: pl.LazyFrame.deserialize(io.BytesIO(f.serialize())),
    "SQLContext": lambda f: pl.SQLContext(t=f).execute("SELECT * FROM t LIMIT 3", eager=False),
}
FILES = {f.__name__: f for f in (parquet, hive, sink, ipc, ipc_stream)}


def survives(frame, table=LAZY):
    """Assert that `clean` has its recipe, and that every cell is still its own subject's."""
    frame = frame.lazy().collect()
    assert frame.schema["clean"] == table.schema["clean"]
    assert frame.schema["clean"].recipe == table.schema["clean"].recipe
    keys = ["subject", "onset"] if {"onset"} <= {*frame.columns} & {*table.columns} else ["subject"]
    due = table.select(*keys, cell=storage("clean"))
    cells = frame.select(*keys, cell=storage("clean"))
    assert cells.height > 0
    assert {*map(str, cells.rows())} <= {*map(str, due.rows())}
    inputs = survey(frame.head(1), ["clean"]).rows[0].bound.files
    assert {path.split("/")[1] for path in inputs.values()} == {"none"}


VERBS_OF = [
    pytest.param(table, verb, id=f"{name}-{kind}")
    for name, table in TABLES.items()
    for kind, verb in VERBS.items()
    # of a subject with two trials there is no one cell for a task, nor to join onto it
    if table is not TRIALS or kind not in ("pivot, unpivot", "join onto")
]


@pytest.mark.parametrize(("table", "verb"), VERBS_OF)
@pytest.mark.parametrize("kind", [pl.DataFrame, pl.LazyFrame], ids=["DataFrame", "LazyFrame"])
def test_survives(table, verb, kind):
    result = verb(table.lazy() if kind is pl.LazyFrame else table)
    assert type(result) is kind
    survives(result, table)


@pytest.mark.parametrize("verb", DATAFRAME_ONLY.values(), ids=DATAFRAME_ONLY)
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_survives_what_only_dataframes_have(table, verb):
    survives(verb(table), table)


@pytest.mark.parametrize("verb", LAZYFRAME_ONLY.values(), ids=LAZYFRAME_ONLY)
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_survives_what_only_lazyframes_have(table, verb):
    survives(verb(table.lazy()), table)


@pytest.mark.parametrize("through", FILES.values(), ids=FILES)
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("kind", ["DataFrame", "LazyFrame"])
def test_survives_files(table, kind, through, tmp_path):
    survives(through(table.lazy() if kind == "LazyFrame" else table, tmp_path), table)


def test_the_executor_is_really_barred():
    with pytest.raises(AssertionError, match="was computed"):
        LAZY.entense.collect()


def test_aggregated_it_is_a_list_of_tensors():
    assert lists(LAZY).schema["clean"] == pl.List(LAZY.schema["clean"])
    assert lists(LAZY.lazy()).collect_schema()["clean"] == pl.List(LAZY.schema["clean"])


def test_pivoted_it_is_a_tensor_a_column():
    wide = LAZY.pivot("task", index="subject", values="clean")
    assert tensor_columns(wide.schema) == ["rest", "nback"]
    assert wide.select(storage("nback").is_null().not_()).to_series().sum() == 2


@pytest.mark.parametrize("frame", [LAZY, LAZY.lazy()], ids=["DataFrame", "LazyFrame"])
def test_null_cells_stay_null(frame):
    more = pl.DataFrame({"subject": ["1", "9"]})
    joined = alike(frame, more).join(frame, on="subject", how="left", maintain_order="left")
    joined = joined.lazy().collect()
    assert joined["clean"].is_null().to_list() == [False, True]
    error = survey(joined).errors[1]
    assert "no file for its image" in error
    assert "drop_incomplete" in error


def test_a_printed_type_is_short():
    assert "ext[volume → detrend(order=1)]" in str(OTHER.select("clean"))
    assert "nodes" not in str(LAZY.select("clean"))


# PyArrow


def test_pyarrow_round_trip(tmp_path):
    table = LAZY.to_arrow()
    pq.write_table(table, tmp_path / "t.parquet")
    again = pq.read_table(tmp_path / "t.parquet")
    assert again.schema.field("clean").type == table.schema.field("clean").type
    survives(pl.from_arrow(again))


def test_pyarrow_does_not_mix_recipes(tmp_path):
    with pytest.raises(pa.ArrowInvalid):
        pa.concat_tables([LAZY.to_arrow(), OTHER.to_arrow()])
    LAZY.write_parquet(tmp_path / "a.parquet")
    OTHER.write_parquet(tmp_path / "b.parquet")
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError)):
        pq.read_table(tmp_path)
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError)):
        pyarrow.dataset.dataset(tmp_path).to_table()


def test_pyarrow_still_mixes_what_is_alike(tmp_path):
    LAZY.head(2).write_parquet(tmp_path / "a.parquet")
    LAZY.slice(2).write_parquet(tmp_path / "b.parquet")
    survives(pl.from_arrow(pq.read_table(tmp_path)))
    survives(pl.from_arrow(pa.concat_tables([LAZY.to_arrow(), LAZY.to_arrow()])))


def test_cells_mixed_by_surgery_are_found():
    alike = TABLE.entense.transform(clean=CLEAN.detrend())
    plain = pl.concat([LAZY.select(storage("clean")), alike.select(storage("clean"))])
    mixed = plain.select(pl.col("clean").ext.to(LAZY.schema["clean"]))
    with pytest.raises(et.RecipeError, match="'clean' holds rows of another recipe"):
        mixed.entense.collect()
    with pytest.raises(et.RecipeError, match="transform"):
        mixed.entense.explain()


def test_a_process_without_entense_keeps_the_recipe(tmp_path):
    LAZY.write_parquet(tmp_path / "in.parquet")
    code = """
import sys, warnings, polars as pl
warnings.simplefilter("ignore")
frame = pl.read_parquet(sys.argv[1])
assert type(frame.schema["clean"]) is pl.Extension, frame.schema
frame.filter(pl.col("age") > 25).sort("age").write_parquet(sys.argv[2])
assert "entense" not in sys.modules
"""
    paths = [str(tmp_path / "in.parquet"), str(tmp_path / "out.parquet")]
    subprocess.run([sys.executable, "-c", code, *paths], check=True)
    survives(pl.read_parquet(tmp_path / "out.parquet"))
