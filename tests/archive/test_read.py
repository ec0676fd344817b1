import nibabel as nib
import npy_tables
import numpy as np
import pytest

from entense.archive import open_archive
from entense.archive.write import write
from entense.demo.readback import read_back
from entense.errors import ArchiveError


@pytest.fixture
def archive(records, tmp_path):
    return write(records, tmp_path / "out", columns=["age"])


def test_a_record_by_number_and_by_id(archive):
    assert archive[-1]["record"] == archive[8]["record"] == archive["ds_sub-08"]["record"]
    assert set(archive[0]) == {"clean", "fc", "age", "record"}
    for number in (9, -10):
        with pytest.raises(IndexError, match=r"it has 9"):
            archive[number]
    with pytest.raises(KeyError, match=r"sub-99"):
        archive["ds_sub-99"]
    assert [sample["record"] for sample in archive] == archive.records["record"].to_list()


def test_its_manifest_stands_for_the_folder(archive, monkeypatch):
    manifest = archive.folder / "entense.json"
    monkeypatch.chdir(archive.folder)
    for path in (manifest, str(manifest), f"file://{manifest}", "entense.json"):
        assert open_archive(path).verify().records == 9
    with pytest.raises(ArchiveError, match="there is no archive at nowhere;"):
        open_archive("nowhere/entense.json")


def test_the_schema_says_what_the_tensors_are(archive):
    clean, fc = archive.schema["clean"], archive.schema["fc"]
    assert (clean.dims, clean.shape, clean.dtype) == (("time", "voxel"), (12, 20), np.float32)
    assert (clean.tr, fc.tr) == (2.0, None)
    assert fc.coords == {"parcel": (0, 1, 2, 3)}
    assert str(clean) == "float32 (time 12, voxel 20), TR 2 s"
    assert repr(archive).startswith(f"archive {archive.folder}: 9 records (train 6, test 3) in 2")
    assert "clean: float32 (time 12" in repr(archive)


def test_values_go_back_into_the_brain(archive):
    values = archive[3]["clean"]
    image = archive.unmask(values, "clean")
    assert isinstance(image, nib.Nifti1Image)
    inside = npy_tables.mask(20).inside
    np.testing.assert_array_equal(image.get_fdata()[inside].T, values)
    np.testing.assert_array_equal(image.affine, np.diag([2.0, 2, 2, 1]))
    assert archive.unmask(values[0], "clean", record=3).shape == (3, 5, 7)
    with pytest.raises(ArchiveError, match="no voxel axis"):
        archive.unmask(archive[3]["fc"], "fc")


def test_what_cannot_go_back_into_the_brain_is_an_error_in_words(archive):
    with pytest.raises(ArchiveError, match=r"no tensor 'claen'.*did you mean 'clean'"):
        archive.unmask(np.zeros(20), "claen")
    with pytest.raises(ArchiveError, match=r"no tensor 'claen'"):
        archive.read(0, "claen")
    for shape in [(21,), (20, 4), (2, 3, 20), ()]:
        with pytest.raises(ArchiveError, match=r"takes \(20,\) or \(time, 20\)"):
            archive.unmask(np.zeros(shape), "clean")


def test_records_with_masks_of_their_own(tmp_path):
    values = [np.arange(4 * n, dtype="f4").reshape(4, n) for n in (5, 9)]
    table = npy_tables.table(tmp_path / "in", {"clean": values})
    archive = write(table, tmp_path / "out")
    assert archive.schema["clean"].shape == (4, None)
    assert "voxel ragged" in str(archive.schema["clean"])
    assert len(archive.manifest.masks) == 2
    with pytest.raises(ArchiveError, match=r"say whose"):
        archive.unmask(values[1], "clean")
    image = archive.unmask(values[1], "clean", record="ds_sub-01")
    np.testing.assert_array_equal(image.get_fdata()[npy_tables.mask(9).inside].T, values[1])


def test_a_split_that_is_not_there(archive):
    with pytest.raises(ArchiveError, match=r"'valid' is not there .*'train' \(6 rec.*'test' \(3"):
        archive.loader("valid", batch_size=1)


def test_the_demo_reads_nothing_back_where_every_training_record_failed(records, tmp_path, capsys):
    for number in range(6):
        (tmp_path / "inputs" / f"clean-{number}.npy").unlink()
    read_back({"webdataset": write(records, tmp_path / "out", on_error="skip")})
    assert "every record of the split 'train' failed" in capsys.readouterr().out
