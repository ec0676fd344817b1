"""Tables that come as files: a file a subject, scans, patterns, and files that are damaged."""

import gzip

import polars as pl
import pytest

from entense.errors import TableError
from entense.records import join_table

RECORDS = pl.DataFrame(
    {
        "subject": ["01", "01", "02", "02"],
        "session": ["a", "b", "a", "b"],
        "task": ["rest", "rest", "rest", "rest"],
        "run": ["1", "2", "1", None],
        "echo": pl.Series([None] * 4, dtype=pl.String),
        "bold": ["/1a", "/1b", "/2a", "/2b"],
    }
)


@pytest.fixture
def write(tmp_path):
    def make(name, text, encoding="utf-8"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(encoding))
        return path

    return make


@pytest.fixture
def sessions(write):
    write("sub-01/sub-01_sessions.tsv", "session_id\tmood\nses-a\t1\nses-b\t2\n")
    write("sub-02/sub-02_sessions.tsv", "session_id\tmood\tdrug\nses-a\t2.5\tnone\nses-b\tn/a\tX\n")


def test_sessions_of_all_subjects(tmp_path, sessions):
    joined = join_table(RECORDS.lazy(), f"{tmp_path}/sub-*/sub-*_sessions.tsv").collect()
    assert joined.drop("mood", "drug").equals(RECORDS)
    assert joined["mood"].to_list() == [1.0, 2.0, 2.5, None]
    assert joined["drug"].to_list() == [None, None, "none", "X"]


def test_sessions_of_one_subject(tmp_path, sessions, caplog):
    path = tmp_path / "sub-01" / "sub-01_sessions.tsv"
    assert join_table(RECORDS, path)["mood"].to_list() == [1, 2, None, None]
    (line,) = caplog.messages
    assert line == f"{path}: 2 of 4 records have no row (subject, session 02/a, 02/b)"


def test_a_list_of_files_of_two_kinds(tmp_path, sessions, write):
    people = write("participants.tsv", "participant_id\tage\nsub-01\t30\nsub-02\t40\n")
    files = [people, *sorted(tmp_path.glob("sub-*/*_sessions.tsv"))]
    joined = join_table(RECORDS, files)
    assert joined.columns == [*RECORDS.columns, "age", "mood", "drug"]
    assert joined["age"].to_list() == [30, 30, 40, 40]
    assert joined["mood"].to_list() == [1.0, 2.0, 2.5, None]


def test_phenotypes_are_joined_one_after_the_other(tmp_path, write):
    write("phenotype/bdi.tsv", "participant_id\tbdi\nsub-01\t3\nsub-02\t4\n")
    write(
        "phenotype/drug.tsv",
        "participant_id\tsession_id\tdose\nsub-01\tses-a\t1\nsub-02\tses-b\t2\n",
    )
    joined = join_table(RECORDS, f"{tmp_path}/phenotype/*.tsv")
    assert joined["bdi"].to_list() == [3, 3, 4, 4]
    assert joined["dose"].to_list() == [1, None, None, 2]


SCANS = {
    ("01", "a"): (
        "anat/sub-01_ses-a_T1w.nii.gz\t09:00\t1\n"
        "anat/sub-01_ses-a_T2w.nii.gz\t09:01\t1\n"
        "fmap/sub-01_ses-a_dir-AP_epi.nii.gz\t09:02\t1\n"
        "func/sub-01_ses-a_task-rest_run-01_sbref.nii.gz\t09:03\t1\n"
        "func/sub-01_ses-a_task-rest_run-01_bold.nii.gz\t09:04\t1\n"
        "func/sub-01_ses-a_task-nback_run-01_bold.nii.gz\t09:05\t1\n"
    ),
    ("01", "b"): (
        "func/sub-01_ses-b_task-rest_run-01_bold.nii.gz\t10:01\t2\n"
        "func/sub-01_ses-b_task-rest_run-02_bold.nii.gz\t10:02\t2\n"
    ),
    ("02", "a"): (
        "func/sub-02_ses-a_task-rest_run-1_echo-1_bold.nii.gz\t11:01\t3\n"
        "func/sub-02_ses-a_task-rest_run-1_echo-2_bold.nii.gz\t11:01\t3\n"
    ),
    ("02", "b"): "func/sub-02_ses-b_task-rest_bold.nii.gz\tn/a\tn/a\n",
}


