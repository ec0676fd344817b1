"""One record of three is spoilt: it alone fails, through every way of computing."""

import brains
import numpy as np
import pytest

import entense as et

ROLES = ("bold", "mask", "atlas")


def only_the_second_fails(folder, make, tensor, spoil, words):
    """Spoil the second of three records; see that it alone fails, and says why."""
    files = [make(folder, i) for i in range(3)]
    good = brains.table(**{role: [files[i][role] for i in (0, 2)] for role in ROLES})
    expected = et.collect(transformed(good, tensor))
    path = spoil(files[1])
    records = brains.table(**{role: [one[role] for one in files] for role in ROLES})
    with pytest.raises(et.RecordError) as raised:
        et.collect(transformed(records, tensor))
    for word in ("1 of 3 records", str(path), *words):
        assert word in str(raised.value)
    archive = transformed(records, tensor).entense.write(folder / "out", on_error="skip")
    errors = archive.records["error"]
    assert [error is None for error in errors] == [True, False, True]
    assert all(word in errors[1] for word in words)
    for name in ("clean", "ts"):
        for row, values in zip((0, 2), et.to_numpy(expected[name]), strict=True):
            np.testing.assert_array_equal(archive[row][name], values)
    with pytest.raises(et.ArchiveError, match="1 of 3 records"):
        transformed(records, tensor).entense.write(folder / "other")


def transformed(records, tensor):
    atlas = tensor.parcellate("atlas")
    return et.transform(records, clean=tensor.zscore(), ts=atlas)
