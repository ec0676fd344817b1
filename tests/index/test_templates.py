"""Layouts of one's own by path template."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entense.errors import TableError
from entense.index import ENTITIES, Layout, scan
from entense.index.parse import parse
from entense.records import stage

TEMPLATE = "{subject}/visit{session}/{task}_clean.nii.gz"
CLEAN = {"suffix": "bold", "desc": "preproc"}


def lab(*templates, **labels):
    return Layout("lab", templates=dict.fromkeys(templates, labels))


def read(layout, path):
    row = parse(pl.Series([path]), layout).row(0, named=True)
    return {key: value for key, value in row.items() if value is not None}


def test_a_template_goes_all_the_way(grow):
    layout = Layout(
        "lab",
        skip=frozenset({"old"}),
        templates={
            TEMPLATE: CLEAN,
            "{subject}/visit{session}/{task}_mask.nii.gz": {"suffix": "mask", "desc": "brain"},
        },
    )
    names = [
        f"{who}/visit2/rest_{what}.nii.gz" for who in ("ann", "bob") for what in ("clean", "mask")
    ]
    root = grow(*names, "old/visit2/rest_clean.nii.gz", "notes.txt")
    files = scan(root, layout)
    assert files.select(
        "subject", "session", "task", "suffix", "desc", "datatype"
    ).collect().rows() == [
        (who, "2", "rest", suffix, desc, None)
        for who in ("ann", "bob")
        for suffix, desc in (("bold", "preproc"), ("mask", "brain"))
    ]
    assert files.collect()["path"].to_list() == [f"{root}/{name}" for name in names]
    records = stage(files, bold={"suffix": "bold"}, mask={"suffix": "mask"}).collect()
    assert records["mask"].to_list() == [f"{root}/{name}" for name in names[1::2]]


def test_the_example_is_the_template(grow):
    assert lab(TEMPLATE, **CLEAN).expected == TEMPLATE
    assert Layout("lab", expected="x", templates={TEMPLATE: CLEAN}).expected == "x"
    with pytest.raises(TableError, match=r"nothing named like \{subject\}/visit.*\(lab\)"):
        scan(grow("a.txt"), lab(TEMPLATE, **CLEAN))


READ = {
    ("{subject}/{suffix}{extension}", "/01/bold.nii.gz"): ("01", "bold", ".nii.gz"),
    ("sub{subject}_{suffix}.nii", "/sub01_bold.nii"): ("01", "bold", ".nii"),
    ("/{subject}/{suffix}.{task}.nii", "/01/bold.rest.nii"): ("01", "bold", ".nii"),
    ("{datatype}/{subject}_{suffix}.nii", "/func/01_bold.nii"): ("01", "bold", ".nii"),
    ("{subject}/{subject}_{suffix}.nii", "/01/01_bold.nii"): ("01", "bold", ".nii"),
    ("{subject}.feat/{suffix}.dtseries.nii", "/01.feat/bold.dtseries.nii"): (
        "01", "bold", ".dtseries.nii",
    ),
    ("a+b (c)/{subject}$[x].{suffix}.nii", "/a+b (c)/01$[x].bold.nii"): ("01", "bold", ".nii"),
}  # fmt: skip


@pytest.mark.parametrize(("template", "path"), READ)
def test_what_templates_read(template, path):
    found = read(lab(template), path)
    assert (found["subject"], found["suffix"], found["extension"]) == READ[template, path]
    assert found.get("task") == ("rest" if "task" in template else None)
    assert found.get("datatype") == ("func" if "datatype" in template else None)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/ann/visit2/rest_clean.nii",
            "/x/ann/visit2/rest_clean.nii.gz",
            "/visit2/rest_clean.nii.gz",
        ),
        *(
            "/ann/visit/rest_clean.nii.gz",
            "/a_b/visit2/rest_clean.nii.gz",
            "/ann/visit2/clean.nii.gz",
        ),
        "/ann/visit2/restXclean.nii.gz",
    ],
)
def test_what_a_template_does_not_fit(path):
    assert read(lab(TEMPLATE, **CLEAN), path) == {}


def test_the_first_template_that_fits_counts():
    templates = {"{subject}/{suffix}.nii": {"task": "a"}, "{subject}/bold.nii": {"suffix": "x"}}
    found = read(Layout("lab", templates=templates), "/01/bold.nii")
    assert (found["suffix"], found["task"]) == ("bold", "a")
    # what a template has made of a path is no path to the next one
    templates = {"{subject}.nii": {"suffix": "bold"}, "{subject}_{suffix}.nii": {"task": "b"}}
    assert read(Layout("lab", templates=templates), "/01.nii") == read(
        lab("{subject}.nii", suffix="bold"), "/01.nii"
    )


def test_labels_for_all_files_of_a_template():
    found = read(
        lab("{subject}.img", suffix="bold", run=1, extension=".nii", datatype="func"), "/7.img"
    )
    assert found == {
        "subject": "7", "run": "1", "suffix": "bold", "extension": ".nii", "datatype": "func",
    }  # fmt: skip


def test_a_subject_told_twice_and_differently_is_said(caplog):
    layout = lab("{subject}/{subject}_{suffix}.nii")
    assert read(layout, "/01/02_bold.nii")["subject"] == "01"
    assert "/01/02_bold.nii has one entity twice" in caplog.text


@pytest.mark.parametrize(
    ("template", "labels", "words"),
    [
        ("{subject}/{tsk}.nii", CLEAN, r"names 'tsk', which is no entity; did you mean 'task'"),
        ("{subject}/{sub}.nii", CLEAN, r"names 'sub', which is no entity"),
        ("{subject}/{}.nii", CLEAN, r"names '', which is no entity"),
        ("{subject}.nii", {"suffix": "bold", "tsk": "a"}, r"names 'tsk', which is no entity"),
        ("{task}.nii", CLEAN, r"does not tell the subject: write \{subject\}"),
        ("{subject}.nii", {}, r"does not tell the suffix: write \{suffix\}"),
        ("{subject}/bold", CLEAN, r"does not tell the extension: write \{extension\}"),
        ("{subject}.nii/bold", CLEAN, r"does not tell the extension"),
        ("{subject}/{suffix}.nii", CLEAN, r"tells \{suffix\} and is given 'bold' for it"),
        ("{subject}{task}.nii", CLEAN, r"nothing between \{task\} and the one before"),
        ("{subject}/{task}}.nii", CLEAN, r"has a brace"),
        ("{subject}/{task.nii", CLEAN, r"has a brace"),
        ("{subject}.nii", {"suffix": "bo_ld"}, r"is given 'bo_ld' for 'suffix'"),
        ("{subject}.nii", {"suffix": "bold", "task": "$1"}, r"is given '\$1' for 'task'"),
        (
            "{subject}.nii",
            {"suffix": "bold", "extension": "nii"},
            r"is given 'nii' for 'extension'",
        ),
    ],
)
def test_a_template_that_is_wrong(template, labels, words):
    with pytest.raises(TableError, match=words) as error:
        lab(template, **labels)
    assert f"the template {template!r} " in str(error.value)


def test_a_layout_without_an_example():
    with pytest.raises(TableError, match=r"the layout 'lab' needs expected="):
        Layout("lab")


labels = st.text("abcXYZ019+", min_size=1, max_size=4)


@given(
    found=st.dictionaries(st.sampled_from([*ENTITIES]), labels, max_size=6),
    parting=st.sampled_from(["/", "_", "_x/", ".", "/$"]),
)
def test_what_was_written_is_read(found, parting):
    found |= {"subject": "s1"}
    template = parting.join(f"{{{entity}}}" for entity in found) + f"{parting}x.nii"
    path = f"/{parting.join(found.values())}{parting}x.nii"
    whole = {**found, "suffix": "bold", "extension": ".nii"}
    if parting == ".":
        whole["extension"] = ".x.nii"
    assert read(lab(template, suffix="bold"), path) == whole
