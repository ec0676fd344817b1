"""The command line says in words and exit codes what the functions do."""

import json
import os
import subprocess
import sys
from inspect import signature

import polars as pl
import pytest

import entense as et
from entense.cli import main, parser
from entense.demo import make_dataset
from entense.demo.job import choose_volumes, demo, split_sizes
from entense.errors import TableError
from entense.execute.pydra.workers import children

SMALL = {"subjects": 1, "sessions": 1, "runs": 2, "frames": 50, "shape": (12, 14, 12)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("cli") / "dataset", **SMALL)


@pytest.fixture(scope="module")
def plan(folder):
    records = et.stage(
        et.scan(folder),
        bold={"suffix": "bold", "desc": "preproc"},
        mask={"suffix": "mask", "desc": "brain"},
    )
    brain = et.group_mask(records, "mask", to=folder.parent / "brain.nii.gz")
    records = et.transform(records, clean=et.volume("bold", mask=brain).detrend())
    path = folder.parent / "plan.parquet"
    records.with_columns(age=pl.lit(30)).collect().write_parquet(path)
    return path


def test_index_counts_the_files_and_keeps_the_table(folder, tmp_path, capsys):
    assert main(["index", str(folder), "--out", str(tmp_path / "files.parquet")]) == 0
    words = capsys.readouterr().out
    files = pl.read_parquet(tmp_path / "files.parquet")
    assert f"{files.height} files of 1 subjects" in words
    assert "MNI152NLin2009cAsym" in words
    assert files.equals(et.scan(folder).collect())


@pytest.mark.parametrize("words", [[], ["--layout", "hcp"]])
def test_index_finds_out_the_layout(tmp_path, capsys, words):
    run = tmp_path / "100307/MNINonLinear/Results/tfMRI_WM_LR"
    run.mkdir(parents=True)
    (run / "tfMRI_WM_LR.nii.gz").touch()
    assert main(["index", str(tmp_path), *words]) == 0
    assert "1 files of 1 subjects" in capsys.readouterr().out


