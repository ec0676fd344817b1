"""The same bytes on one core and on two, in as many parts as memory asks for, in any shards."""

import json
import os
import subprocess
import sys

import pytest

import entense as et

BOLD = et.volume("bold", mask="mask")

# cores, the table, a folder; prints name, row and digest of each tensor of each way
PROGRAM = """
import os, sys
os.sched_setaffinity(0, set(list(os.sched_getaffinity(0))[: int(sys.argv[1])]))
import hashlib, json, polars as pl, entense as et
from entense.execute import loading
from entense.execute.serial import run
from entense.plan.demand import ITSELF
from entense.plan.survey import survey

table, passes = pl.read_parquet(sys.argv[2]), []
decode = loading.decode
loading.decode = lambda *args: passes.append(1) or decode(*args)
made = {}

def keep(way, row, name, array):
    digest = hashlib.sha256(str((array.dtype, array.shape)).encode() + array.tobytes()).hexdigest()
    made.setdefault(way, {})[f"{name} {row}"] = digest

known = survey(table)
cut = survey(table, ["parcels", "partial"])
for parts in (None, 1, 2, 3):
    # what may be cut is cut; of the others as many are in flight as the budget allows
    for which in (known, cut):
        demand = max((row.demand for row in which.rows), key=lambda demand: demand.bytes())
        memory = None if parts is None else ITSELF + demand.bytes(min(parts, demand.parts))
        passes.clear()
        for outcome in run(which, range(table.height), memory=memory):
            assert outcome.error is None, outcome.error
            for name, array in outcome.arrays.items():
                keep(f"{'all' if which is known else 'cut'} {parts}", outcome.row, name, array)
        print(parts, len(passes), file=sys.stderr)
for shard_size in (1, "1GB"):
    out = f"{sys.argv[3]}/{shard_size}"
    archive = table.entense.write(out, shard_size=shard_size)
    for row in range(len(archive)):
        for name in archive.schema:
            keep(f"shards of {shard_size}", row, name, archive[row][name])
print(json.dumps(made))
"""


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: [0])(0)) < 2, reason="one core")
@pytest.mark.slow
def test_cores_memory_and_shards_change_no_byte(tmp_path, new_study):
    study = new_study(tmp_path, shape=(40, 40, 30))  # three blocks
    study.run("01", frames=50)
    study.run("02", frames=41)
    study.run("03", frames=70)
    atlas = str(study.atlas(labels=tuple(range(1, 39))))
    clean = BOLD.denoise("confounds", "24P", high_pass=0.02).zscore()
    table = study.records.entense.transform(
        raw=BOLD,
        clean=clean.astype("float16"),
        smooth=BOLD.smooth(5.0).zscore().parcellate(atlas),
        coarse=BOLD.detrend().resample(voxel_size=4.0).zscore(),
        parcels=clean.parcellate(atlas),
        partial=clean.parcellate(atlas).partial_correlation(),
    )
    table.write_parquet(tmp_path / "table.parquet")
    one, two = (_made(tmp_path, cores) for cores in ("1", "2"))
    assert one == two
    made = json.loads(one)
    whole = made["all None"]
    assert len(whole) == 6 * 3
    assert len({*whole.values()}) == len(whole)
    for way, digests in made.items():
        assert digests == {name: whole[name] for name in digests}, way
        assert len(digests) == (2 if way.startswith("cut") else 6) * 3


def _made(folder, cores):
    out = folder / f"out{cores}"
    made = subprocess.run(
        [sys.executable, "-c", PROGRAM, cores, str(folder / "table.parquet"), str(out)],
        check=True,
        capture_output=True,
        text=True,
    )
    passes = [int(line.split()[1]) for line in made.stderr.splitlines()][1::2]
    assert passes[:2] == [3, 3]  # of parcels alone: a pass a record, and more where memory is short
    assert 3 < passes[2] < passes[3] <= 9, passes
    return made.stdout
