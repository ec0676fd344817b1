import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from entense.errors import TableError
from entense.records.filters import drop_incomplete, exclude, include

RECORDS = pl.DataFrame(
    {
        "subject": ["01", "02", "03", None],
        "bold": ["/1", "/2", "/3", "/4"],
        "bold_sidecar": [None, "/2.json", None, None],
        "mask": ["/1m", None, "/3m", "/4m"],
        "mask_sidecar": pl.Series([None] * 4, dtype=pl.String),
        "confounds": [None, "/2c", "/3c", "/4c"],
        "confounds_sidecar": pl.Series([None] * 4, dtype=pl.String),
    }
)


@pytest.mark.parametrize(
    ("roles", "kept"), [((), [2, 3]), (("mask",), [0, 2, 3]), (("mask", "confounds"), [2, 3])]
)
def test_records_that_lack_a_role_go(roles, kept):
    assert_frame_equal(drop_incomplete(RECORDS, *roles), RECORDS[kept])
    lazy = drop_incomplete(RECORDS.lazy(), *roles)
    assert isinstance(lazy, pl.LazyFrame)
    assert_frame_equal(lazy.collect(), RECORDS[kept])


def test_an_unknown_role():
    with pytest.raises(TableError, match="there is no role 'masc'; did you mean 'mask'"):
        drop_incomplete(RECORDS, "masc")
    with pytest.raises(TableError, match="there are: bold, mask, confounds"):
        drop_incomplete(RECORDS, "subject")


def test_a_table_without_roles():
    with pytest.raises(TableError, match="needs a table of records, as stage makes it"):
        drop_incomplete(RECORDS.select("subject", "bold"))


def roles(**columns):
    """Make a record table whose columns are roles."""
    sidecars = {f"{name}_sidecar": None for name in columns}
    return pl.DataFrame({**columns, **sidecars})


def test_an_optional_role_is_not_asked_for_unless_it_is_named():
    table = RECORDS.with_columns(mask_found=pl.col("mask").is_not_null())
    assert_frame_equal(drop_incomplete(table), table[1:])
    assert_frame_equal(drop_incomplete(table, "bold", "mask"), table[[0, 2, 3]])
    only = table.select("subject", "mask", "mask_sidecar", "mask_found")
    assert_frame_equal(drop_incomplete(only), only)
    assert_frame_equal(drop_incomplete(only, by="subject"), only)


HEMIS = pl.Struct({"L": pl.String, "R": pl.String})