def test_a_saved_plan_is_explained_written_described_and_verified(plan, tmp_path, capsys):
    assert main(["explain", str(plan)]) == 0
    assert capsys.readouterr().out.strip() == et.explain(pl.read_parquet(plan)).strip()
    out = str(tmp_path / "out")
    words = ["--columns", "age", "--dtype", "clean=float16", "--format", "tfrecord"]
    assert main(["write", str(plan), out, *words]) == 0
    capsys.readouterr()
    archive = et.open(out)
    assert archive[0]["clean"].dtype == "float16"
    assert archive[0]["age"] == 30
    assert main(["info", out]) == 0
    assert repr(archive) in capsys.readouterr().out
    assert main(["info", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(
        (tmp_path / "out" / "entense.json").read_text()
    )
    assert main(["verify", out]) == 0


def test_the_ways_of_cutting_into_shards(plan, tmp_path):
    out = str(tmp_path / "out")
    words = ["--format", "webdataset", "tfrecord", "--disaggregate", "tensor"]
    words += ["--shard-records", "1", "--shard-by", "subject", "--shuffle", "3"]
    assert main(["write", str(plan), out, *words]) == 0
    manifest = et.open(out).manifest
    assert manifest.formats == ["webdataset", "tfrecord"]
    assert {len(series.tensors) for series in manifest.series} == {1}
    assert manifest.sharding == {
        "bytes": 512_000_000, "records": 1, "by": ["subject"], "seed": 3, "scheme": "size"
    }  # fmt: skip


def test_schema_says_what_the_tensors_and_columns_are(plan, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["write", str(plan), out, "--columns", "age"]) == 0
    capsys.readouterr()
    archive = et.open(out)
    assert main(["schema", out]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"clean: {archive.schema['clean']}", "age: Int64"]
    assert main(["schema", out, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    clean = said["tensors"]["clean"]
    assert said["columns"] == {"age": "Int64"}
    assert (clean["dtype"], clean["dims"]) == ("float32", ["time", "voxel"])
    assert tuple(clean["shape"]) == archive[0]["clean"].shape


def test_damage_is_named_fails_and_is_repaired(plan, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["write", str(plan), out, "--shard-size", "1", "--dtype", "clean=float16"]) == 0
    archive = et.open(out)
    assert main(["verify", out, "--json"]) == 0
    assert '"right": true' in capsys.readouterr().out
    shard = tmp_path / "out" / archive.manifest.shards[1].path
    whole = shard.read_bytes()
    data = bytearray(whole)
    data[archive.records["clean"][1]["offset"]] ^= 1
    shard.write_bytes(data)
    assert main(["verify", out]) == 1
    assert f"{shard.name} has changed bytes; records {archive.records['record'][1]}" in (
        capsys.readouterr().err
    )
    assert main(["verify", out, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    what = {"file": archive.manifest.shards[1].path, "what": "has changed bytes"}
    assert said["damaged"] == [{**what, "records": [archive.records["record"][1]]}]
    assert main(["repair", str(plan), out]) == 0
    assert f"{shard.name} written again; 1 shards were right" in capsys.readouterr().out
    assert shard.read_bytes() == whole
    (tmp_path / "out" / "records.parquet").unlink()
    assert main(["verify", out, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert not said["right"]
    assert "records.parquet is missing" in said["error"]
    assert main(["repair", str(plan), out]) == 0
    assert main(["verify", out]) == 0


def test_a_plan_may_be_kept_to_folders(plan, folder, tmp_path, capsys):
    out = str(tmp_path / "out")
    for command in (["explain", str(plan)], ["write", str(plan), out]):
        assert main([*command, "--root", str(folder)]) == 1
        assert "brain.nii.gz, which is below none of the roots" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(["write", str(plan), out, "--root", str(folder), str(folder.parent)]) == 0
    assert main(["repair", str(plan), out, "--root", str(tmp_path)]) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["index", "no/such/folder"], "no/such/folder"),
        (["info", "no/such/archive"], "no/such/archive"),
        (["explain", "no.parquet"], "no.parquet"),
    ],
)
def test_an_error_is_one_sentence_and_exit_code_1(words, says, capsys):
    assert main(words) == 1
    caught = capsys.readouterr()
    assert says in caught.err
    assert caught.err.startswith("entense: ")
    assert "Traceback" not in caught.err
    assert not caught.out


def test_options_are_named_as_they_are_typed_here(plan, tmp_path, capsys):
    assert main(["write", str(plan), str(tmp_path / "out")]) == 0
    assert main(["write", str(plan), str(tmp_path / "out"), "--shard-size", "1kB"]) == 1
    assert "pass --overwrite to replace it" in capsys.readouterr().err


def test_python_runs_the_package_as_the_command():
    command = [sys.executable, "-m", "entense", "info", "nowhere"]
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (said.returncode, said.stderr[:9]) == (1, "entense: ")


def test_a_wrong_dtype_option_says_how_to_write_it(plan, tmp_path, capsys):
    assert main(["write", str(plan), str(tmp_path / "out"), "--dtype", "float16"]) == 1
    assert "clean=float16" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["write", "explain"])
def test_ctrl_c_says_whether_the_command_goes_on_another_time(command, plan, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(et, command, stop)
    words = {"write": [command, str(plan), "out"], "explain": [command, str(plan)]}[command]
    assert main(words) == 130
    goes_on = "; the same command goes on where this one was" if command == "write" else ""
    assert capsys.readouterr().err == f"entense: stopped{goes_on}\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Be in a folder that is looked into for modules; what is put there is forgotten after."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])
    return tmp_path


def test_a_module_is_found_here_and_covers_none_of_pythons_own(here, plan):
    (here / "inspect.py").write_text("raise SystemExit('run')")
    (here / "its_ops.py").write_text("")
    assert main(["explain", str(plan)]) == 0
    assert "" not in sys.path
    assert main(["explain", str(plan), "--import", "its_ops"]) == 0
    assert sys.modules.pop("its_ops").__file__ == str(here / "its_ops.py")
    found = children.python_path()["PYTHONPATH"].split(os.pathsep)
    assert found[-1] == str(here)
    assert str(here) not in found[:-1]


def test_a_plan_is_written_elsewhere_and_a_dry_run_says_how(here, plan, capsys):
    (here / "inspect.py").write_text("raise SystemExit('what lies about here was run')")
    where = ["--executor", "pydra", "--worker-option", "n_procs=1"]
    assert main(["explain", str(plan), *where, "--tasks", "2"]) == 0
    assert "split over 2 tasks" in capsys.readouterr().out
    words = ["write", str(plan), "out", "--shard-records", "1"]
    assert main([*words, *where, "--tasks", "2", "--dry-run"]) == 0
    assert "split over 2 tasks" in capsys.readouterr().out
    assert not (here / "out").exists()
    assert main([*words, "--dry-run"]) == 1
    assert "'serial' submits nothing" in capsys.readouterr().err
    assert main([*words, *where]) == 0
    assert main(["write", str(plan), "due", "--shard-records", "1"]) == 0
    due, made = (
        {path.name: path.read_bytes() for path in (here / name).rglob("*") if path.is_file()}
        for name in ("due", "out")
    )
    assert made == due


def test_options_of_a_worker_are_numbers_where_they_can_be(plan, monkeypatch):
    given = {}
    monkeypatch.setattr(et, "write", lambda *_, **asked: given.update(asked))
    pairs = [
        "poll_seconds=0.5",
        "n_procs=2",
        "account=007",
        "time=02:00:00",
        "sbatch_args=-x '-y z'",
    ]
    assert main(["write", str(plan), "out", "--worker-option", *pairs]) == 0
    assert given["poll_seconds"] == 0.5
    assert given["n_procs"] == 2
    assert (given["account"], given["time"]) == ("007", "02:00:00")
    assert given["sbatch_args"] == ["-x", "-y z"]


def test_every_option_of_write_can_be_said():
    asked = vars(parser().parse_args(["write", "plan.parquet", "out"]))
    options = signature(et.write).parameters.values()
    due = {one.name for one in options if one.kind is one.KEYWORD_ONLY}
    assert due - {"storage_options"} <= set(asked)  # secrets are in no history of a shell


def test_version(capsys):
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert et.__version__ in capsys.readouterr().out


# webdataset leaves its shards open for the collector to close
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_demo_on_a_folder_without_atlas_and_participants(folder, tmp_path, capsys):
    (folder / "participants.tsv").rename(tmp_path / "away.tsv")
    demo(folder, out=tmp_path / "out")
    (tmp_path / "away.tsv").rename(folder / "participants.tsv")
    words = capsys.readouterr().out
    for phrase in ("no atlas given", "no participants.tsv", "fewer than three subjects"):
        assert phrase in words
    assert words.count("all equal") == 3
    assert set(et.open(tmp_path / "out" / "tfrecord").schema) == {"clean"}


def volumes(*spaces: tuple[str | None, str | None]) -> pl.DataFrame:
    rows = [
        {"suffix": "bold", "desc": "preproc", "extension": ".nii.gz", "space": s, "resolution": r}
        for s, r in spaces
    ]
    names = ("suffix", "desc", "extension", "space", "resolution")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String))


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        ([("MNI152NLin6Asym", None), ("MNI152NLin2009cAsym", "2")], ("MNI152NLin2009cAsym", "2")),
        ([("MNI152NLin6Asym", None), (None, None)], ("MNI152NLin6Asym", None)),
        ([("OASIS30ANTs", None), ("MNIPediatricAsym", "1")], ("MNIPediatricAsym", "1")),
        ([("MNI152Lin", "2"), ("MNI152Lin", "1")], ("MNI152Lin", "1")),
    ],
)
def test_the_demo_prefers_the_usual_space(there, chosen):
    assert tuple(choose_volumes(volumes(*there)).values()) == chosen


def test_the_demo_needs_a_standard_space():
    with pytest.raises(TableError, match=r"T1w.*--output-spaces"):
        choose_volumes(volumes(("T1w", None), (None, None)))
    with pytest.raises(TableError, match="none"):
        choose_volumes(volumes())


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 5, 6, 10, 99])
def test_split_sizes_leave_a_group_for_each(groups):
    sizes = split_sizes(groups)
    assert bool(sizes) == (groups >= 3)
    if sizes:
        assert sum(sizes.values()) == pytest.approx(1, abs=1e-12)
        assert all(round(size * groups) >= 1 for size in sizes.values())
