"""Tables whose tensors are .npy files, with a survey and a run that need no JAX.

They stand in for the plan, so that what is tested here is the archive alone. `tests/flow` writes
archives of real images through the real plan.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from entense.archive.schema import as_dtype
from entense.execute.serial import Outcome
from entense.files import MISSING, version_of
from entense.geometry import Mask
from entense.ops.core import Spec, op, ops
from entense.plan.bind import Bound
from entense.plan.rows import Row, Rows
from entense.plan.survey import Survey
from entense.tensors.graph import Node, to_json
from entense.tensors.lazy import cells, column, register, tensor_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

with contextlib.suppress(pl.exceptions.ComputeError):  # `import entense` did it already
    register()

DIMS = {0: (), 1: ("time",), 2: ("time", "voxel")}


def npy(x):
    """Stand for the op that a recipe names."""
    return x


if "npy" not in ops:
    op(npy)


def table(folder: Path, arrays: Mapping[str, Sequence[np.ndarray]], **columns: Any) -> pl.DataFrame:
    """Save arrays as files and return the table of records that has them as lazy tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len(next(iter(arrays.values())))
    columns = {"dataset": "ds", "subject": [f"{i:02}" for i in range(count)], **columns}
    frame = pl.DataFrame({"row": range(count)}).with_columns(
        **{k: pl.lit(v) if isinstance(v, str) else pl.Series(v) for k, v in columns.items()}
    )
    for name, values in arrays.items():
        for i, value in enumerate(values):
            save(folder / f"{name}-{i}.npy", value)
        frame = frame.with_columns(lazy(name, folder, count))
    return frame.drop("row")


def save(path: Path, value: np.ndarray) -> None:
    """Save an array; bfloat16 as its bits, which the name of the file then says."""
    np.save(path, value.view(np.uint16) if value.dtype.name == "bfloat16" else value)


def lazy(name: str, folder: Path, count: int, recipe: str = "npy") -> pl.Expr:
    paths = pl.lit(pl.Series([str(folder / f"{name}-{i}.npy") for i in range(count)]))
    slot = Node(recipe, Node("slot", name="file"))
    return column(slot, {"file": paths}, {"file": pl.String()}).alias(name)


def survey(
    table: pl.DataFrame, tensors: Sequence[str], *, dtype: Mapping[str, str] = {}, how: Any = None
) -> Survey:
    columns = [cells(table[name])["file"] for name in tensors]
    roots = tuple(table.schema[name].root for name in tensors)
    roots = tuple(
        Node("astype", root, dtype=dtype[name]) if name in dtype else root
        for name, root in zip(tensors, roots, strict=True)
    )
    labels, rows = tuple(f"{name}:file" for name in tensors), []
    same: dict[str, Any] = {}  # rows that are alike have one object, as of the real survey
    for paths in zip(*columns, strict=True):
        specs, error = look(dict(zip(tensors, paths, strict=True)), dtype)
        specs = specs and same.setdefault(repr(specs), specs)
        rows.append(Row(Bound(roots, paths, labels), specs, None, error))
    assert tensor_columns(table.schema) == list(tensors)
    recipes = dict(zip(tensors, map(to_json, roots), strict=True))
    versions = {path: version_of(path) or MISSING for row in rows for path in row.bound.paths}
    return Survey(tuple(tensors), recipes, Rows(rows), versions)


def look(paths: Mapping[str, str], dtype: Mapping[str, str]) -> tuple[Any, str | None]:
    try:
        return {name: spec(path, dtype.get(name)) for name, path in paths.items()}, None
    except (OSError, ValueError) as error:
        return None, f"{next(iter(paths.values()))}: cannot be surveyed ({error})"


def spec(path: str, dtype: str | None) -> Spec:
    header = np.load(path, mmap_mode="r")
    shape, name = header.shape, dtype or header.dtype.name
    dims = DIMS.get(len(shape), ("time", *(f"d{i}" for i in range(1, len(shape)))))
    if "fc" in Path(path).name:
        return Spec(("parcel", "parcel"), shape, name, coords={"parcel": tuple(range(shape[0]))})
    return Spec(dims, shape, name, mask=mask(shape[1]) if dims == DIMS[2] else None, tr=2.0)


def mask(voxels: int) -> Mask:
    inside = np.zeros((3, 5, 7), bool)
    inside.ravel()[1 : 1 + voxels] = True
    return Mask.of(inside, np.diag([2.0, 2, 2, 1]))


def run(survey: Survey, rows: Sequence[int], *, memory: int | None = None) -> Iterator[Outcome]:
    for row in rows:
        known = survey.rows[row]
        try:
            arrays = {
                name: load(known.bound.files[f"{name}:file"], known.specs[name].dtype)
                for name in survey.tensors
            }
        except (OSError, ValueError) as error:
            path = known.bound.paths[0]
            yield Outcome(row, None, {}, f"{path}: cannot be read ({error})")
            continue
        counts = {name: {"nonfinite": 0} for name in arrays}
        yield Outcome(row, arrays, counts, None)


def load(path: str, dtype: str) -> np.ndarray:
    value = np.load(path)
    return np.ascontiguousarray(value.astype(as_dtype(dtype)))


def install(patch: Any) -> None:
    """Put the stand-ins where the archive looks for the plan."""
    patch.setattr("entense.plan.survey.survey", survey)
    patch.setattr("entense.execute.serial.run", run)


@pytest.fixture(autouse=True)
def plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the stand-ins in every test."""
    install(monkeypatch)


@pytest.fixture
def records(tmp_path: Path) -> pl.DataFrame:
    """Make a table of 9 records in two splits: a (time, voxel) tensor and a connectome."""
    rng = np.random.default_rng(0)
    return table(
        tmp_path / "inputs",
        {
            "clean": [rng.normal(size=(12, 20)).astype("f4") for _ in range(9)],
            "fc": [rng.normal(size=(4, 4)).astype("f4") for _ in range(9)],
        },
        age=[None if i % 3 == 0 else 20.0 + i for i in range(9)],
        visit=[None if i == 2 else i for i in range(9)],
        sex=["f", "m", None] * 3,
        left=[True, False, None] * 3,
        bold=[f"/somewhere/sub-{i}_bold.nii.gz" for i in range(9)],
        split=["train"] * 6 + ["test"] * 3,
    )


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows that are computed, in order."""
    rows: list[int] = []

    def count(survey: Survey, wanted: Sequence[int], **options: Any) -> Iterator[Outcome]:
        rows.extend(wanted)
        return run(survey, wanted, **options)

    monkeypatch.setattr("entense.execute.serial.run", count)
    return rows
