"""`stage` beside a matcher that is slow and obvious."""

from dataclasses import replace

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from entense.errors import TableError
from entense.index import FILE_SCHEMA, IDENTIFYING
from entense.records import Role, role, stage

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


def compared(role: Role) -> tuple[str, ...]:
    return IDENTIFYING if role.on is None else role.on


def contradicts(file: File, record: File, role: Role) -> bool:
    for entity in compared(role):
        ours, theirs = label(entity, record[entity]), label(entity, file[entity])
        if entity not in role.query and None not in (ours, theirs) and ours != theirs:
            return True
    return False


def score(file: File, record: File, role: Role) -> tuple[int, bool]:
    shared = 0
    for entity in compared(role):
        ours, theirs = label(entity, record[entity]), label(entity, file[entity])
        shared += ours is not None and ours == theirs
    return shared, file["datatype"] == "func"


def are_hemispheres(files: list[File], query: dict) -> bool:
    sides = query["hemi"] if "hemi" in query else list({file["hemi"] for file in files})
    return isinstance(sides, list) and sorted(map(str, sides)) == ["L", "R"]


def the_one(files: list[File]) -> str | None:
    if len(files) > 1:
        raise TableError("a tie")
    return files[0]["path"] if files else None


def one_or_two(files: list[File], choose, *, paired: bool) -> object:
    if not paired:
        return choose(files)
    two = {side: choose([file for file in files if file["hemi"] == side]) for side in "LR"}
    return two if any(two.values()) else None


def fill(record: File, matching: list[File], role: Role) -> object:
    def best(files: list[File]) -> str | None:
        top = max((score(file, record, role) for file in files), default=None)
        return the_one([file for file in files if score(file, record, role) == top])

    fitting = [file for file in matching if not contradicts(file, record, role)]
    if role.many:
        return sorted(file["path"] for file in fitting) or None
    return one_or_two(fitting, best, paired=are_hemispheres(matching, role.query))


def reference(files: list[File], bold: dict, mask: Role) -> list[tuple[object, object]]:
    anchors = [file for file in files if asked_for(file, bold)]
    anchors = [file for file in anchors if file["subject"]] or anchors
    matching = [file for file in files if asked_for(file, mask.query)]
    if not anchors or (not matching and not mask.optional):
        raise TableError("nothing there")
    records: dict[tuple, list[File]] = {}
    for file in anchors:
        key = tuple(label(entity, file[entity]) for entity in IDENTIFYING)
        records.setdefault(key, []).append(file)
    paired = are_hemispheres(anchors, bold)
    return [
        (one_or_two(own, the_one, paired=paired), fill(own[0], matching, mask))
        for own in records.values()
    ]


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
sides = st.sampled_from([some(None), some("L", "R"), some("L", "R", None)])


def files_of(suffix: str, most: int) -> st.SearchStrategy[list[File]]:
    """Files that differ; in most lists all are of a hemisphere, or none."""
    kind = sides.map(lambda hemi: {**entities, "hemi": hemi, "suffix": st.just(suffix)})
    one_kind = kind.map(st.fixed_dictionaries)
    return one_kind.flatmap(
        lambda file: st.lists(
            file, min_size=1, max_size=most, unique_by=lambda one: tuple(one.values())
        )
    )


tables = st.builds(list.__add__, files_of("bold", 5), files_of("mask", 6))
queries = st.fixed_dictionaries(
    {},
    optional={
        "subject": some("01"),
        "session": some("a", None),
        "run": st.sampled_from([1, "01", [1, 2], None, [None, 2]]),
        "space": st.sampled_from(["M", ["M", "T"], None]),
        "desc": some("p", None),
        "hemi": st.sampled_from(["L", ["L", "R"], None, ["R", None]]),
    },
)
ons = st.sampled_from([None, None, "subject", ["subject", "session"], []])
roles = st.builds(role, queries, many=st.booleans(), optional=st.booleans(), on=ons)


def in_any_order(rows) -> list[str]:
    several = [[sorted(cell) if isinstance(cell, list) else cell for cell in row] for row in rows]
    return sorted(map(repr, several))


@settings(max_examples=300)
@given(tables, queries, roles)
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
    bold, mask = {"suffix": "bold", **bold}, replace(mask, query={"suffix": "mask", **mask.query})
    try:
        expected = in_any_order(reference(files, bold, mask))
    except TableError:
        expected = None
    try:
        records = stage(table, bold=bold, mask=mask).drop("bold_tr").collect()
        found = in_any_order(records.select("bold", "mask").rows())
        if mask.optional:
            whole = [
                one is not None and None not in dict(one).values()
                if isinstance(one, dict)
                else one is not None
                for one in records["mask"].to_list()
            ]
            assert records["mask_found"].to_list() == whole
    except TableError:
        found = None
    assert found == expected
