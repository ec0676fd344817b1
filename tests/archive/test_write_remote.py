"""An archive written to an object store: the files of a folder, and the same promises."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

import npy_tables
import numpy as np
import pytest
from buckets import KEY, SECRET, bucket, server  # noqa: F401  fixtures
from lying import files, plain

import entense as et
from entense.archive import repair, there
from entense.archive.home import home_of
from entense.archive.locks import locked
from entense.archive.manifest import sealed, unsealed
from entense.archive.store import Remote
from entense.archive.write import write
from entense.cli import main
from entense.errors import ArchiveError

OPTIONS = {"columns": ["age", "sex"], "shard_size": "9kB", "index": ["dali"]}
FIRST = "train/train-000000.tar"
RECEIPT = ".entense/receipts/train-000000.json"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of moto


@pytest.fixture
def due(records, tmp_path):
    write(records, tmp_path / "due", **OPTIONS)
    return plain(files(tmp_path / "due"))


@pytest.fixture
def archive(records, bucket):  # noqa: F811
    return write(records, **bucket.to, **OPTIONS)


@pytest.fixture
def read(monkeypatch):
    """The shards that are read from the store, by name."""
    names, whole = [], Remote.read

    def note(place, *span):
        if not place.url.endswith((".json", ".parquet")):
            names.append(place.url.rpartition("/")[2])
        return whole(place, *span)

    monkeypatch.setattr(Remote, "read", note)
    return names


@pytest.mark.parametrize(
    "fmt",
    ["webdataset", ["tfrecord", "hdf5"], ["parquet", "zarr"], "nifti"],
    ids=lambda fmt: fmt if isinstance(fmt, str) else "+".join(fmt),
)
def test_the_files_are_those_of_a_folder(records, bucket, tmp_path, fmt):  # noqa: F811
    records = records.drop("fc") if fmt == "nifti" else records
    options = {"format": fmt, "columns": ["age"], "shard_size": "3kB"}
    here = write(records, tmp_path / "due", **options)
    there = write(records, **bucket.to, **options)
    assert plain(bucket.contents()) == plain(files(tmp_path / "due"))
    assert there.verify() == here.verify()
    assert set(bucket.versions()) == set(bucket.contents())
    assert there.records.equals(here.records)
    again = et.open(bucket.url, storage_options=bucket.server.options)
    if fmt == "webdataset":
        np.testing.assert_array_equal(again[4]["clean"], here[4]["clean"])


def test_each_file_is_put_once_and_a_rerun_puts_and_reads_no_shard(
    archive,
    records,
    bucket,  # noqa: F811
    computed,
    read,
):
    before = bucket.versions()
    assert set(before.values()) == {1}
    write(records, **bucket.to, **OPTIONS)
    assert bucket.versions() == before
    assert computed == []
    assert not [name for name in read if name.endswith(".tar")]


def test_nothing_stays_in_the_scratch_folder(records, bucket, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    for scratch in (None, tmp_path / "mine" / "scratch"):
        write(records, **bucket.to, **OPTIONS, scratch=scratch, overwrite=True)
    assert [*(tmp_path / "tmp").iterdir(), *(tmp_path / "mine" / "scratch").iterdir()] == []


def test_one_shard_lies_there_while_the_next_is_made(records, bucket, tmp_path, monkeypatch):  # noqa: F811
    most, run = [], npy_tables.run

    def look(*args, **options):
        for outcome in run(*args, **options):
            most.append(len(list((tmp_path / "scratch").rglob("*.tar*"))))
            yield outcome

    monkeypatch.setattr("entense.execute.serial.run", look)
    write(records, **bucket.to, shard_records=1, scratch=tmp_path / "scratch")
    assert len(most) == 9
    assert max(most) <= 2


def test_a_second_writer_with_the_same_scratch_folder_is_refused(
    records,
    bucket,  # noqa: F811
    due,
    tmp_path,
):
    home = home_of(bucket.url, None, tmp_path / "scratch")
    to = bucket.to | {"scratch": tmp_path / "scratch"}
    with locked(home.making):
        with pytest.raises(ArchiveError, match=r"another process is writing into .*scratch"):
            write(records, **to, **OPTIONS)
        assert (home.making / ".entense" / "lock").exists()
    write(records, **to, **OPTIONS)
    assert plain(bucket.contents()) == due


def test_two_that_write_the_same_at_once_end_in_the_same_bytes(
    records,
    bucket,  # noqa: F811
    due,
):
    def try_to(start):
        start.wait()
        with suppress(ArchiveError):  # that shards have gone: the other wrote them anew
            write(records, **bucket.to, **OPTIONS)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(try_to, [Barrier(2)] * 2))
    write(records, **bucket.to, **OPTIONS)
    assert plain(bucket.contents()) == due


def test_what_is_lost_or_damaged_is_written_again_and_nothing_else(
    archive,
    records,
    bucket,  # noqa: F811
    due,
    computed,
):
    def spoilt(name):
        content = bytearray(bucket.get(name))
        content[len(content) // 2] ^= 4
        bucket.put(name, bytes(content))

    rows = [i for i, one in enumerate(archive.records["shard"]) if one == 0]
    for spoil in (bucket.delete, spoilt):
        for name in (FIRST, RECEIPT):
            before = bucket.versions()
            spoil(name)
            computed.clear()
            write(records, **bucket.to, **OPTIONS)
            assert computed == rows
            assert plain(bucket.contents()) == due
            changed = {one for one, n in bucket.versions().items() if n != before.get(one)}
            assert changed == {FIRST, RECEIPT, "entense.json"}


def test_a_receipt_may_be_longer_than_any_manifest(archive, bucket, monkeypatch):  # noqa: F811
    """Of 60,000 records of 400 parcels it is."""
    monkeypatch.setattr("entense.archive.store.LONGEST", 100)
    monkeypatch.setattr("entense.archive.store.CHUNK", 64)
    home = home_of(bucket.url, bucket.to["storage_options"])
    with home.locked():
        assert home.read(RECEIPT) == bucket.get(RECEIPT)


def test_a_shard_that_was_copied_there_anew_is_read_and_kept(
    archive,
    records,
    bucket,  # noqa: F811
    computed,
    read,
):
    content = bucket.get(FIRST)
    path = f"{bucket.name}/out/{FIRST}"
    size = {"chunksize": 5 * 2**20}
    bucket.files.pipe_file(path, content * (11 * 2**20 // len(content)), **size)  # in parts
    bucket.files.pipe_file(path, content)
    receipt = unsealed(bucket.get(RECEIPT), dict)
    receipt["said"][FIRST] = '"0a1b-2"'
    bucket.put(RECEIPT, sealed(receipt))
    write(records, **bucket.to, **OPTIONS)
    assert computed == []
    assert read.count("train-000000.tar") == 1
    assert "train-000001.tar" not in read


def test_an_archive_that_was_copied_from_a_folder_goes_on_there(
    records,
    bucket,  # noqa: F811
    due,
    computed,
):
    for name, content in due.items():
        bucket.put(name, content)
    computed.clear()
    write(records, **bucket.to, **OPTIONS)
    assert computed == []
    assert bucket.contents() == due


def test_a_table_that_has_grown_adds_its_records(records, bucket, due, tmp_path):  # noqa: F811
    write(records.head(7), **bucket.to, **OPTIONS)
    before = bucket.versions()
    write(records, **bucket.to, **OPTIONS)
    assert plain(bucket.contents()) == due
    assert bucket.versions()[FIRST] == before[FIRST] == 1


def test_another_archive_is_refused_unless_it_is_overwritten(archive, records, bucket, tmp_path):  # noqa: F811
    bucket.put("notes.txt", b"mine")
    bucket.put("../out2/notes.txt", b"mine")
    before = bucket.all()
    for other, words in (
        (records.drop("fc"), "differs in the recipe"),
        (records.head(8), "has 1 records"),
    ):
        with pytest.raises(ArchiveError, match=rf"the folder {bucket.url} holds an archive that"):
            write(other, **bucket.to, **OPTIONS)
        with pytest.raises(ArchiveError, match=words):
            write(other, **bucket.to, **OPTIONS)
    assert bucket.all() == before
    options = {"format": "tfrecord", "overwrite": True}
    write(records.drop("fc"), **bucket.to, **options)
    write(records.drop("fc"), tmp_path / "other", format="tfrecord")
    due = plain(files(tmp_path / "other")) | {"notes.txt": b"mine"}
    assert plain(bucket.contents()) == due
    assert bucket.get("../out2/notes.txt") == b"mine"


def test_a_damaged_note_is_refused_unless_it_is_overwritten(archive, records, bucket, due):  # noqa: F811
    bucket.put(".entense/begun.json", b"{}")
    with pytest.raises(ArchiveError, match=r"out/.entense/begun.json is damaged"):
        write(records, **bucket.to, **OPTIONS)
    write(records, **bucket.to, **OPTIONS, overwrite=True)
    assert plain(bucket.contents()) == due


@pytest.mark.parametrize("name", ["a.txt", "train/a.txt", "../out"])
def test_a_folder_that_holds_something_else_is_refused(records, bucket, name):  # noqa: F811
    bucket.put(name, b"mine")
    before = bucket.all()
    for overwrite in (False, True):
        with pytest.raises(ArchiveError, match=rf"{bucket.url} holds something else"):
            write(records, **bucket.to, overwrite=overwrite)
    assert bucket.all() == before


def test_an_object_of_the_folders_name_is_nothing(records, bucket, due):  # noqa: F811
    bucket.call("put_object", Key="out/", Body=b"")
    write(records, **bucket.to, **OPTIONS)
    bucket.call("delete_object", Key="out/")
    assert plain(bucket.contents()) == due


def test_a_bucket_that_is_not_there(records, bucket):  # noqa: F811
    with pytest.raises(ArchiveError, match=r"s3://no-such/out/.*bucket.* see that its bucket is"):
        write(records, "s3://no-such/out", storage_options=bucket.server.options)


@pytest.mark.parametrize("down", [1, 4, 7])
def test_a_server_that_goes_down_is_one_sentence_and_a_rerun_goes_on(
    records,
    bucket,  # noqa: F811
    due,
    monkeypatch,
    down,
):
    run = npy_tables.run

    def stopping(*args, **options):
        for number, outcome in enumerate(run(*args, **options)):
            if number == down:
                bucket.server.stop()
            yield outcome

    with monkeypatch.context() as patch:
        patch.setattr("entense.execute.serial.run", stopping)
        try:
            with pytest.raises(ArchiveError) as raised:
                write(records, **bucket.to, **OPTIONS)
        finally:
            bucket.server.start()
    said = str(raised.value)
    assert said.startswith(bucket.url)
    assert "cannot be written" in said
    assert said.endswith("the shards that are finished are kept")
    assert "\n" not in said
    with pytest.raises(ArchiveError, match="unfinished"):
        et.open(**bucket.to)
    good = [name for name in bucket.versions() if name.startswith(".entense/receipts")]
    write(records, **bucket.to, **OPTIONS)
    assert plain(bucket.contents()) == due
    versions = bucket.versions()
    assert all(versions[name] == 1 for name in good)


def test_what_arrives_cut_is_put_again_and_else_an_error(records, bucket, due, monkeypatch):  # noqa: F811
    import s3fs

    put, cut = s3fs.S3FileSystem._put_file, [1]

    async def cutting(self, here, there, **options):
        if cut:
            cut.pop()
            await self._pipe_file(there, b"half")
        else:
            await put(self, here, there, **options)

    s3fs.S3FileSystem.clear_instance_cache()  # an instance keeps what it began with
    with monkeypatch.context() as patch:
        patch.setattr(s3fs.S3FileSystem, "_put_file", cutting)
        write(records, **bucket.to, **OPTIONS)
        assert plain(bucket.contents()) == due
        cut[:] = range(99)
        with pytest.raises(ArchiveError, match=r"000000.tar: cannot be written \(4 of \d+ bytes"):
            write(records, **bucket.to, **OPTIONS, overwrite=True)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(ArchiveError, match="unfinished"):
        et.open(**bucket.to)
    write(records, **bucket.to, **OPTIONS)
    assert plain(bucket.contents()) == due


def test_a_large_shard_is_put_in_parts_and_known_again(
    bucket,  # noqa: F811
    tmp_path,
    monkeypatch,
    computed,
    read,
):
    monkeypatch.setattr(there, "PART", 5 * 2**20)
    value = np.random.default_rng(0).normal(size=(2000, 2000)).astype("f4")
    table = npy_tables.table(tmp_path / "in", {"fc": [value]})
    archive = write(table, **bucket.to)
    (token,) = unsealed(bucket.get(".entense/receipts/all-000000.json"), dict)["said"].values()
    assert token.endswith('-4"')
    np.testing.assert_array_equal(archive[0]["fc"], value)
    read.clear()
    write(table, **bucket.to)
    assert (len(computed), read) == (1, [])


def test_shards_that_went_meanwhile_are_an_error(records, bucket, monkeypatch):  # noqa: F811
    from entense.archive import finish

    def deleting(*args, **options):
        bucket.delete(FIRST)
        return describe(*args, **options)

    describe = finish.describe
    with monkeypatch.context() as patch:
        patch.setattr(finish, "describe", deleting)
        with pytest.raises(ArchiveError, match=rf"1 finished shards have gone from {bucket.url}"):
            write(records, **bucket.to, **OPTIONS)
    with pytest.raises(ArchiveError, match="unfinished"):
        et.open(**bucket.to)
    assert write(records, **bucket.to, **OPTIONS).verify().records == 9


def test_records_that_fail(records, bucket, tmp_path):  # noqa: F811
    path = tmp_path / "inputs" / "clean-0.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    with pytest.raises(ArchiveError, match="1 of 9 records could not be computed"):
        write(records, **bucket.to, **OPTIONS)
    with pytest.raises(ArchiveError, match="unfinished"):
        et.open(**bucket.to)
    write(records, **bucket.to, **OPTIONS, on_error="skip")
    write(records, tmp_path / "due", **OPTIONS, on_error="skip")
    assert plain(bucket.contents()) == plain(files(tmp_path / "due"))


def test_repair_mends_what_is_damaged_and_nothing_else(archive, records, bucket, computed):  # noqa: F811
    before, due = bucket.versions(), bucket.contents()
    bucket.put(FIRST, b"x" * len(due[FIRST]))
    (mask,) = (name for name in due if name.startswith("masks/"))
    bucket.delete(mask)
    computed.clear()
    done = archive.repair(records)
    assert (done.shards, done.files) == ((FIRST,), (mask,))
    assert done.kept == len(archive.manifest.shards) - 1
    assert computed == archive.records["shard"].eq(0).arg_true().to_list()
    assert bucket.contents() == due
    assert {name for name, n in bucket.versions().items() if n > before[name]} == {FIRST, mask}
    bucket.put("entense.json", b"{}")
    done = repair.repair(records, bucket.url, storage_options=bucket.server.options)
    assert (done.shards, done.files) == ((), ("entense.json",))
    assert bucket.contents() == due
    with pytest.raises(ArchiveError, match=r"nothing in s3://.*/none says how its archive"):
        repair.repair(records, f"s3://{bucket.name}/none", storage_options=bucket.server.options)


def test_secrets_are_in_no_message_and_no_file(records, bucket, tmp_path, caplog):  # noqa: F811
    caplog.set_level(logging.DEBUG, logger="entense")
    options = bucket.server.options | {"token": "to-ken-of-mine"}
    to = {"path": bucket.url, "storage_options": options, "scratch": tmp_path / "scratch"}
    archive = write(records, **to, **OPTIONS)
    said = [repr(archive), repr(home_of(bucket.url, options)), caplog.text]

    def refused(**change):
        with pytest.raises(ArchiveError) as raised:
            write(records, **to | change, **OPTIONS)
        said.append(str(raised.value))
        assert raised.value.__cause__ is None

    refused(storage_options=options | {"client_kwargs": {"endpoint_url": f"http://{SECRET}:1"}})
    refused(path="s3://none/out")
    refused(path=f"{bucket.url}-2", executor="pydra")
    files_there = b"".join(bucket.contents().values())
    for secret in (KEY, SECRET, "to-ken-of-mine"):
        assert not [text for text in said if secret in text]
        assert secret.encode() not in files_there


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://me:se-cret@host/out", r"^https://host/out: archives are written to a folder"),
        ("ftp://host/out", r"^ftp://host/out: archives are written to a folder"),
        ("zip://out::s3://bucket/a.zip", r"archives are written to a folder"),
        ("s3://me:se-cret@bucket/out", r"^s3://bucket/out: the address to write to"),
        ("s3://bucket/out?versionId=se-cret", r"^s3://bucket/out: the address to write to"),
        ("s3://bucket/out#se-cret", r"^s3://bucket/out: the address to write to"),
    ],
)
def test_addresses_that_nothing_is_written_to(url, words, records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for action in (write, repair.repair, et.dry_run):
        with pytest.raises(ArchiveError, match=words) as raised:
            action(records, url)
        assert "se-cret" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["inputs"]


def test_a_scratch_folder_is_of_urls_alone(records, tmp_path):
    with pytest.raises(ArchiveError, match=r"scratch='x' is for .*object store, and .*out is"):
        write(records, tmp_path / "out", scratch="x")
    assert write(records, f"file://{tmp_path}/out").local == tmp_path / "out"


@pytest.fixture
def environment(bucket, monkeypatch):  # noqa: F811
    for name, value in bucket.server.environment.items():
        monkeypatch.setenv(name, value)


def test_the_command_line(records, bucket, tmp_path, environment, capsys):  # noqa: F811
    records.write_parquet(plan := str(tmp_path / "plan.parquet"))
    assert main(["write", plan, bucket.url, "--scratch", str(tmp_path / "scratch")]) == 0
    assert main(["verify", bucket.url, "--json"]) == 0
    bucket.delete(FIRST)
    assert main(["repair", plan, bucket.url]) == 0
    assert f"{FIRST} written again" in capsys.readouterr().out
    assert main(["info", bucket.url]) == 0
    assert main(["write", plan, "https://host/out"]) == 1
    assert "https://host/out: archives are written to" in capsys.readouterr().err


def test_options_of_a_prefix(records, bucket, due):  # noqa: F811
    et.register_storage(f"s3://{bucket.name}", bucket.server.options)
    assert records.entense.write(bucket.url, **OPTIONS).verify().records == 9
    assert plain(bucket.contents()) == due
