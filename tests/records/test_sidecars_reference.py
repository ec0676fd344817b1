"""`sidecars` beside a search that is slow and obvious."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from entense.index import ENTITIES, FILE_SCHEMA
from entense.records.staging.sidecars import json_files, sidecars

ROOT = "/data"


def said(file):
    """The entities of a name; `run-01` is `run-1`."""
    known = {name: file[name] for name in ENTITIES if file[name] is not None}
    known |= {"run": int(known["run"])} if "run" in known else {}
    return known | {f"other {one['key']}": one["value"] for one in file["others"] or ()}


def folder(file):
    return file["path"].rpartition("/")[0] + "/"


def is_twin(json, file):
    return json["path"] == file["path"].removesuffix(file["extension"]) + ".json"


def applies(json, file):
    if json["dataset"] != file["dataset"]:
        return False
    if is_twin(json, file):
        return True
    return (
        json["root"] == file["root"]
        and json["suffix"] == file["suffix"]
        and file["extension"].startswith(json["extension"].removesuffix(".json"))
        and folder(file).startswith(folder(json))
        and said(json).items() <= said(file).items()
    )


def nearness(json, file):
    return (False, folder(json).count("/"), len(said(json))) if not is_twin(json, file) else (True,)


def reference(own, table):
    jsons = [file for file in table if file["extension"].endswith(".json")]
    near = {}
    for file in own:
        for json in jsons:
            if applies(json, file):
                best = near.get(json["path"], (False, 0, 0))
                near[json["path"]] = max(best, nearness(json, file))
    by_path = sorted(near)
    return sorted(by_path, key=lambda path: near[path], reverse=True)


def named(dataset, place, entities, suffix, extension):
    known = {name: value for name, value in entities.items() if value is not None}
    other = known.pop("foo", None)
    words = [f"{ENTITIES[name]}-{value}" for name, value in known.items()]
    words += [] if other is None else [f"foo-{other}"]
    path = "/".join([ROOT, *place, "_".join([*words, suffix]) + extension])
    return {
        **dict.fromkeys(FILE_SCHEMA),
        **known,
        "dataset": dataset,
        "root": ROOT,
        "path": path,
        "suffix": suffix,
        "extension": extension,
        "others": None if other is None else [{"key": "foo", "value": other}],
    }


names = st.fixed_dictionaries(
    {},
    optional={
        "subject": st.sampled_from(["01", "01", "02"]),
        "task": st.sampled_from(["x", "y"]),
        "run": st.sampled_from(["1", "01", "2"]),
        "hemi": st.sampled_from("LR"),
        "foo": st.sampled_from("ab"),
    },
)
places = st.sampled_from([[], ["sub-01"], ["sub-01", "func"], ["sub-01", "func"], ["sub-02"]])
extensions = st.sampled_from([".nii", ".dtseries.nii", ".json", ".json", ".dtseries.json"])
suffixes = st.sampled_from(["bold", "bold", "mask"])
files = st.builds(named, st.sampled_from(["a", "a", "b"]), places, names, suffixes, extensions)


@settings(max_examples=300)
@given(st.lists(files, min_size=1, max_size=14, unique_by=lambda file: file["path"]), st.data())
def test_sidecars_agree_with_the_reference(table, data):
    rows = pl.DataFrame(table, schema=FILE_SCHEMA).with_row_index("_file")
    numbers = st.integers(0, len(table) - 1)
    pairs = data.draw(st.lists(st.tuples(st.integers(0, 3), numbers), max_size=6, unique=True))
    kinds = {"_row": pl.UInt32, "_file": pl.UInt32}
    found = sidecars(pl.DataFrame(pairs, kinds, orient="row"), rows, json_files(rows))
    own = {row: [table[n] for one, n in pairs if one == row] for row, _ in pairs}
    expected = {row: reference(some, table) for row, some in own.items()}
    assert dict(found.rows()) == {row: paths for row, paths in expected.items() if paths}
