"""`events`: a row a trial, from BIDS tables and from the EVs of HCP."""

import csv
import logging
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entense.errors import TableError
from entense.records import drop_incomplete, events, pivot, with_record_id


@pytest.fixture
def records(tmp_path):
    """A record table of files that hold the given texts; None is a record without a file."""

    def make(*texts, name="{}_events.tsv"):
        paths = []
        for n, text in enumerate(texts):
            path = tmp_path / name.format(n)
            path.parent.mkdir(exist_ok=True, parents=True)
            if text is not None:
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
            paths.append(None if text is None else str(path))
        return pl.DataFrame(
            {
                "dataset": "ds",
                "subject": [f"{n:02}" for n in range(len(texts))],
                "events": pl.Series(paths, dtype=pl.String),
                "events_sidecar": None,
            }
        )

    return make


def table(*rows):
    return "\n".join("\t".join(map(str, row)) for row in rows) + "\n"


FACES = table(
    ("onset", "duration", "trial_type", "rt"), (4.5, 1, "face", "0.5"), (2, 1.5, "house", "n/a")
)


def test_a_row_a_trial_by_onset(records):
    df = events(records(FACES, FACES))
    assert df.schema == {
        **records(FACES).schema,
        "trial": pl.Int64,
        "onset": pl.Float64,
        "duration": pl.Float64,
        "trial_type": pl.String,
        "rt": pl.Float64,
    }
    assert df.drop("dataset", "events", "events_sidecar").rows() == [
        ("00", 0, 2.0, 1.5, "house", None),
        ("00", 1, 4.5, 1.0, "face", 0.5),
        ("01", 0, 2.0, 1.5, "house", None),
        ("01", 1, 4.5, 1.0, "face", 0.5),
    ]
    assert with_record_id(df)["record"].to_list()[1] == "ds_sub-00_trial-0001"


def test_the_same_kind_comes_back(records):
    df = records(FACES, FACES)
    lazy = events(df.lazy())
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().equals(events(df))


def test_a_file_that_records_share_is_read_once(records, monkeypatch):
    module, read = sys.modules["entense.records.contents"], []
    content = module._content
    monkeypatch.setattr(module, "_content", lambda path: read.append(path) or content(path))
    df = records(FACES, FACES, FACES).with_columns(pl.col("events").first())
    assert len(events(df)) == 6
    assert read == [df["events"][0]]


def test_types_are_those_that_fit_all_files(records):
    first = table(("onset", "duration", "a", "b", "c"), (1, 0, 1, 2, "n/a"))
    second = table(("onset", "duration", "b", "a", "d"), (1, "n/a", "x", 2.5, "001"))
    df = events(records(first, second))
    assert df.columns[-7:] == ["onset", "duration", "trial_type", "a", "b", "c", "d"]
    assert df["a"].to_list() == [1.0, 2.5]
    assert df["b"].to_list() == ["2", "x"]
    assert df["c"].to_list() == [None, None]
    assert df["duration"].to_list() == [0.0, None]
    assert df["trial_type"].to_list() == [None, None]


@pytest.mark.parametrize(
    "text",
    [
        FACES.replace("\n", "\r\n"),
        "\ufeff" + FACES,
        FACES + "\n\n",
        FACES.replace("\n", "\r"),
        FACES.replace("face", " face "),
    ],
)
def test_other_ways_to_write_it(records, text):
    assert events(records(text)).equals(events(records(FACES)))


def test_a_column_of_the_file_that_is_called_trial(records):
    df = events(records(table(("onset", "duration", "trial"), (1, 1, "go"))))
    assert df.select("trial", "events_trial").rows() == [(0, "go")]


rows = st.lists(
    st.tuples(
        st.floats(0, 1e4, allow_subnormal=False),
        st.sampled_from(["n/a", "0", "1.5"]),
        st.sampled_from(["n/a", "", "a", "b c", "7"]),
    ),
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows, min_size=1, max_size=4))
def test_the_events_agree_with_the_csv_module(records, tables):
    df = records(*(table(("onset", "duration", "kind"), *some) for some in tables))
    expected = []
    for subject, path in df.select("subject", "events").rows():
        with Path(path).open(newline="") as file:
            read = list(csv.DictReader(file, delimiter="\t"))
        for trial, row in enumerate(sorted(read, key=lambda row: float(row["onset"]))):
            kind = None if row["kind"] in ("n/a", "") else row["kind"]
            duration = None if row["duration"] == "n/a" else float(row["duration"])
            expected.append((subject, trial, float(row["onset"]), duration, kind))
    found = events(df).with_columns(pl.col("kind").cast(pl.String))
    assert found.select("subject", "trial", "onset", "duration", "kind").rows() == expected


EVS = {
    "0bk_body": "36.2\t27.5\t1.0\n8\t27.5\t1\n",
    "2bk_cor": " 20.5  2.0 1 \n",
    "0bk_err": "",
    "Sync": "8.26\n",
}


@pytest.fixture
def evs(tmp_path):
    def make(texts=EVS):
        folder = tmp_path / "EVs"
        folder.mkdir()
        for name, text in texts.items():
            (folder / f"{name}.txt").write_text(text)
        paths = sorted(str(path) for path in folder.iterdir())
        return pl.DataFrame({"subject": "1", "events": [paths], "events_sidecar": None})

    return make


