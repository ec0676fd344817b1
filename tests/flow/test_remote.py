"""The same dataset here, on a web server, in memory, in an archive and in DataLad: one archive."""

import shutil
import zipfile

import fsspec
import polars as pl
import pytest
from datalad_here import run
from serving import held, kept, site  # noqa: F401  fixtures

import entense as et
from entense.demo import make_dataset

SPACE = "MNI152NLin2009cAsym"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Four runs of two subjects."""
    root = tmp_path_factory.mktemp("remote")
    make_dataset(root / "ds", subjects=2, sessions=2, runs=1, frames=40, shape=(10, 12, 10))
    return root / "ds"


@pytest.fixture(scope="module")
def local(made, tmp_path_factory):
    """The archive of the dataset as it lies here."""
    return planned(str(made), str(made / "atlas.nii.gz")).entense.write(
        tmp_path_factory.mktemp("here") / "out", shard_size="200kB"
    )


def planned(root, atlas):
    clean = et.volume("bold", mask="mask").denoise("confounds", ["trans_x", "csf"], high_pass=0.01)
    roles = {
        "bold": {"suffix": "bold", "desc": "preproc", "space": SPACE},
        "mask": {"suffix": "mask", "desc": "brain", "space": SPACE},
        "confounds": {"suffix": "timeseries", "desc": "confounds"},
    }
    return (
        et.scan(root, dataset="ds")
        .entense.stage(**roles)
        .entense.drop_incomplete()
        .entense.transform(clean=clean.zscore())
        .entense.transform(fc=et.col("clean").parcellate(atlas).correlation())
    )


def content(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def shards(folder):
    return {name: data for name, data in content(folder).items() if name.endswith(".tar")}


def is_the_same(archive, folder, local):
    """Hold an archive to the one of the same data here, byte for byte."""
    assert archive.verify().records == 4
    assert shards(folder) == shards(local.folder)
    assert len(shards(folder)) > 1
    known = [one.records for one in (archive, local)]
    assert known[0].equals(known[1])
    for data in content(folder).values():
        assert b"127.0.0.1" not in data
        assert b"memory:/" not in data


@pytest.fixture
def served(site, made):  # noqa: F811
    """The dataset on the server."""
    shutil.copytree(made, site.root / "ds")
    return site


def test_a_web_server_that_drops_every_third_request(served, kept, local, tmp_path):  # noqa: F811
    served.drop = 3
    url = f"{served.url}/ds"
    records = planned(url, f"{url}/atlas.nii.gz")
    table = records.collect()
    assert set(table["bold_tr"]) == {2.0}
    assert table["bold"].str.starts_with(f"{url}/sub-").all()
    assert not [path for method, path in served.requests if path.endswith("bold.nii.gz")]
    archive = records.entense.write(tmp_path / "out", shard_size="200kB")
    assert served.cut > 10
    is_the_same(archive, tmp_path / "out", local)


def test_each_image_crosses_the_network_once(served, kept, tmp_path):  # noqa: F811
    url = f"{served.url}/ds"
    planned(url, f"{url}/atlas.nii.gz").entense.write(tmp_path / "out")
    for path in (served.root / "ds").rglob("*_bold.nii.gz"):
        name = f"/{path.relative_to(served.root)}"
        assert served.sent[name] <= path.stat().st_size + 65_536
    before = len(served.requests)
    again = planned(url, f"{url}/atlas.nii.gz").entense.write(tmp_path / "out")
    assert again.verify().records == 4
    assert served.count("GET", "/ds/atlas.nii.gz") == 1
    assert not [p for m, p in served.requests[before:] if m == "GET" and p.endswith("bold.nii.gz")]


def test_a_cache_smaller_than_the_dataset(served, kept, local, tmp_path, monkeypatch):  # noqa: F811
    largest = max(path.stat().st_size for path in served.root.rglob("*.nii.gz"))
    monkeypatch.setenv("ENTENSE_CACHE_SIZE", str(2 * largest))
    url = f"{served.url}/ds"
    archive = planned(url, f"{url}/atlas.nii.gz").entense.write(
        tmp_path / "out", shard_size="200kB"
    )
    is_the_same(archive, tmp_path / "out", local)
    assert sum(path.stat().st_size for path in held(kept)) <= 2 * largest


def test_a_checksum_that_does_not_fit_is_the_error_of_its_record(served, kept, tmp_path):  # noqa: F811
    (bad,) = served.root.glob("ds/sub-01/ses-1/func/*bold.nii.gz")
    wrong = {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    served.headers = lambda path: wrong if path.endswith(bad.name) else {}
    url = f"{served.url}/ds"
    records = planned(url, f"{url}/atlas.nii.gz")
    with pytest.raises(et.ArchiveError, match="1 of 4 records") as raised:
        records.entense.write(tmp_path / "out")
    assert "its md5 is not the one that the server announced" in str(raised.value)
    assert bad.name in str(raised.value)
    archive = records.entense.write(tmp_path / "out", on_error="skip")
    assert archive.records["error"].null_count() == 3
    served.headers = lambda path: {}
    assert records.entense.write(tmp_path / "out").verify().records == 4


def test_a_file_that_is_gone_and_one_that_is_shut(served, kept, tmp_path):  # noqa: F811
    url = f"{served.url}/ds"
    records = planned(url, f"{url}/atlas.nii.gz").collect()
    names = records.sort("subject", "session")["bold"].str.strip_prefix(served.url).to_list()
    served.status |= {names[0]: 404, names[1]: 403}
    with pytest.raises(et.ArchiveError, match="2 of 4 records") as raised:
        records.entense.write(tmp_path / "out")
    assert "HTTP 404" in str(raised.value)
    assert "HTTP 403" in str(raised.value)
    served.status.clear()
    assert records.entense.write(tmp_path / "out").verify().records == 4


def test_memory_and_an_archive(made, kept, local, tmp_path):  # noqa: F811
    memory = fsspec.filesystem("memory")
    memory.put(str(made), "/flow/ds", recursive=True)
    with zipfile.ZipFile(tmp_path / "ds.zip", "w") as archive:
        for path in made.rglob("*"):
            if path.is_file():
                archive.write(path, f"ds/{path.relative_to(made)}")
    chain = f"::{tmp_path}/ds.zip"
    for number, (root, atlas) in enumerate([
        ("memory://flow/ds", "memory://flow/ds/atlas.nii.gz"),
        (f"zip://ds{chain}", f"zip://ds/atlas.nii.gz{chain}"),
        (f"file://{made}", f"file://{made}/atlas.nii.gz"),
    ]):  # fmt: skip
        out = tmp_path / f"out{number}"
        archive = planned(root, atlas).entense.write(out, shard_size="200kB")
        is_the_same(archive, out, local)


def test_a_file_that_changed_on_the_server_is_computed_again(served, kept, tmp_path):  # noqa: F811
    url = f"{served.url}/ds"
    changed = {}
    served.headers = lambda path: {"ETag": changed.get(path, '"1"')}
    planned(url, f"{url}/atlas.nii.gz").entense.write(tmp_path / "out", shard_size=1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/**/*.tar")}
    assert len(before) == 4
    (bold,) = served.root.glob("ds/sub-02/ses-2/func/*bold.nii.gz")
    changed[f"/{bold.relative_to(served.root)}"] = '"2"'
    planned(url, f"{url}/atlas.nii.gz").entense.write(tmp_path / "out", shard_size=1)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/**/*.tar")}
    assert sum(after[path] != time for path, time in before.items()) == 1


def test_datalad(made, local, tmp_path, kept):  # noqa: F811
    """Saved, cloned without content, and computed from there."""
    shutil.copytree(made, tmp_path / "source" / "ds")
    run("datalad", "create", "--force", ".", cwd=tmp_path / "source" / "ds")
    run("datalad", "save", "-m", "all", cwd=tmp_path / "source" / "ds")
    run("datalad", "clone", "source/ds", "ds", cwd=tmp_path)
    root = tmp_path / "ds"
    (dangling, *_) = root.rglob("*bold.nii.gz")
    assert not dangling.exists()
    records = planned(str(root), str(root / "atlas.nii.gz"))
    archive = records.entense.write(tmp_path / "out", shard_size="200kB")
    is_the_same(archive, tmp_path / "out", local)
    assert dangling.exists()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/**/*.tar")}
    records.entense.write(tmp_path / "out", shard_size="200kB")
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/**/*.tar")}


def test_a_table_on_a_server(served, made, kept):  # noqa: F811
    here = et.scan(made, dataset="ds").entense.stage(bold={"suffix": "bold", "space": SPACE})
    url = f"{served.url}/ds/participants.tsv"
    there = here.entense.join_table(url).collect()
    assert there.equals(here.entense.join_table(made / "participants.tsv").collect())
    assert isinstance(there.schema["sex"], pl.Enum)  # from the JSON beside it
    with pytest.raises(et.TableError, match=r"ds/none\.tsv"):
        here.entense.join_table(f"{served.url}/ds/none.tsv")
