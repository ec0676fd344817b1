"""How often files of surfaces and grayordinates are read, and how much of them."""

import brains
import numpy as np
import pytest

import entense as et
from entense.images import cifti, gifti
from entense.plan.shapes import BLOCK
from entense.plan.survey import survey


@pytest.fixture
def counted(monkeypatch):
    """Count the calls of a function of a module: ``counted(module, name)`` returns their list."""

    def count(module, name):
        calls, function = [], getattr(module, name)

        def counting(*args, **kwargs):
            calls.append(args)
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, counting)
        return calls

    return count


def dtseries(folder, i, axis):
    return brains.save_dense(folder / f"{i}.dtseries.nii", brains.noise(i, 9, len(axis)), axis)


def test_a_dtseries_that_feeds_three_tensors_is_read_once(tmp_path, counted):
    axis = brains.small_axis()
    path = dtseries(tmp_path, 0, axis)
    atlas = brains.save_labels(tmp_path / "a.dlabel.nii", np.arange(24) % 3, axis, {1: "a", 2: "b"})
    cortex = et.cifti("bold", structures="cortex")
    table = et.transform(
        brains.table(bold=[path]),
        whole=et.cifti("bold").zscore(),
        cortex=cortex,
        ts=cortex.detrend().parcellate(atlas),
    )
    reads = counted(np, "fromfile")
    frame = et.collect(table)
    assert len(reads) == 1
    values = brains.noise(0, 9, 24)
    np.testing.assert_array_equal(et.to_numpy(frame["cortex"])[0], values[:, :12])
    assert et.to_numpy(frame["whole"])[0].shape == (9, 24)


def test_surfaces_that_feed_two_tensors_are_read_once(tmp_path, counted):
    bold = brains.surfaces(tmp_path, {"L": brains.noise(0, 9, 12), "R": brains.noise(1, 9, 12)})
    mask = {
        side: str(brains.save_keys(tmp_path / f"{side}.label.gii", np.arange(12) % 2, {1: "in"}))
        for side in "LR"
    }
    table = et.transform(
        brains.table(bold=[bold]), whole=et.surface("bold"), some=et.surface("bold", mask=mask)
    )
    reads = counted(gifti, "_image")
    et.collect(table)
    assert sorted(path for (path,) in reads) == sorted([*bold.values(), *mask.values()])


def test_one_axis_of_fifty_files_is_parsed_once(tmp_path, monkeypatch):
    from nibabel.cifti2 import parse_cifti2

    axis = brains.small_axis(left=(0, 2, 5))  # an axis that no other test has parsed
    paths = [dtseries(tmp_path, i, axis) for i in range(50)]
    parsers = []

    class Counting(parse_cifti2.Cifti2Parser):
        def __init__(self, *args, **kwargs):
            parsers.append(1)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(parse_cifti2, "Cifti2Parser", Counting)
    found = survey(et.transform(brains.table(bold=paths), x=et.cifti("bold").zscore()))
    assert found.errors == [None] * 50
    assert {one["x"].shape for one in found.specs} == {(9, len(axis))}
    assert len(parsers) == 1


@pytest.mark.parametrize("kind", ["cifti", "surface"])
def test_explain_reads_headers_and_nothing_else(tmp_path, counted, kind):
    """No value is read: the files are cut off where their values begin to matter."""
    if kind == "cifti":
        axis = brains.small_axis()
        bold = dtseries(tmp_path, 0, axis)
        reads = counted(np, "fromfile")
        shape = "[time: 9, grayordinate: 24]"
    else:
        bold = brains.surfaces(tmp_path, {"L": brains.noise(0, 9, 12), "R": brains.noise(1, 9, 12)})
        reads = counted(gifti, "_image")
        shape = "[time: 9, vertex: 24]"
    tensor = getattr(et, kind)("bold").zscore()
    said = et.transform(brains.table(bold=[bold]), x=tensor).entense.explain()
    assert shape in said
    assert not reads


def test_a_surface_says_its_size_before_its_numbers(tmp_path):
    """The rest of the file may be missing until it is decoded."""
    path = brains.save_series(tmp_path / "hemi-L.func.gii", brains.noise(0, 90, 2000))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    table = et.transform(brains.table(bold=[path]), x=et.surface("bold"))
    assert survey(table).specs[0]["x"].shape == (90, 2000)
    with pytest.raises(et.RecordError, match="damaged"):
        et.collect(table)


def test_a_header_that_was_read_is_not_read_again_for_another_tensor(tmp_path, counted):
    path = dtseries(tmp_path, 0, brains.small_axis())
    table = et.transform(brains.table(bold=[path]), x=et.cifti("bold"), y=et.cifti("bold").zscore())
    reads = counted(cifti, "_xml")
    et.collect(table)
    assert len(reads) == 1


@pytest.mark.parametrize(("kind", "held"), [("cifti", 9 * 24 * 4), ("surface", 9 * 24 * 4)])
def test_files_that_are_held_whole_count_as_memory(tmp_path, kind, held):
    if kind == "cifti":
        bold = dtseries(tmp_path, 0, brains.small_axis())
    else:
        bold = brains.surfaces(tmp_path, {"L": brains.noise(0, 9, 12), "R": brains.noise(1, 9, 12)})
    found = survey(et.transform(brains.table(bold=[bold]), x=getattr(et, kind)("bold")))
    array = 9 * 24 * 4
    demand = found.rows[0].demand
    block = 4 * 9 * BLOCK
    assert demand.bytes() == held + 32 * 24 + block + array  # the file, what is decoded, the tensor