def test_the_evs_of_hcp(evs):
    df = events(evs())
    assert df.select("trial", "onset", "duration", "trial_type", "amplitude").rows() == [
        (0, 8.0, 27.5, "0bk_body", 1.0),
        (1, 20.5, 2.0, "2bk_cor", 1.0),
        (2, 36.2, 27.5, "0bk_body", 1.0),
    ]
    assert df.schema["events"] == pl.List(pl.String)
    assert df.schema["amplitude"] == pl.Float64


def test_one_ev_and_several_tables(evs, records):
    one = evs().with_columns(pl.col("events").list.first())
    assert events(one)["trial_type"].to_list() == ["0bk_body"] * 2
    two = records(FACES, FACES).group_by("dataset").agg("events").with_columns(events_sidecar=None)
    assert events(two)["onset"].to_list() == [2.0, 2.0, 4.5, 4.5]
    assert events(two)["trial"].to_list() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("8.26\n", "line 1 has 1 values, not 3"),
        ("1 2 3\n\n4 5 6 7\n", "line 3 has 4 values, not 3"),
        ("1 2 high\n", "line 1: the amplitude high is no number"),
        ("onset duration amplitude\n1 1 1\n", "line 1: the onset onset is no number"),
    ],
)
def test_an_ev_of_another_form(evs, text, said):
    with pytest.raises(TableError, match=rf"bad\.txt: {said}"):
        events(evs({**EVS, "bad": text}))


def test_a_record_without_a_file_is_an_error_that_lists_it(records):
    df = records(FACES, None, FACES, None)
    with pytest.raises(TableError) as error:
        events(df)
    assert str(error.value) == (
        "2 of 4 records have no file for the role 'events' (ds_sub-01, ds_sub-03): leave them out "
        "with .entense.drop_incomplete('events')"
    )
    assert events(drop_incomplete(df, "events"))["subject"].unique(
        maintain_order=True
    ).to_list() == [*("00", "02")]
    with pytest.raises(TableError, match=r"6 of 6 records .*ds_sub-04, …\)"):
        events(records(*[None] * 6).lazy())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        ("time\tduration\n1\t1\n", "has no column 'onset', but time, duration"),
        ("onset\tonset\n1\t1\n", "has the column 'onset' twice"),
        (FACES + FACES, "line 4: the onset onset is no number"),
        ("onset\tduration\n1\tlong\n", "line 2: the duration long is no number"),
        ("onset\tduration\n1\t1\nn/a\t1\n", "line 3 has no onset"),
        ("onset\tduration\n1\t1\nnan\t1\n", "line 3: the onset nan is no number"),
        ("onset\tduration\n1\t1\t2\n", "line 2 has 3 values, not 2"),
        ("onset\tduration\n1\n", "line 2 has 1 values, not 2"),
        ("/annex/objects/MD5E-s1--x.tsv\n", "the content is not here"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(records, text, said):
    df = records(FACES, text)
    with pytest.raises(TableError) as error:
        events(df)
    assert (
        f"1 file(s) of the role 'events' cannot be read as events: {df['events'][1]}: {said}"
        in (str(error.value))
    )
    assert "leave their records out" in str(error.value)


def test_files_that_are_gone_are_counted(records):
    df = pl.concat([records(FACES).with_columns(events=pl.lit(f"/gone/{n}.tsv")) for n in range(7)])
    with pytest.raises(TableError, match=r"7 file\(s\) .*/gone/0.tsv: there is no such.* 2 more"):
        events(df)
    with pytest.raises(
        TableError, match=r"0\.csv: is neither a \.tsv, as BIDS has it, nor a \.txt"
    ):
        events(records(FACES, name="{}.csv"))


def test_a_record_without_a_trial_is_said(records, caplog):
    df = records(FACES, table(("onset", "duration")))
    with caplog.at_level(logging.WARNING, logger="entense"):
        assert events(df)["subject"].unique().to_list() == ["00"]
    assert caplog.messages == [
        "1 of 2 records have no trial in their files for 'events', and so no row: ds_sub-01"
    ]
    none = events(df.tail(1))
    assert none.is_empty()
    assert none.columns == [*df.columns, "trial", "onset", "duration", "trial_type"]


def test_a_clash_of_names(records):
    df = records(FACES).with_columns(rt=1, duration=300)
    with pytest.raises(TableError, match=r"both have the column duration, rt: rename or drop"):
        events(df)
    assert events(df.rename({"rt": "mean_rt"}).drop("duration"))["mean_rt"].to_list() == [1, 1]
    with pytest.raises(TableError, match="both have the column trial, onset"):
        events(events(records(FACES)))


def test_what_is_no_role(records):
    df = records(FACES)
    with pytest.raises(TableError, match="there is no role 'event'; did you mean 'events'"):
        events(df, "event")
    with pytest.raises(TableError, match="the role 'n' holds neither paths nor lists of paths"):
        events(df.with_columns(n=1), "n")


def test_a_missing_file_in_a_list_is_an_error(records):
    df = records(FACES, FACES)
    lists = df.with_columns(events=pl.Series([[df["events"][0], None], [df["events"][1]]]))
    with pytest.raises(TableError, match=r"1 of 2 records have no file .*ds_sub-00"):
        events(lists)


def test_events_of_several_runs_do_not_mix(records):
    df = records(FACES, FACES).with_columns(
        subject=pl.lit("01"), run=pl.Series(["1", "2"]), bold=pl.lit("/b"),
        bold_sidecar=pl.Series([["/b.json"]] * 2),
    )  # fmt: skip
    with pytest.raises(TableError, match=r"hold several runs each.*call events before pivot"):
        events(pivot(df, "subject"))
