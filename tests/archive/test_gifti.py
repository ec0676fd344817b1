"""Our GIFTI against nibabel."""

import base64
from dataclasses import replace

import nibabel as nib
import npy_tables
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import any_bits, check_reads_back, spec_of

from entense.archive.formats.base import Sample
from entense.archive.formats.foreign import Shared
from entense.archive.formats.gifti import HELD, Gifti
from entense.archive.read import open_archive
from entense.archive.repair import repair
from entense.archive.write import write
from entense.errors import ArchiveError
from entense.geometry import Grayordinates, Mask
from entense.geometry.grayordinates import CORTEX, PREFIX, Sides, Structure
from entense.images.gifti import read_surface
from entense.plan.rows import Rows

FMT = Gifti()
RNG = np.random.default_rng(0)
BOTH = Grayordinates.of_surface({
    CORTEX["L"]: RNG.random(50) > 0.4, CORTEX["R"]: RNG.random(40) > 0.4
})  # fmt: skip
TURNED = Grayordinates((Structure(CORTEX["L"], 9, np.array([4, 0, 7, 2], "i4")),))
MASKS = [BOTH, BOTH.select(["cortex_left"]), BOTH.select(["cortex_right"]), TURNED]
SCALARS = {"age": 34, "sex": '"<f> & é', "left": None, "index": "none", "site": float("nan")}


def save(folder, array, mask, **known):
    """Write a tensor as the archive does, and return its files."""
    spec = spec_of(array, mask=mask, dims=("time", "vertex")[2 - array.ndim :], **known)
    sample = Sample("s1", {"x": array}, SCALARS, {"x": spec})
    FMT.check("x", spec)
    assert FMT.size(sample) > array.nbytes
    paths = [folder / f"s1{ending}" for ending in FMT.suffixes(spec)]
    for path, part in zip(paths, FMT.parted(sample), strict=True):
        sink = FMT.begin(path, Shared())
        sink.append(part)
        sink.close()
    return paths


def numbers(mask, frames, dtype="float32", seed=0):
    shape = (mask.size,) if frames is None else (frames, mask.size)
    return any_bits(dtype, shape, seed)


@given(
    st.sampled_from(MASKS), st.none() | st.integers(1, 5), st.sampled_from([*HELD]), st.integers(0)
)
def test_the_very_bytes_come_back(tmp_path_factory, mask, frames, dtype, seed):
    array = numbers(mask, frames, dtype, seed)
    paths = save(tmp_path_factory.mktemp("gifti"), array, mask, tr=0.8)
    check_reads_back(FMT, paths[0], {"s1": ({"x": array}, SCALARS)})


@pytest.mark.parametrize("dtype", HELD)
@pytest.mark.parametrize("frames", [None, 1, 4])
def test_nibabel_reads_each_hemisphere(tmp_path, dtype, frames):
    shape = (BOTH.size,) if frames is None else (frames, BOTH.size)
    array = RNG.uniform(1, 200, shape).astype(dtype)
    paths = save(tmp_path, array, BOTH, tr=0.8, scale=0.5)
    kind = "shape" if frames is None else "func"
    assert [path.name for path in paths] == [f"s1_hemi-{side}.{kind}.gii" for side in "LR"]
    columns = np.split(np.atleast_2d(array), [len(BOTH.structures[0].index)], axis=1)
    saids = ("CortexLeft", "CortexRight")
    for path, side, part, said in zip(paths, BOTH.structures, columns, saids, strict=True):
        image = nib.load(path)
        data = np.stack([one.data for one in image.darrays])
        assert data.dtype == dtype
        np.testing.assert_array_equal(data[:, side.index], part)
        assert not np.delete(data, side.index, axis=1).any()
        assert data.shape == (frames or 1, side.vertices)
        intent = nib.nifti1.intent_codes.code[image.darrays[0].intent]
        assert intent == nib.nifti1.intent_codes.code["none" if frames is None else "time series"]
        assert dict(image.meta) == {
            "record": "s1", "age": "34", "sex": '"<f> & é', "index": "none",
            "AnatomicalStructurePrimary": said,
        }  # fmt: skip
        known = [dict(one.meta) for one in image.darrays]
        assert known[0].pop("index")
        assert known == [{"tr": "0.8", "scale": "0.5"}] * len(known)


def test_our_own_reader_takes_both(tmp_path):
    whole = Grayordinates.of_surface({name: np.ones(30, bool) for name in CORTEX.values()})
    array = RNG.normal(size=(4, 60)).astype("f4")
    series = read_surface(Sides(*map(str, save(tmp_path, array, whole))))
    assert series.axis == whole
    np.testing.assert_array_equal([frame.copy() for frame in series.read()], array)


