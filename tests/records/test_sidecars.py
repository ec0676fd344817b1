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