@pytest.fixture
def scans(tmp_path, write):
    for (subject, session), rows in SCANS.items():
        name = f"sub-{subject}/ses-{session}/sub-{subject}_ses-{session}_scans.tsv"
        write(name, f"filename\tacq_time\trun\n{rows}".replace("\trun\n", "\toperator\n"))
    return f"{tmp_path}/sub-*/ses-*/*_scans.tsv"


def test_scans_match_on_the_entities_of_their_names(scans, caplog):
    joined = join_table(RECORDS, scans)
    assert joined["acq_time"].to_list() == ["09:04", "10:02", "11:01", None]
    assert joined["operator"].to_list() == [1, 2, 3, None]
    assert joined["filename"][2].endswith("_echo-1_bold.nii.gz")
    assert joined.drop("acq_time", "operator", "filename").equals(RECORDS)
    (line,) = caplog.messages
    assert line.endswith(
        "2 of 6 rows have no record (subject, session, task, run 01/a/nback/1, 01/b/rest/1)"
    )


def test_scans_that_are_not_functional(tmp_path, write):
    path = write(
        "sub-01/sub-01_scans.tsv",
        "filename\tq\nanat/sub-01_T1w.nii\t3\nfunc/sub-01_task-x_bold.nii\t4\n",
    )
    records = pl.DataFrame({"subject": ["01"], "task": pl.Series([None], dtype=pl.String)})
    assert join_table(records, path)["q"].to_list() == [3]


def test_echoes_that_differ_are_an_error(scans, tmp_path):
    path = tmp_path / "sub-02" / "ses-a" / "sub-02_ses-a_scans.tsv"
    path.write_text(path.read_text().replace("echo-2_bold.nii.gz\t11:01", "echo-2_bold.nii.gz\t12"))
    with pytest.raises(
        TableError, match=r"more than one row for .* 'rest', run '1' \(row 1, row 2"
    ):
        join_table(RECORDS, scans)


def test_a_column_of_scans_that_is_called_as_an_entity(tmp_path, write):
    path = write("scans.tsv", "filename\trun\nfunc/sub-01_ses-a_task-rest_run-1_bold.nii\tx\n")
    with pytest.raises(TableError, match="both have the column run: rename or drop it"):
        join_table(RECORDS, path)


def test_scans_as_a_frame():
    table = pl.DataFrame(
        {"filename": ["func/sub-01_ses-a_task-rest_run-01_bold.nii"], "ok": [True]}
    )
    assert join_table(RECORDS, table)["ok"].to_list() == [True, None, None, None]


def test_a_key_that_two_files_have(tmp_path, write):
    write("x/sub-01_sessions.tsv", "session_id\tq\nses-a\t1\n")
    write("y/sub-01_sessions.tsv", "session_id\tq\na\t1\n")
    with pytest.raises(
        TableError, match=r"x/sub-01_sessions\.tsv row 1, .*y/sub-01_sessions\.tsv row 1\)"
    ):
        join_table(RECORDS, f"{tmp_path}/*/sub-01_sessions.tsv")


