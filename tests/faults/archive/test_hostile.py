"""Archives and names made to do harm: nothing runs, leaves the folder or takes memory on trust."""

import json
import re
import sys
import tarfile
import tracemalloc
from contextlib import contextmanager

import npy_tables
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import entense as et
from entense.archive import open_archive
from entense.archive.manifest import sealed, unsealed
from entense.archive.repair import repair
from entense.archive.store import checksum
from entense.archive.table import PLACEMENT, _is_bounded, names_of_files, to_parquet
from entense.archive.write import write
from entense.errors import ArchiveError, EntenseError

FEW = 2**26  # bytes; what all these small archives need, and far below what they claim
RUNS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class")
RUNS += ("exec", "import", "os.fork", "os.forkpty", "ctypes.dlopen", "socket.connect")
HOSTILE = (
    *(10**12, -1, 2**70, 10**400, 1e308, True, None, "", [], {}, [[]], {"a": 1}, "../../up"),
    *("/etc/passwd", "os.system('touch ran')", "x" * 5000, [10**12, 10**12], ["time"], "object"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    arrays = {"clean": [np.full((12, 20), i, "f4") for i in range(3)]}
    table = npy_tables.table(folder / "inputs", arrays, age=[1.0, 2.0, 3.0])
    with pytest.MonkeyPatch.context() as patch:
        npy_tables.install(patch)
        archive = write(table, folder / "out", columns=["age"])
    manifest = archive.folder / "entense.json"
    body = unsealed(manifest.read_bytes(), dict)
    return archive, body


@pytest.fixture
def archive(made):
    """An archive of three records, put back as it was after the test."""
    folder = made[0].folder
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    yield made[0]
    for path, content in before.items():
        path.write_bytes(content)


def forge(archive, body, table=None):
    """Write a manifest, and records.parquet, as who knows how to seal them."""
    if table is not None:
        file = archive.folder / "records.parquet"
        table.write_parquet(file, compression="zstd", statistics=False, row_group_size=len(table))
        size, crc = checksum(file)
        body = body | {"records": {"path": file.name, "bytes": size, "crc32c": crc}}
    (archive.folder / "entense.json").write_bytes(sealed(body))


def use(folder):
    """Do with an archive all that users do."""
    archive = open_archive(folder)
    assert repr(archive)
    assert json.dumps({name: tensor.plain() for name, tensor in archive.schema.items()})
    archive.verify()
    for name in archive.schema:
        archive.unmask(np.zeros(20, "f4"), name)
    for row in range(len(archive)):
        assert archive[row]["record"]
    list(archive.loader(batch_size=2))


def changed(value, way, hostile):
    """Return a nested value with what lies at the end of a way replaced, or removed."""
    if not way:
        return hostile
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[way[0]] = changed(copy[way[0]], way[1:], hostile)
    return copy


def ways(value):
    yield ()
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from ((key, *rest) for rest in ways(value[key]))


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_manifest_that_says_anything_is_an_error_in_words_or_harmless(made, data):
    archive, body = made
    way = data.draw(st.sampled_from(list(ways(body))[1:]))
    hostile = data.draw(st.sampled_from(HOSTILE))
    file = archive.folder / "entense.json"
    whole = file.read_bytes()
    tracemalloc.start()
    try:
        file.write_bytes(json_or_sealed(changed(body, way, hostile)))
        use(archive.folder)
    except EntenseError as error:
        assert str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        file.write_bytes(whole)
    assert peak < FEW


def json_or_sealed(body):
    try:
        return sealed(body)
    except ValueError:  # a number longer than Python writes
        return b"{" + b"9" * 5000


def watched(folder):
    """Use an archive; return what Python ran, imported or started meanwhile."""
    seen, watching = [], True
    sys.addaudithook(lambda event, _: seen.append(event) if watching else None)
    use(folder)
    watching = False
    return [event for event in seen if event.startswith(RUNS)]


def test_nothing_that_an_archive_names_is_run_or_imported(archive, made):
    usual = []
    for _ in range(2):  # the first imports what reading needs
        usual = watched(archive.folder)
    recipe = json.dumps({"nodes": [["os.system", [], {"command": "touch ran"}]], "version": 1})
    body = made[1]
    body = body | {
        "series": [body["series"][0] | {"format": "os.system"}],
        "recipes": {"clean": recipe},
        "code": {"antigravity": "import antigravity", "format this": "__import__('this')"},
        "made_by": {"entense": "pipe:touch ran"},
        "columns": {"age": "__import__('os').system('touch ran')"},
    }
    forge(archive, body)
    assert watched(archive.folder) == usual
    assert {"antigravity", "this"}.isdisjoint(sys.modules)


HUGE = {"offset": 0, "size": 4 * 10**12, "shape": [10**12, 1], "frames_per_block": 10**12}
WAYS = {
    "record": lambda archive: archive[0],
    "loader": lambda archive: list(archive.loader(batch_size=2)),
    "padded": lambda archive: list(archive.loader(batch_size=2, ragged="pad")),
    "grain": lambda archive: archive.to_grain()[0],
    "torch": lambda archive: list(archive.to_torch()),
}


def claiming(records, **claims):
    """Return records.parquet, in which all tensors are said to lie otherwise."""
    dtypes = PLACEMENT.to_schema()
    fields = [pl.lit(value, dtype=dtypes[name]).alias(name) for name, value in claims.items()]
    return records.with_columns(pl.col("clean").struct.with_fields(*fields))


@contextmanager
def in_little_memory():
    import torch  # noqa: F401  # traced, the import takes many times as long

    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < FEW
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("way", WAYS)
def test_a_tensor_that_is_larger_than_its_shard_takes_no_memory(archive, made, way):
    shards = [shard | {"bytes": 5 * 10**12} for shard in made[1]["shards"]]
    forge(archive, made[1] | {"shards": shards}, claiming(archive.records, **HUGE))
    with in_little_memory(), pytest.raises(ArchiveError, match="is cut short"):
        WAYS[way](open_archive(archive.folder))


def test_what_is_padded_takes_no_more_memory_than_is_due_to_what_it_holds(archive, made):
    """Two tensors that take no byte, of many rows and of many columns."""
    shapes = pl.Series([[2**40, 0], [0, 2**20], [12, 20]], dtype=pl.List(pl.Int64))
    empty = pl.Series([True, True, False])
    fields = pl.col("clean").struct
    tables = archive.records.with_columns(
        fields.with_fields(
            shape=shapes,
            size=pl.when(empty).then(0).otherwise(fields.field("size")),
            crc32c=pl.when(empty).then(pl.lit(b"")).otherwise(fields.field("crc32c")),
        )
    )
    forge(archive, made[1], tables)
    opened = open_archive(archive.folder)
    for options in ({"ragged": "pad"}, {"ragged": "pad", "window": 2**40, "short": "pad"}):
        with in_little_memory(), pytest.raises(ArchiveError, match=r"'clean' would take .* GiB"):
            list(opened.loader(batch_size=3, **options))


@pytest.mark.parametrize("honest", [True, False])
def test_what_a_library_reads_is_no_larger_than_its_shard_either(records, tmp_path, honest):
    archive = write(records.head(3).drop("fc"), tmp_path / "out", format="hdf5")
    body = unsealed((archive.folder / "entense.json").read_bytes(), dict)
    claimed = body["shards"][0]["bytes"] if honest else 5 * 10**12
    body |= {"shards": [body["shards"][0] | {"bytes": claimed}]}
    forge(archive, body, claiming(archive.records, **(HUGE | {"offset": None})))
    words = "is not what its manifest says" if honest else "is cut short"
    for way in WAYS.values():
        with in_little_memory(), pytest.raises(ArchiveError, match=words):
            way(open_archive(archive.folder))


def test_a_record_that_failed_lies_nowhere(archive, made):
    table = archive.records.with_columns(shard=pl.lit(None, pl.Int64))
    body = made[1] | {"shards": [], "splits": {}, "failures": 3}
    forge(archive, body, claiming(table, **(HUGE | {"shard": 0})))
    with pytest.raises(ArchiveError, match="is not what its manifest says"):
        open_archive(archive.folder)


def test_ids_that_follow_each_other_may_take_less_than_a_byte_each(archive, made):
    many = 100_000
    ids = pl.Series("record", [f"r{number:06}" for number in range(many)])
    table = archive.records.clear(many).with_columns(ids, error=pl.lit("e"))
    forge(archive, made[1] | {"shards": [], "splits": {}, "failures": many}, table)
    assert (archive.folder / "records.parquet").stat().st_size < many
    assert len(open_archive(archive.folder)) == many


def test_thousands_of_parcels_that_are_all_covered_are_no_bomb():
    records, parcels = 2_000, 5_000
    crcs = np.random.default_rng(0).bytes(4 * records)
    places = [
        {"shard": 0, "crc32c": crcs[4 * n :][:4], "coverage": [1.0] * parcels}
        for n in range(records)
    ]
    ids = pl.Series("record", [f"sub-{number:06}" for number in range(records)])
    content = to_parquet(pl.DataFrame([ids, pl.Series("x", places, PLACEMENT)]))
    assert 1032 * len(content) < 4 * records * parcels
    assert _is_bounded(content, records)


def bombs(records):
    many = {"record": "a", "split": "all", "shard": 0, "error": "b"}
    zeros = pl.repeat(0, 20_000_000, dtype=pl.Int64, eager=True).implode().alias("shape")
    return {
        "rows": pl.select(pl.repeat(v, 1_000_000).alias(name) for name, v in many.items()),
        "values": records.with_columns(pl.col("clean").struct.with_fields(pl.lit(zeros).first())),
    }


@pytest.mark.parametrize("kind", ["rows", "values"])
@pytest.mark.parametrize("admitted", [False, True])
def test_a_table_that_unpacks_to_far_more_is_refused_unread(
    archive, made, monkeypatch, kind, admitted
):
    """Whether or not the manifest admits how many rows there are."""
    table = bombs(archive.records)[kind]
    forge(archive, made[1] | ({"splits": {"all": len(table)}} if admitted else {}), table)
    assert len((archive.folder / "records.parquet").read_bytes()) < 2**16
    monkeypatch.setattr(pl, "read_parquet", lambda _: pytest.fail("read"))
    with pytest.raises(ArchiveError, match=r"records.parquet is not what its manifest says"):
        open_archive(archive.folder)


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"null", b"\xff", b""])
def test_json_of_any_depth_is_no_more_than_damaged(records, tmp_path, text):
    archive = write(records, tmp_path / "out", shard_size="9kB")
    hidden = archive.folder / ".entense"
    notes = [hidden / "masks.json", *sorted((hidden / "receipts").iterdir())[:1]]
    for note in notes:
        note.write_bytes(text)
    assert repair(records, archive.folder).kept == len(archive.manifest.shards) - 1
    for name, words in (("entense.json", "damaged"), (".entense/begun.json", "is damaged, so")):
        (archive.folder / name).write_bytes(text)
        with pytest.raises(ArchiveError, match=words):
            write(records, archive.folder) if "begun" in name else open_archive(archive.folder)