@pytest.mark.parametrize(
    ("cells", "dtype", "kept"),
    [
        ([{"L": "/l", "R": "/r"}, {"L": "/l", "R": None}, {"L": None, "R": None}, None], HEMIS, 1),
        ([["/a", "/b"], ["/a"], [], None, [None], ["/a", None]], pl.List(pl.String), 2),
        ([[{"L": "/l", "R": "/r"}], [{"L": "/l", "R": None}], [None], []], pl.List(HEMIS), 1),
    ],
)
def test_a_role_of_several_files_needs_them_all(cells, dtype, kept):
    table = roles(surf=pl.Series(cells, dtype=dtype))
    assert_frame_equal(drop_incomplete(table), table[:kept])
    assert_frame_equal(drop_incomplete(table.lazy()).collect(), table[:kept])


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["01", "02", "03"]),
        st.sampled_from(["a", "b", None]),
        st.sampled_from(["rest", "nback"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=10,
)


@given(rows=ROWS, lazy=st.booleans(), over=st.sampled_from(["list", "dict", None]))
def test_groups_go_as_a_whole(rows, lazy, over):
    table = roles(bold=[f"/{n}" if row[3] else None for n, row in enumerate(rows)]).with_columns(
        subject=pl.Series([row[0] for row in rows]),
        session=pl.Series([row[1] for row in rows], dtype=pl.String),
        task=pl.Series([row[2] for row in rows]),
    )
    combinations = {row[1:3] for row in rows} if over == "list" else set()
    if over == "dict":
        sessions = sorted({row[1] for row in rows}, key=str)
        combinations = {(session, row[2]) for session in sessions for row in rows}
        asked = {"session": sessions, "task": sorted({row[2] for row in rows})}
    choice = {"list": ["session", "task"], "dict": over == "dict" and asked, None: None}[over]
    kept = [n for n, row in enumerate(rows) if whole(rows, row[0], combinations)]
    made = drop_incomplete(table.lazy() if lazy else table, by="subject", over=choice)
    assert_frame_equal(made.lazy().collect(), table[kept])


def whole(rows, subject, combinations):
    ours = [row for row in rows if row[0] == subject]
    return all(row[3] for row in ours) and combinations <= {row[1:3] for row in ours}


def test_a_subject_of_another_dataset_is_another_subject():
    rows = [("a", "01", "/a1.nii"), ("b", "01", None), ("b", "02", "/b2.nii")]
    frame = pl.DataFrame(rows, ["dataset", "subject", "bold"], orient="row")
    frame = frame.with_columns(bold_sidecar=pl.lit(None))
    assert drop_incomplete(frame, by="subject")["bold"].to_list() == ["/a1.nii", "/b2.nii"]


def test_over_one_column_of_numbers_by_two():
    table = pl.DataFrame(
        {
            "site": ["x", "x", "y"],
            "subject": ["01", "01", "01"],
            "run": ["01", "2", "1"],
            "bold": ["/1", "/2", "/3"],
            "bold_sidecar": None,
        }
    )
    for over in ("run", ["run"], {"run": [1, 2]}, {"run": ["run-1", "02"]}):
        made = drop_incomplete(table, by=["site", "subject"], over=over)
        assert made["bold"].to_list() == ["/1", "/2"]


def test_what_went_is_logged(caplog):
    table = pl.DataFrame(
        {
            "subject": [f"{n:02}" for n in range(8) for _ in range(2)],
            "bold": [f"/{n}" if n % 2 == 0 or n > 13 else None for n in range(16)],
            "bold_sidecar": None,
        }
    )
    caplog.set_level("INFO", "entense")
    drop_incomplete(table.lazy(), by="subject")
    drop_incomplete(table)
    drop_incomplete(table[14:], by="subject")
    assert caplog.messages == [
        "drop_incomplete: 14 of 16 records went, 7 of 8 groups (subject 00, 01, 02, 03, 04, …)",
        "drop_incomplete: 7 of 16 records went",
        "drop_incomplete: 0 of 2 records went",
    ]


def test_what_drop_incomplete_cannot_be_asked():
    with pytest.raises(TableError, match="no column 'subjet'; did you mean 'subject'"):
        drop_incomplete(RECORDS, by="subjet")
    with pytest.raises(TableError, match="no column 'sesion'"):
        drop_incomplete(RECORDS, by="subject", over=["sesion"])
    with pytest.raises(TableError, match='say which, such as by="subject"'):
        drop_incomplete(RECORDS, over=["subject"])
    records = RECORDS.with_columns(session=pl.lit("test"))
    with pytest.raises(TableError, match="no record has session retst; there is: test"):
        drop_incomplete(records, by="subject", over={"session": ["test", "retst"]})


RUNS = pl.DataFrame(
    {
        "dataset": ["ds"] * 5,
        "subject": ["01", "01", "02", "02", "10"],
        "session": ["a", "b", "a", None, None],
        "run": ["01", "2", "1", None, "10"],
        "age": [1, 2, 3, 4, 5],
    }
)


@pytest.mark.parametrize(
    ("entities", "kept"),
    [
        ({"subject": "01"}, [0, 1]),
        ({"subject": "sub-01"}, [0, 1]),
        ({"subject": ["sub-02", "10"]}, [2, 3, 4]),
        ({"run": 1}, [0, 2]),
        ({"run": "001"}, [0, 2]),
        ({"run": [2, None]}, [1, 3]),
        ({"session": None}, [3, 4]),
        ({"subject": ["01", "02"], "session": "ses-a"}, [0, 2]),
        ({"dataset": "ds"}, [0, 1, 2, 3, 4]),
    ],
)
def test_include_and_exclude_by_entity(entities, kept):
    gone = [n for n in range(5) if n not in kept]
    assert_frame_equal(include(RUNS, **entities), RUNS[kept])
    assert_frame_equal(exclude(RUNS, **entities), RUNS[gone])
    assert_frame_equal(include(RUNS.lazy(), **entities).collect(), RUNS[kept])
    assert_frame_equal(exclude(RUNS.lazy(), **entities).collect(), RUNS[gone])


VALUES = st.sampled_from(["a", "b", "ses-a", None])


@given(
    rows=st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["1", "01", "2"]))),
    session=VALUES | st.lists(VALUES, max_size=3),
    run=st.sampled_from([1, 2, "02"]),
)
def test_include_and_exclude_part_the_records(rows, session, run):
    schema = {"session": pl.String, "run": pl.String}
    table = pl.DataFrame(rows, schema, orient="row").with_row_index("row")
    sessions = [s and s[-1] for s in (session if isinstance(session, list) else [session])]
    kept = [n for n, (s, r) in enumerate(rows) if s in sessions and int(r) == int(run)]
    known = {s for s, _ in rows} >= set(sessions) and int(run) in {int(r) for _, r in rows}
    if rows and not (known and (kept or not sessions)):
        for step in (include, exclude):
            with pytest.raises(TableError, match="no record has"):
                step(table, session=session, run=run)
        return
    inside, outside = (step(table, session=session, run=run) for step in (include, exclude))
    assert inside["row"].to_list() == kept
    assert sorted([*inside["row"], *outside["row"]]) == list(range(len(rows)))


@pytest.mark.parametrize("step", [include, exclude])
def test_what_include_and_exclude_cannot_be_asked(step):
    name = step.__name__
    with pytest.raises(TableError, match=f"{name} asks for 'subjct', .*did you mean 'subject'"):
        step(RUNS, subjct="01")
    with pytest.raises(TableError, match=f"{name} asks for 'age', which is no entity here"):
        step(RUNS, age=1)
    with pytest.raises(TableError, match="no record has subject 1, 3; there is: 01, 02, 10"):
        step(RUNS.lazy(), subject=["1", "01", 3])
    with pytest.raises(TableError, match=r"no record has session c; there is: a, b, \(absent\)"):
        step(RUNS, session="c")
    with pytest.raises(TableError, match=r"no record has subject 01, session .absent. together"):
        step(RUNS, subject="01", session=None)
    with pytest.raises(TableError, match=f"{name} needs an entity, such as {name}.task"):
        step(RUNS)
