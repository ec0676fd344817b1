"""Memory: what is estimated, in how many parts it is read, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import entense as et
from entense.execute import loading, room
from entense.execute.room import Room
from entense.execute.serial import run
from entense.plan.demand import ITSELF, Demand
from entense.plan.survey import survey

BOLD = et.volume("bold", mask="mask")

BYTES = st.integers(0, 1 << 40)
DEMANDS = st.builds(Demand, BYTES, BYTES, BYTES, st.integers(1, 400))


@given(DEMANDS, st.data())
def test_more_parts_take_no_more(demand, data):
    parts = data.draw(st.integers(1, demand.parts))
    more = data.draw(st.integers(parts, demand.parts))
    assert demand.bytes(more) <= demand.bytes(parts)
    assert demand.least == demand.bytes(demand.parts) <= demand.bytes()
    assert demand.bytes(parts) >= max(demand.fixed, demand.after)
    assert demand.bytes() == max(demand.decoded + demand.fixed, demand.after)


@given(DEMANDS, st.integers(1, 1 << 42))
def test_as_few_parts_as_fit(demand, memory):
    parts = demand.parts_within(memory)
    assert 1 <= parts <= demand.parts
    if memory >= demand.least:
        assert demand.bytes(parts) <= memory
    if parts > 1:
        assert demand.bytes(parts - 1) > memory


@given(DEMANDS, st.data())
def test_a_part_holds_the_blocks_that_are_counted(demand, data):
    """As `Loaded` cuts them: of the largest part, never less than is estimated for it."""
    parts = data.draw(st.integers(1, demand.parts))
    cuts = [demand.parts * number // parts for number in range(parts + 1)]
    largest = max(np.diff(cuts))
    assert demand.bytes(parts) >= demand.decoded * (largest / demand.parts) * (1 - 1e-12)


# A run within a budget


@pytest.fixture(scope="module")
def large(tmp_path_factory, new_study):
    """Two runs of sixteen blocks of columns."""
    study = new_study(tmp_path_factory.mktemp("large"), shape=(40, 40, 40))
    for subject in ("01", "02"):
        study.run(subject, frames=33)
    return study, str(study.atlas(labels=tuple(range(1, 39))))


def parcels(atlas):
    return BOLD.denoise("confounds", "6P").zscore().parcellate(atlas)


def made(known, memory=None):
    return [
        (outcome.error, {name: array.tobytes() for name, array in outcome.arrays.items()})
        for outcome in run(known, range(len(known.rows)), memory=memory)
    ]


def test_a_smaller_budget_means_more_passes_and_the_same_bytes(large, decodes):
    study, atlas = large
    known = survey(study.records.entense.transform(ts=parcels(atlas), z=parcels(atlas).zscore()))
    demand = known.rows[0].demand
    assert demand.parts == 16
    due = made(known)
    assert sorted(decodes) == sorted(row["bold"] for row in study.rows)
    passes = []
    for parts in (1, 4, 16):
        decodes.clear()
        assert made(known, ITSELF + demand.bytes(parts)) == due
        passes.append(len(decodes))
    assert passes == [2, 8, 32]


@pytest.fixture
def unread(monkeypatch):
    """Whatever is decoded is an error."""

    def refuse(*_):
        raise AssertionError("a voxel was read")

    monkeypatch.setattr(loading, "decode", refuse)


TOO_LARGE = {
    "smoothed whole": lambda atlas: BOLD.smooth(4.0).zscore().parcellate(atlas),
    "voxels": lambda atlas: BOLD.denoise("confounds", "6P").zscore(),
    "voxels as they are": lambda atlas: BOLD,
    "voxels of 16 bits": lambda atlas: BOLD.zscore().astype("float16"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_cannot_be_cut_is_refused_before_anything_runs(large, unread, tmp_path, name):
    study, atlas = large
    table = study.records.entense.transform(x=TOO_LARGE[name](atlas))
    demand = survey(table).rows[0].demand
    budget = ITSELF + demand.least - 1
    numbers = (
        f"takes {demand.with_process(demand.parts) / 1e6:,.0f} MB at the least.*"
        f"memory= allows {budget / 1e6:,.0f} MB; allow more, or compute fewer tensors"
    )
    for use in (
        lambda: table.entense.collect(memory=budget),
        lambda: list(table.entense.collect(memory=budget, streaming=True)),
        lambda: table.entense.write(tmp_path / "out", memory=budget),
        lambda: next(run(survey(table), [1, 0], memory=budget)),
    ):
        with pytest.raises(et.RecipeError, match=numbers) as error:
            use()
        assert any(row["bold"] in str(error.value) for row in study.rows)
    assert not list(tmp_path.rglob("*.tar"))
    if name == "smoothed whole":
        assert demand.parts == 1


def test_the_largest_record_is_the_one_that_is_named(study):
    study.run("01", frames=40)
    long = study.run("02", frames=400)
    known = survey(study.records.entense.transform(x=BOLD.zscore()))
    with pytest.raises(et.RecipeError) as error:
        Room(known, ITSELF + known.rows[0].demand.least).check([0, 1])
    assert str(error.value).startswith(f"{long['bold']}: to compute its tensors takes")
    Room(known, ITSELF + known.rows[0].demand.least).check([0])


# What the first record says


@pytest.fixture
def measured(monkeypatch):
    """Say how much memory is resident, and was at the most."""
    says = {"RSS": 1_000_000_000, "HWM": 1_000_000_000}
    monkeypatch.setattr(room, "_resident", says.__getitem__)
    monkeypatch.setattr(room, "_forget_peak", lambda: True)
    return says


DEMAND = Demand(decoded=80_000_000, fixed=20_000_000, after=0, parts=8)


def roomy(study, records):
    """Return the room for so many records and a little, of rows that take 100 MB each."""
    study.run("01")
    known = survey(study.records.entense.transform(x=BOLD))
    rows = [replace(known.rows[0], demand=DEMAND)] * 9
    return Room(replace(known, rows=rows), ITSELF + records * 100_000_000 + 1000)


def test_the_first_record_is_computed_alone(study, measured):
    place = roomy(study, 4)
    assert place.admits(0, [])
    assert not place.admits(1, [0])
    place.measured()
    assert place.admits(1, [0])


@pytest.mark.parametrize(("taken", "records"), [(0.2, 4), (1.0, 4), (1.5, 2), (2.1, 1), (8.0, 1)])
def test_a_first_record_that_took_more_lowers_what_is_admitted(study, measured, taken, records):
    place = roomy(study, 4)
    place.admits(0, [])
    measured["HWM"] += int(taken * (100_000_000 + ITSELF))
    place.measured()
    admitted = 1
    while place.admits(admitted, range(admitted)):
        admitted += 1
    assert admitted == records
    # what does not fit at once any more is read in parts
    assert place.parts(0) == (1 if taken < 4 else 3)
    before = place.bytes
    measured["HWM"] *= 3
    place.measured()  # the first alone is measured
    assert place.bytes == before


def test_where_the_system_does_not_say_nothing_is_held_back(study, monkeypatch):
    monkeypatch.setattr(room, "_forget_peak", lambda: False)
    place = roomy(study, 2)
    assert place.admits(0, [])
    assert place.admits(1, [0])
    assert not place.admits(2, [0, 1])


def test_without_a_budget_all_are_admitted(study):
    study.run("01")
    known = survey(study.records.entense.transform(x=BOLD))
    place = Room(known, None)
    place.check([0])
    assert place.admits(0, range(1000))
    assert place.parts(0) == 1
