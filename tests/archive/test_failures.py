"""What is said of records that failed."""

from entense.archive.failures import FailedRecordsError, without_folders


def test_a_long_list_is_cut_and_the_error_has_it_whole():
    failures = {f"sub-{n}": f"file {n} is damaged" for n in range(60_000)}
    error = FailedRecordsError(failures, 70_000)
    lines = str(error).splitlines()
    assert lines[0].startswith("60000 of 70000 records")
    assert len(lines) == 22
    assert "and 59,980 more" in lines[-1]
    assert error.failures == failures


def test_equal_sentences_are_said_once():
    error = FailedRecordsError(dict.fromkeys("abcde", "atlas.nii is gone") | {"f": "other"}, 9)
    assert str(error).splitlines()[1:] == [
        "  a, b, c and 2 more: atlas.nii is gone",
        "  f: other",
    ]


def test_no_folder_stays_in_a_sentence():
    paths = ["/data/my study/bold.nii", "/data/masks/m.nii"]
    for sentence, due in [
        ("/data/my study/bold.nii: is cut; copy it", "bold.nii: is cut; copy it"),
        ("'/data/masks/m.nii' and /data/my study", "'m.nii' and my study"),
        ("a link to /annex/objects/x, which", "a link to x, which"),
        ("time/voxel at 3/4 of s3://bucket/x.nii", "time/voxel at 3/4 of s3://bucket/x.nii"),
    ]:
        assert without_folders(sentence, paths) == due
