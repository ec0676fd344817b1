import math
import sys

import polars as pl
import pytest

from entense.index import scan
from entense.records import drop_incomplete, join_table, split, stage

SIDECARS = {
    "01": '{"RepetitionTime": 2}',
    "02": "{}",
    "03": "{ not json",
    "05": '{"RepetitionTime": 0.72}',
}
OTHERS = {
    "06": '["RepetitionTime"]',
    "07": '{"RepetitionTime": "fast"}',
    "08": '{"RepetitionTime": null}',
}


@pytest.fixture
def records(tmp_path):
    for subject in (*SIDECARS, *OTHERS, "04"):
        folder = tmp_path / f"sub-{subject}" / "func"
        folder.mkdir(parents=True)
        (folder / f"sub-{subject}_bold.nii.gz").touch()
        (folder / f"sub-{subject}_mask.nii.gz").touch()
        if text := {**SIDECARS, **OTHERS}.get(subject):
            (folder / f"sub-{subject}_bold.json").write_text(text)
    return stage(scan(tmp_path), bold={"suffix": "bold"}, mask={"suffix": "mask"})


@pytest.fixture
def reads(monkeypatch):
    """List the files that are read."""
    module, paths = sys.modules["entense.records.contents"], []
    content = module._content
    monkeypatch.setattr(module, "_content", lambda path: paths.append(path) or content(path))
    return paths


def test_the_repetition_time(records):
    found = dict(records.select("subject", "bold_tr").collect().rows())
    assert math.isnan(found.pop("03"))
    assert math.isnan(found.pop("06"))
    assert math.isnan(found.pop("07"))
    assert found == {"01": 2.0, "02": None, "04": None, "05": 0.72, "08": None}
    assert records.collect_schema()["bold_tr"] == pl.Float64


def test_only_bold_has_one(records):
    assert "mask_tr" not in records.collect_schema()


def test_a_sidecar_whose_content_is_elsewhere(tmp_path):
    (tmp_path / "sub-01_bold.nii").touch()
    (tmp_path / "sub-01_bold.json").symlink_to("nowhere")
    records = stage(scan(tmp_path), bold={"suffix": "bold"})
    assert math.isnan(records.collect()["bold_tr"].item())


def test_nothing_is_read_unless_it_is_used(records, reads):
    ages = pl.DataFrame({"subject": list(SIDECARS), "age": 30})
    chain = split(drop_incomplete(join_table(records, ages)), {"a": 0.5, "b": 0.5})
    chain.select("subject", "bold", "bold_sidecar", "age", "split").collect()
    assert reads == []
    chain.collect()
    assert len(reads) == 7


def test_a_filter_is_applied_before_anything_is_read(records, reads):
    records.filter(pl.col("subject") == "05").collect()
    assert [path.split("/")[-1] for path in reads] == ["sub-05_bold.json"]


def listed(records, role="bold"):
    """The sidecars of each record, without their folders."""
    return [
        cell and [path.split("/")[-1] for path in cell]
        for cell in records.select(f"{role}_sidecar").collect()[f"{role}_sidecar"].to_list()
    ]


def test_nearest_first(files):
    func = "sub-01/func/sub-01"
    table = files(
        f"{func}_task-x_run-01_bold.nii",
        f"{func}_task-x_run-1_bold.json",
        f"{func}_task-x_bold.json",
        f"{func}_bold.json",
        "sub-01/sub-01_task-x_run-1_bold.json",
        f"{func}_task-x_run-2_bold.json",  # another run
        f"{func}_task-x_run-1_events.json",  # another suffix
        f"{func}_task-x_desc-a_bold.json",  # what the file does not say
        "sub-02/func/sub-01_task-x_bold.json",  # another folder
        "sub-01/func/below/sub-01_task-x_bold.json",
    )
    assert listed(stage(table, bold={"suffix": "bold"})) == [
        [
            "sub-01_task-x_run-1_bold.json",
            "sub-01_task-x_bold.json",
            "sub-01_bold.json",
            "sub-01_task-x_run-1_bold.json",
        ]
    ]


def test_a_twin_is_one_whatever_it_is_called_today(files):
    names = ["task-x_bold_space-fsaverage5.L.func.gii", "task-x_bold_space-fsaverage5.L.json"]
    table = files(*(f"sub-01/func/sub-01_{name}" for name in names))
    assert listed(stage(table, bold={"suffix": "bold"})) == [[f"sub-01_{names[1]}"]]


def test_a_json_of_one_kind_of_file(files):
    names = ["bold.dtseries.nii", "bold.nii.gz", "bold.dtseries.json"]
    table = files(*(f"sub-01/func/sub-01_{name}" for name in names))
    for extension, expected in (
        (".dtseries.nii", ["sub-01_bold.dtseries.json"]),
        (".nii.gz", None),
    ):
        assert listed(stage(table, bold={"extension": extension})) == [expected]


def test_another_root_or_dataset_says_nothing(files):
    json = "sub-01/sub-01_bold.json"
    bold = files("sub-01/func/sub-01_bold.nii")
    for other in (files(json, root="/"), files(json, dataset="other")):
        assert listed(stage(pl.concat([bold, other]), bold={"suffix": "bold"})) == [None]
    assert listed(stage(pl.concat([bold, files(json)]), bold={"suffix": "bold"})) == [
        ["sub-01_bold.json"]
    ]
