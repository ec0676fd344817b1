"""Lists and trials stay lazy: what pivots, gathers and windows make is only written down.

The images in these tables do not exist: whatever opened one would fail.
"""

import polars as pl
import pytest

import entense as et
from entense.plan.survey import survey
from entense.tensors.lazy import storage

pytestmark = pytest.mark.usefixtures("no_executor")

SUBJECTS = ["1", "2"]
RUNS = pl.DataFrame(
    {
        "subject": [s for s in SUBJECTS for _ in range(2)],
        "run": ["1", "2"] * 2,
        "bold": [f"/none/{run}/{s}.nii.gz" for s in SUBJECTS for run in "12"],
        "mask": [f"/none/{s}_mask.nii.gz" for s in SUBJECTS for _ in range(2)],
        "confounds": [f"/none/{run}/{s}.tsv" for s in SUBJECTS for run in "12"],
        "bold_tr": 2.0,
        "hp": [0.01, 0.02] * 2,
        **dict.fromkeys(["bold_sidecar", "mask_sidecar", "confounds_sidecar"]),
    }
)
CLEAN = et.volume("bold", mask="mask").denoise("confounds", "36P", high_pass=pl.col("hp"))
PIVOTED = RUNS.entense.pivot("subject").entense.transform(clean=CLEAN.zscore().concat())


def test_every_step_on_a_lazyframe_gives_one_and_computes_nothing(tmp_path):
    path = tmp_path / "sub-1_events.tsv"
    path.write_text("onset\tduration\n2\t1\n8.5\t1\n")
    records = RUNS.lazy().with_columns(events=pl.lit(str(path)), events_sidecar=None)
    trials = records.entense.events("events")
    window = CLEAN.window(pl.col("onset") + 4, seconds=12)
    trials = trials.entense.transform(x=window)
    gathered = trials.entense.pivot("subject").entense.transform(x=et.col("x").stack())
    assert isinstance(trials, pl.LazyFrame)
    assert isinstance(gathered, pl.LazyFrame)
    assert trials.collect().height == 2 * RUNS.height
    starts = gathered.select(storage("x").struct.field("window.start")).collect().to_series()
    assert starts.to_list() == [[6.0, 12.5] * 2] * 2


@pytest.mark.parametrize("kind", [pl.DataFrame, pl.LazyFrame], ids=["DataFrame", "LazyFrame"])
def test_lists_of_tensors_explode_again(kind):
    lazy = kind(RUNS).entense.transform(clean=CLEAN)
    listed = lazy.entense.pivot("subject")
    again = listed.explode("run", "clean").lazy().collect()
    assert again.schema["clean"] == lazy.collect_schema()["clean"]
    whole = lazy.lazy().collect()
    assert again.select("subject", "run", storage("clean")).equals(
        whole.select("subject", "run", storage("clean"))
    )


def test_relocate_moves_every_file_of_a_list():
    moved = PIVOTED.entense.relocate({"/none/1": "/first", "/none/2": "/second"})
    paths = set(survey(moved.head(1)).rows[0].bound.paths)
    assert paths == {"/none/1_mask.nii.gz"} | {
        f"/{place}/1.{end}" for place in ("first", "second") for end in ("nii.gz", "tsv")
    }


def test_what_is_gathered_alike_concatenates():
    late = RUNS.entense.transform(clean=CLEAN.zscore()).entense.pivot("subject")
    late = late.entense.transform(clean=et.col("clean").concat())
    both = pl.concat([PIVOTED.select("subject", "clean"), late.select("subject", "clean")])
    assert both.schema["clean"] == PIVOTED.schema["clean"]
    other = RUNS.entense.pivot("subject").entense.transform(clean=CLEAN.concat().zscore())
    with pytest.raises(pl.exceptions.SchemaError):
        pl.concat([PIVOTED.select("clean"), other.select("clean")])