def test_the_same_tensor_gives_the_same_bytes(tmp_path):
    array = numbers(BOTH, 3)
    for name in "ab":
        (tmp_path / name).mkdir()
    one, other = (save(tmp_path / name, array, BOTH) for name in "ab")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_what_gifti_does_not_hold_is_refused_with_a_remedy():
    spec = spec_of(numbers(BOTH, 3), mask=BOTH, dims=("time", "vertex"))
    for dtype, instead in {"bool": "uint8", "float16": "float32", "int16": "int32"}.items():
        with pytest.raises(ArchiveError, match=f'use dtype={{"x": "{instead}"}}'):
            FMT.check("x", replace(spec, dtype=dtype))
    with pytest.raises(ArchiveError, match='format="tfrecord"'):
        FMT.check("x", replace(spec, dtype="float64"))
    stem = Structure(f"{PREFIX}BRAIN_STEM", 0, np.zeros((1, 3), "i4"))
    gray = Grayordinates((*BOTH.structures, stem), (1, 1, 1), np.eye(4))
    unsaid = Grayordinates.of_surface({f"{PREFIX}CORTEX": np.ones(3, bool)})
    for mask in (None, Mask.of(np.ones((1, 1, 2), bool), np.eye(4)), gray, unsaid):
        with pytest.raises(ArchiveError, match="vertices of the left and the right cortex"):
            FMT.check("x", replace(spec, mask=mask))


def test_a_file_cut_anywhere_is_an_error(tmp_path):
    (left,) = save(tmp_path, numbers(TURNED, 2), TURNED)
    whole = left.read_bytes()
    for length in range(0, whole.rindex(b"</Data>") + 6, 7):
        left.write_bytes(whole[:length])
        with pytest.raises(ArchiveError, match=r"gii cannot be read as gifti"):
            FMT.read(left, "s1", "x", 0, 2)


@pytest.mark.parametrize(
    ("was", "is_now"),
    [
        (b"NIFTI_TYPE_FLOAT32", b"NIFTI_TYPE_FLOAT64"),
        (b"<Name>index</Name>", b"<Name>indes</Name>"),
        (base64.b64encode(b"\x01\0\0\0")[:4], b"////"),
        (b"<Data>", b'<!ENTITY a "b">'),
        (b"AQAAAAIAAAA=", base64.b64encode(bytes(400_000))),  # each frame would be 100,000 numbers
    ],
)
def test_a_hostile_file_is_an_error(tmp_path, was, is_now):
    mask = Grayordinates.of_surface({CORTEX["L"]: np.array([False, True, True])})
    (path,) = save(tmp_path, numbers(mask, 2), mask)
    content = path.read_bytes()
    assert was in content
    path.write_bytes(content.replace(was, is_now))
    with pytest.raises(ArchiveError, match=r"gii cannot be read as gifti"):
        FMT.read(path, "s1", "x", 0, 2)


@pytest.fixture
def surfaces(tmp_path, monkeypatch):
    """Five records of both hemispheres."""
    from entense.plan import survey

    planned = survey.survey  # the stand-in

    def with_vertices(*args, **kwargs):
        known = planned(*args, **kwargs)
        rows = [replace(row, specs=dict(map(turned, row.specs.items()))) for row in known.rows]
        return replace(known, rows=Rows(rows))

    def turned(named):
        return named[0], replace(named[1], dims=("time", "vertex"), mask=BOTH)

    monkeypatch.setattr(survey, "survey", with_vertices)
    series = [RNG.normal(size=(6, BOTH.size)).astype("f4") for _ in range(5)]
    return npy_tables.table(tmp_path / "in", {"clean": series}, age=[*range(5)]), series


def test_an_archive_has_two_files_a_record_and_mends_either(surfaces, tmp_path):
    records, series = surfaces
    out = tmp_path / "out"
    archive = write(records, out, format=["gifti", "hdf5"], columns=["age"], shard_records=2)
    names = [shard.path for shard in archive.manifest.shards if shard.path.endswith(".gii")]
    assert names[:2] == [f"gifti/all/clean/ds_sub-00_hemi-{side}.func.gii" for side in "LR"]
    assert len(names) == 10
    for row, array in enumerate(series):
        np.testing.assert_array_equal(archive[row]["clean"], array)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for name in names[2:4]:
        (out / name).write_bytes((out / names[0]).read_bytes())
        with pytest.raises(ArchiveError, match=rf"{name} has .*; records ds_sub-01") as error:
            archive.verify()
        assert len(error.value.damage) == 1
        with pytest.raises(ArchiveError):
            open_archive(out)[1]
        repair(records, out)
        assert {path: path.read_bytes() for path in before} == before
    windows = archive.loader(batch_size=2, window=3, windows_per_record=2, seed=0)
    for batch in windows:
        for record, start, window in zip(
            batch["record"], batch["start"], batch["clean"], strict=True
        ):
            row = archive.row(record)
            np.testing.assert_array_equal(window, series[row][start : start + 3])
