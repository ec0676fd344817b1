"""`stage` beside a matcher that is slow and obvious."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from entense.errors import TableError
from entense.index import FILE_SCHEMA, IDENTIFYING
from entense.records import stage

File = dict[str, str | None]


def label(entity: str, value: object) -> object:
    if value is None:
        return None
    return int(str(value)) if entity in ("run", "echo") else str(value)


def asked_for(file: File, query: dict) -> bool:
    for name, wanted in query.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        if label(name, file[name]) not in [label(name, value) for value in values]:
            return False
    return True


def contradicts(file: File, record: File, query: dict) -> bool:
    for entity in IDENTIFYING:
        ours, theirs = label(entity, record[entity]), label(entity, file[entity])
        if entity not in query and None not in (ours, theirs) and ours != theirs:
            return True
    return False


def score(file: File, record: File) -> tuple[int, bool]:
    shared = 0
    for entity in IDENTIFYING:
        ours, theirs = label(entity, record[entity]), label(entity, file[entity])
        shared += ours is not None and ours == theirs
    return shared, file["datatype"] == "func"


def fill(record: File, files: list[File], query: dict) -> str | None:
    fitting = [f for f in files if asked_for(f, query) and not contradicts(f, record, query)]
    if not fitting:
        return None
    best = max(score(file, record) for file in fitting)
    winners = [file["path"] for file in fitting if score(file, record) == best]
    if len(winners) > 1:
        raise TableError("a tie")
    return winners[0]


def reference(files: list[File], bold: dict, mask: dict) -> dict[str | None, str | None]:
    anchors = [file for file in files if asked_for(file, bold)]
    ids = [tuple(label(entity, file[entity]) for entity in IDENTIFYING) for file in anchors]
    if not anchors or len(set(ids)) < len(ids):
        raise TableError("no record, or one twice")
    if not any(asked_for(file, mask) for file in files):
        raise TableError("nothing there")
    return {file["path"]: fill(file, files, mask) for file in anchors}


def some(*values: str | None) -> st.SearchStrategy[str | None]:
    return st.sampled_from(values)


entities = {
    "subject": some("01", "02", None),
    "session": some("a", None),
    "task": some("x", "y", None),
    "run": some("1", "01", "2", None),
    "space": some("M", "T", None),
    "desc": some("p", None),
    "datatype": some("func", "anat"),
}
tables = st.lists(
    st.fixed_dictionaries({**entities, "suffix": some("bold", "mask", "mask")}),
    min_size=1,
    max_size=12,
    unique_by=lambda file: tuple(file.values()),
)
queries = st.fixed_dictionaries(
    {},
    optional={
        "subject": some("01"),
        "session": some("a", None),
        "run": st.sampled_from([1, "01", [1, 2], None, [None, 2]]),
        "space": st.sampled_from(["M", ["M", "T"], None]),
        "desc": some("p", None),
    },
)


@given(tables, queries, queries)
def test_stage_agrees_with_the_reference(files, bold, mask):
    files = [
        {
            **dict.fromkeys(FILE_SCHEMA),
            "dataset": "ds",
            "extension": ".nii",
            **file,
            "path": f"/{n}.nii",
        }
        for n, file in enumerate(files)
    ]
    table = pl.DataFrame(files, schema=FILE_SCHEMA)
    bold, mask = {"suffix": "bold", **bold}, {"suffix": "mask", **mask}
    try:
        expected = reference(files, bold, mask)
    except TableError:
        expected = None
    try:
        records = stage(table, bold=bold, mask=mask).select("bold", "mask").collect()
        found = dict(records.rows())
        assert len(found) == len(records)
    except TableError:
        found = None
    assert found == expected