@pytest.mark.parametrize("linked", ["train", ".entense", "masks", ".entense/receipts"])
def test_a_folder_in_it_that_is_a_link_is_refused(records, tmp_path, linked):
    out, away = tmp_path / "out", tmp_path / "away"
    write(records, out)
    (out / linked).rename(away)
    (out / linked).symlink_to(away)
    before = {path: path.read_bytes() for path in away.rglob("*") if path.is_file()}
    for overwrite in (False, True):
        with pytest.raises(ArchiveError, match=rf"{linked} is a link, and what is written there"):
            write(records, out, columns=["age"], overwrite=overwrite)
    assert {path: path.read_bytes() for path in away.rglob("*") if path.is_file()} == before


def test_a_file_that_is_a_link_is_replaced_and_not_written_through(records, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("thesis")
    out = write(records, tmp_path / "out").folder
    shard = next(out.rglob("*.tar"))
    for path in (shard, out / "entense.json", out / "records.parquet"):
        path.unlink()
        path.symlink_to(precious)
        if path is not shard:
            path.with_name(f".{path.name}.partial").symlink_to(precious)
    assert write(records, out).verify().records == 9
    assert not list(out.rglob("*.partial"))
    assert precious.read_text() == "thesis"


NAMES = st.one_of(
    st.text(min_size=1, max_size=12),
    st.sampled_from(["../up", "/etc/x", "a/../../b", "a\nb", "a\0b", ".", "..", "-", "a" * 300]),
    st.sampled_from(["pipe:touch x", "<script>x</script>", "__key__", "a.pkl", "pickle", "json"]),
    st.from_regex(r"[a-z][a-z0-9_-]{0,5}", fullmatch=True),
)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(subject=NAMES, tensor=NAMES, column=NAMES, split=NAMES, value=NAMES)
@pytest.mark.parametrize("fmt", ["webdataset", "tfrecord"])
def test_no_name_leaves_the_folder_or_breaks_a_tar(
    tmp_path_factory, fmt, subject, tensor, column, split, value
):
    folder = tmp_path_factory.mktemp("names")
    table = npy_tables.table(folder / "inputs", {"x": [np.ones((2, 3), "f4")]}, record=[subject])
    before = sorted(folder.rglob("*"))
    try:
        table = table.rename({"x": tensor}).with_columns(
            pl.lit(value).alias(column), pl.lit(split).alias("split")
        )
        archive = write(table, folder / "out", format=fmt, columns=[column])
    except (EntenseError, pl.exceptions.PolarsError):
        archive = None
    outside = [path for path in sorted(folder.rglob("*")) if folder / "out" not in path.parents]
    assert [path for path in outside if path != folder / "out"] == before
    if archive is None:
        return
    assert list(archive.schema) == [tensor]
    np.testing.assert_array_equal(archive[0][tensor], np.ones((2, 3), "f4"))
    kept = names_of_files(pl.DataFrame({"value": [value]})).item()  # no folder of ours goes along
    assert (archive[0]["record"], archive[0][column]) == (subject, kept)
    for shard in (folder / "out").rglob("*.tar"):
        with tarfile.open(shard) as tar:
            names = tar.getnames()
        assert all(re.fullmatch(r"[\w+-]+(\.[a-z0-9_-]+)?\.(npy|json)", name) for name in names)


def test_html_that_polars_makes_of_a_table_escapes_names(tmp_path):
    attack = "<script>alert(1)</script>"
    table = npy_tables.table(tmp_path / "inputs", {"x": [np.ones(3, "f4")]}, subject=[attack])
    table = table.rename({"x": attack})
    shown = [table, et.Tensor, pl.DataFrame({"x": [repr(table.schema)]})]
    html = "".join(one._repr_html_() for one in shown if hasattr(type(one), "_repr_html_"))
    assert "alert(1)" in html
    assert "<script" not in html
