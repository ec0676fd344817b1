"""The example of the documentation, from a folder of fMRIPrep outputs to batches, step by step."""

import subprocess
import sys

import nibabel as nib
import numpy as np
import polars as pl
import pytest

import entense as et
from entense.demo import make_dataset

SPACE = "MNI152NLin2009cAsym"
FRAMES = {"A": 60, "B": 54}  # of a run at each site of the demo's dataset


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Five subjects of two sessions; the fifth's last run has no confounds."""
    root = tmp_path_factory.mktemp("flow")
    shape = (12, 14, 12)
    make_dataset(root / "ds", subjects=5, sessions=2, runs=1, frames=60, shape=shape)
    (lost,) = root.glob("ds/sub-05/ses-2/func/*confounds_timeseries.tsv")
    lost.unlink()
    return root


def staged(root):
    return (
        et.scan(root / "ds", layout="fmriprep")
        .entense.stage(
            bold={"suffix": "bold", "desc": "preproc", "space": SPACE},
            mask={"suffix": "mask", "desc": "brain", "space": SPACE},
            confounds={"suffix": "timeseries", "desc": "confounds"},
        )
        .entense.join_table(root / "ds" / "participants.tsv")
        .entense.drop_incomplete()
        .filter(pl.col("age") >= 18)
    )


def planned(records, root):
    brain = records.entense.group_mask("mask", threshold=0.9, to=root / "brain.nii.gz")
    clean = et.volume("bold", mask=brain).denoise("confounds", "36P", high_pass=0.01, low_pass=0.08)
    atlas = root / "ds" / "atlas.nii.gz"
    return (
        records.entense.transform(clean=clean.zscore())
        .entense.transform(fc=et.col("clean").parcellate(atlas).correlation())
        .entense.split({"train": 0.6, "val": 0.2, "test": 0.2}, by="subject", seed=0)
    )


OPTIONS = {"columns": ["age", "sex"], "dtype": {"clean": "float16"}, "shard_size": "200kB"}


@pytest.fixture(scope="module")
def records(root):
    return planned(staged(root), root)


@pytest.fixture(scope="module")
def written(records, root):
    records.entense.write(root / "out", format="webdataset", **OPTIONS)
    return root / "out"


@pytest.fixture(scope="module")
def archive(written):
    return et.open(written)