@pytest.mark.parametrize("name", ["t.tsv.gz", "t.csv.gz"])
def test_a_gzipped_table(tmp_path, name):
    separator = "\t" if ".tsv" in name else ","
    text = pl.DataFrame({"subject": ["01", "02"], "age": [30, None]}).write_csv(separator=separator)
    (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    assert join_table(RECORDS, tmp_path / name)["age"].to_list() == [30, 30, None, None]


@pytest.mark.parametrize("change", ["bom", "crlf", "both", "blank lines at the end"])
def test_text_from_other_editors(write, change):
    text = "participant_id\tage\tsex\nsub-01\t30\tF\nsub-02\t31\tM\n"
    if change in ("crlf", "both"):
        text = text.replace("\n", "\r\n")
    if change.startswith("blank"):
        text += "\n\n"
    path = write("p.tsv", text, "utf-8-sig" if change in ("bom", "both") else "utf-8")
    joined = join_table(RECORDS, path)
    assert joined["age"].to_list() == [30, 30, 31, 31]
    assert joined["sex"].to_list() == ["F", "F", "M", "M"]


def test_a_name_with_signs_of_a_pattern(write):
    path = write("[1]/p*.tsv", "participant_id\tage\nsub-01\t30\n")
    assert join_table(RECORDS, path)["age"].to_list() == [30, 30, None, None]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.tsv", "", "the file is empty"),
        ("a.tsv", "participant_id\tage\n", "has no rows about such records"),
        ("a.tsv", "a\tb\n1\t2\n1\t2\t3\n", "has 3 cells in row 2 and 2 in its header"),
        ("a.tsv", "a\tb\tc\n1\t2\t3\n1\t2", "has 2 cells in row 2 .* cut short; copy it again"),
        ("a.csv", 'a,b\n"x,y",2\n"x,y"\n', "has 1 cells in row 2 .* cut short"),
        ("a.tsv", "a\ta\n1\t2\n", "has the column 'a' twice"),
        ("c.parquet", "none", "cannot be read"),
        ("c.tsv.gz", "none", "cannot be read"),
    ],
)
def test_a_damaged_file(write, name, text, said):
    with pytest.raises(TableError, match=f"{name}.*{said}"):
        join_table(RECORDS, write(name, text))


def test_a_gzipped_table_that_is_cut(tmp_path):
    packed = gzip.compress(b"participant_id\tage\n" + b"sub-01\t30\n" * 99)
    (tmp_path / "p.tsv.gz").write_bytes(packed[:-9])
    with pytest.raises(TableError, match=r"p\.tsv\.gz: the file is cut short"):
        join_table(RECORDS, tmp_path / "p.tsv.gz")


def test_text_that_is_not_utf8(write):
    with pytest.raises(TableError, match=r"p\.tsv is not text in UTF-8"):
        join_table(RECORDS, write("p.tsv", "participant_id\tage\nsub-01\t3\n", "utf-16"))


def test_an_empty_cell_at_the_end_is_not_a_cut(write):
    path = write("p.csv", 'subject,name,note\n01,"a, b",\n02,"c\nd",x\n')
    joined = join_table(RECORDS, path)
    assert joined["note"].to_list() == [None, None, "x", "x"]
    assert joined["name"].to_list() == ["a, b", "a, b", "c\nd", "c\nd"]


def test_a_folder(tmp_path):
    with pytest.raises(TableError, match=r"is a folder: name a table in it, or all as .*/\*\.tsv"):
        join_table(RECORDS, tmp_path)


def test_no_file_at_all(tmp_path):
    with pytest.raises(TableError, match=r"no file is named like .*: check the pattern"):
        join_table(RECORDS, f"{tmp_path}/*.tsv")
    with pytest.raises(TableError, match="an empty list of files"):
        join_table(RECORDS, [])


def test_content_that_datalad_has_not_fetched(tmp_path):
    (tmp_path / "p.tsv").symlink_to(".git/annex/objects/XX/p.tsv")
    with pytest.raises(TableError, match=r"git-annex link.*datalad get"):
        join_table(RECORDS, tmp_path / "p.tsv")


def test_ids_that_are_numbers(write, caplog):
    numbers = pl.DataFrame({"subject": [1, 2], "age": [30, 31]})
    with pytest.raises(
        TableError, match=r"has subject 1, 2, the records have subject 01, 02.*01 is not 1"
    ):
        join_table(RECORDS, numbers)
    path = write("p.tsv", "participant_id\tage\n1\t30\n02\t31\n")
    assert join_table(RECORDS, path)["age"].to_list() == [None, None, 31, 31]
    (line,) = caplog.messages
    assert "2 of 4 records have no row (subject 01); 1 of 2 rows have no record (subject 1)" in line
    assert line.endswith("ids are text, in which 01 is not 1: write them alike")
