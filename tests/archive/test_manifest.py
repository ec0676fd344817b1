from pathlib import Path

import pytest

from entense.archive.manifest import Manifest, ShardFile, sealed, unsealed
from entense.archive.read import open_archive
from entense.archive.write import write
from entense.errors import ArchiveError

WHERE = Path("out/entense.json")


@pytest.fixture
def manifest(records, tmp_path):
    archive = write(records, tmp_path / "out", columns=["age"])
    return (archive.folder / "entense.json").read_bytes()


def test_what_was_sealed_comes_back(manifest):
    assert sealed(unsealed(manifest, dict)) == manifest
    assert Manifest.from_json(manifest, WHERE).columns == {"age": "Float64"}


def test_no_byte_of_it_can_change_unseen(manifest):
    text = manifest
    for place in range(0, len(text), 7):
        bad = bytearray(text)
        bad[place] ^= 1
        with pytest.raises(ArchiveError, match=r"damaged|version|reads"):
            Manifest.from_json(bytes(bad), WHERE)
    for cut in (0, 1, len(text) // 2, len(text) - 1):
        with pytest.raises(ArchiveError, match=r"damaged"):
            Manifest.from_json(text[:cut], WHERE)


@pytest.mark.parametrize("body", [b"[]", b"{}", b"null", b"[" * 100_000, b"\xff"])
def test_what_is_no_manifest_is_refused(body):
    with pytest.raises(ArchiveError, match=r"damaged"):
        Manifest.from_json(body, WHERE)


def test_a_sealed_text_that_lacks_or_adds_parts_is_refused(manifest):
    body = unsealed(manifest, dict)
    for name in ("shards", "masks", "made_by"):
        with pytest.raises(ArchiveError, match=r"damaged"):
            Manifest.from_json(sealed({k: v for k, v in body.items() if k != name}), WHERE)
    with pytest.raises(ArchiveError, match=r"damaged"):
        Manifest.from_json(sealed(body | {"more": 1}), WHERE)


def test_a_newer_version_is_refused(manifest):
    body = unsealed(manifest, dict)
    with pytest.raises(ArchiveError, match=r"upgrade entense"):
        Manifest.from_json(sealed(body | {"version": 3}), WHERE)


def test_an_older_version_is_to_be_written_again(manifest):
    body = unsealed(manifest, dict)
    with pytest.raises(ArchiveError, match=r"version 1 .*write the archive again"):
        Manifest.from_json(sealed(body | {"version": 1}), WHERE)


def test_a_shard_of_no_series_is_refused(manifest):
    body = unsealed(manifest, dict)
    shards = [shard | {"series": 1} for shard in body["shards"]]
    with pytest.raises(ArchiveError, match=r"damaged"):
        Manifest.from_json(sealed(body | {"shards": shards}), WHERE)


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "train/../../up", "", "a\\b", "a\0b"])
def test_a_path_that_leaves_the_folder_is_refused(manifest, path):
    body = unsealed(manifest, dict)
    hostile = vars(ShardFile(path, 1, 1, "train", 1))
    with pytest.raises(ArchiveError, match=r"outside its folder"):
        Manifest.from_json(sealed(body | {"shards": [hostile]}), WHERE)


def test_open_says_what_is_missing(tmp_path, records):
    with pytest.raises(ArchiveError, match=r"no archive at"):
        open_archive(tmp_path / "nowhere")
    archive = write(records, tmp_path / "out")
    (archive.folder / "entense.json").unlink()
    with pytest.raises(ArchiveError, match=r"unfinished; run the same write again"):
        open_archive(archive.folder)