def content(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def times(folder):
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def forbid_decoding(monkeypatch):
    def decode(*_):
        raise AssertionError("an image is decoded")

    monkeypatch.setattr("entense.execute.loading.decode", decode)


def test_scan_has_a_row_for_each_file_of_a_subject(root):
    files = et.scan(root / "ds").collect()
    there = sorted(str(path) for path in root.glob("ds/sub-*/**/*.*"))
    assert sorted(files["path"]) == there
    assert files.filter(suffix="bold", extension=".nii.gz").height == 10


def test_stage_has_a_row_for_each_run(root):
    table = staged(root).collect()
    assert table.height == 9  # ten runs, one without confounds
    assert set(table["bold_tr"]) == {2.0}
    for row in table.iter_rows(named=True):
        names = f"sub-{row['subject']}_ses-{row['session']}_task-rest_run-1_"
        for role in ("bold", "mask", "confounds"):
            assert row[role].startswith(
                f"{root}/ds/sub-{row['subject']}/ses-{row['session']}/func/"
            )
            assert names in row[role]


def test_join_table_gives_each_subject_its_row(root):
    text = pl.read_csv(root / "ds" / "participants.tsv", separator="\t", null_values="n/a")
    ages = dict(zip(text["participant_id"].str.slice(4), text["age"], strict=True))
    for subject, age in staged(root).select("subject", "age").collect().iter_rows():
        assert age == ages[subject]


def test_group_mask_is_where_nine_of_ten_masks_are(root, records):
    paths = records.select("mask").collect()["mask"]
    share = np.mean([nib.load(path).get_fdata() for path in paths], axis=0)
    ours = nib.load(root / "brain.nii.gz")
    assert np.array_equal(ours.get_fdata() > 0, share >= 0.9)
    assert 0 < (share >= 0.9).sum() < (share > 0).sum()
    assert np.allclose(ours.affine, nib.load(paths[0]).affine)


def test_split_never_parts_a_subject(records):
    table = records.select("subject", "split").collect()
    assert table.group_by("subject").agg(pl.col("split").n_unique())["split"].to_list() == [1] * 5
    assert table.unique()["split"].value_counts().sort("split").rows() == [
        ("test", 1),
        ("train", 3),
        ("val", 1),
    ]


def test_nothing_is_computed_before_it_is_asked_for(root, monkeypatch):
    forbid_decoding(monkeypatch)
    plan = planned(staged(root), root).filter(pl.col("sex") == "F").sort("age")
    assert plan.collect().height > 0
    text = plan.entense.explain()
    assert "decode" in text
    assert "36P" in text
    assert plan.entense.explain(optimized=False) != text
    with pytest.raises(et.RecordError, match="an image is decoded"):
        plan.entense.collect()


def test_collect_gives_arrow_tensors(records, root):
    frame = records.head(2).entense.collect()
    voxels = int(nib.load(root / "brain.nii.gz").get_fdata().sum())
    field = frame.to_arrow().schema.field("clean")
    assert field.type.extension_name == "arrow.fixed_shape_tensor"
    assert field.type.dim_names == ["time", "voxel"]
    clean, fc = et.to_numpy(frame["clean"]), et.to_numpy(frame["fc"])
    assert clean.shape == (2, 60, voxels)
    assert clean.dtype == fc.dtype == "float32"
    assert fc.shape[1] == fc.shape[2]
    assert frame.drop("clean", "fc").equals(records.head(2).drop("clean", "fc").collect())


def test_frames_of_both_kinds_give_the_same(records, root, written, tmp_path):
    eager = planned(staged(root).collect(), root)
    assert isinstance(eager, pl.DataFrame)
    assert eager.equals(records.collect())
    assert eager.entense.explain() == records.entense.explain()
    few = eager.head(1).entense.collect(), records.head(1).entense.collect()
    for name in ("clean", "fc"):
        assert np.array_equal(*(et.to_numpy(frame[name]) for frame in few))
    eager.sample(fraction=1, shuffle=True, seed=1).entense.write(tmp_path / "eager", **OPTIONS)
    assert content(tmp_path / "eager") == content(written)


def test_records_schema_and_verify(archive, records):
    table = records.drop("clean", "fc").collect()
    assert archive.records["record"].is_sorted()
    assert sorted(archive.records["subject"]) == sorted(table["subject"])
    assert archive.records["error"].null_count() == len(archive) == 9
    assert archive.verify().records == 9
    clean, fc = archive.schema["clean"], archive.schema["fc"]
    assert (clean.dtype, clean.dims, clean.tr) == ("float16", ("time", "voxel"), 2.0)
    assert clean.shape[0] is None  # the sites' runs differ in length
    assert (fc.dtype, fc.dims) == ("float32", ("parcel", "parcel"))
    assert len(fc.coords["parcel"]) == fc.shape[0]
    frames = {row["site"]: row["clean"]["shape"][0] for row in archive.records.to_dicts()}
    assert frames == FRAMES


def test_a_record_is_what_collect_gives(archive, records):
    table = records.filter(subject="02", session="2").entense.collect()
    key = f"ds_sub-02_ses-2_task-rest_run-1_space-{SPACE}_res-2"
    sample = archive[key]
    assert sample["record"] == key
    assert np.array_equal(sample["clean"], et.to_numpy(table["clean"])[0].astype("float16"))
    assert np.array_equal(sample["fc"], et.to_numpy(table["fc"])[0])
    assert (sample["age"], sample["sex"]) == table.select("age", "sex").row(0)


@pytest.mark.parametrize("seed", [None, 0])
def test_the_loader_reads_windows_of_a_split(archive, seed):
    loader = archive.loader("train", batch_size=4, window=16, windows_per_record=3, seed=seed)
    rows = [archive.row(key) for batch in loader for key in batch["record"]]
    assert sorted(rows) == sorted(archive.rows("train") * 3)
    starts = set()
    for batch in loader:
        assert batch["clean"].shape[1:] == (16, archive.schema["clean"].shape[1])
        assert batch["age"].dtype == "int64"
        for item, (key, start) in enumerate(zip(batch["record"], batch["start"], strict=True)):
            whole = archive[key]
            assert np.array_equal(batch["clean"][item], whole["clean"][start : start + 16])
            assert np.array_equal(batch["fc"][item], whole["fc"])
            assert (batch["age"][item], batch["sex"][item]) == (whole["age"], whole["sex"])
            starts.add(int(start))
    assert len(starts) > 2


def test_the_loader_of_a_table_gives_the_archives_batches(archive, records):
    options = {"batch_size": 2, "window": 20, "windows_per_record": 2}
    train = records.filter(pl.col("split") == "train")
    ours = train.entense.loader(columns=["age", "sex"], dtype={"clean": "float16"}, **options)
    theirs = archive.loader("train", **options)
    assert len(ours) == len(theirs) > 1
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert np.array_equal(value, other[name])
    seen = [key for batch in train.entense.loader(batch_size=1, seed=3) for key in batch["record"]]
    assert sorted(seen) == archive.records.filter(split="train")["record"].to_list()


@pytest.mark.filterwarnings("ignore")
def test_to_tf_gives_the_records_of_a_split(archive):
    samples = list(archive.to_tf("val").as_numpy_iterator())
    assert [archive.row(s["record"].decode()) for s in samples] == archive.rows("val")
    for sample in samples:
        ours = archive[sample["record"].decode()]
        assert np.array_equal(sample["clean"], ours["clean"])
        assert np.array_equal(sample["fc"], ours["fc"])
        assert sample["age"] == ours["age"]


def test_unmask_makes_an_image_again(archive, root):
    image = archive.unmask(archive[0]["clean"], "clean")
    inside = nib.load(root / "brain.nii.gz").get_fdata() > 0
    assert np.array_equal(image.get_fdata()[inside].T, archive[0]["clean"])
    assert not image.get_fdata()[~inside].any()
    with pytest.raises(et.ArchiveError, match="has no mask"):
        archive.unmask(archive[0]["fc"], "fc")


def test_a_rerun_reads_no_image_and_changes_no_file(root, written, monkeypatch):
    forbid_decoding(monkeypatch)
    before = times(written)
    assert planned(staged(root), root).entense.write(written, **OPTIONS).verify().records == 9
    assert times(written) == before


def test_what_was_deleted_is_written_again_byte_for_byte(records, written, tmp_path):
    before = content(written)
    shards = sorted(written.rglob("*.tar"))
    kept = {shard: shard.stat().st_mtime_ns for shard in shards[1:]}
    shards[0].unlink()
    (written / "entense.json").unlink()
    records.entense.write(written, **OPTIONS)
    assert content(written) == before
    assert {shard: shard.stat().st_mtime_ns for shard in kept} == kept
    records.entense.write(tmp_path / "again", memory="320MB", **OPTIONS)
    assert content(tmp_path / "again") == before


def test_nothing_written_tells_the_time_or_the_place(root, written):
    for name, data in content(written).items():
        assert str(root).encode() not in data, name


def test_the_plan_travels_as_parquet(records, archive, tmp_path):
    plan = records.filter(subject="01").collect()
    plan.write_parquet(tmp_path / "plan.parquet")
    script = (
        "import polars as pl, entense as et, sys\n"
        "plan = pl.read_parquet(sys.argv[1])\n"
        "et.write(plan, sys.argv[2], columns=['age', 'sex'], dtype={'clean': 'float16'})\n"
    )
    words = [str(tmp_path / "plan.parquet"), str(tmp_path / "elsewhere")]
    subprocess.run([sys.executable, "-c", script, *words], check=True)
    other = et.open(tmp_path / "elsewhere")
    assert len(other) == plan.height == 2
    for row in range(2):
        mine = archive[other[row]["record"]]
        assert np.array_equal(other[row]["clean"], mine["clean"])
        assert np.array_equal(other[row]["fc"], mine["fc"])
