"""The simulated dataset is what fMRIPrep would have written, and its numbers are true."""

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import polars as pl
import pytest
from nilearn.interfaces.fmriprep import load_confounds

from entense.demo import make_dataset
from entense.demo.anatomy import make_anatomy
from entense.demo.confounds import EXPANSIONS, MOTION
from entense.errors import EntenseError

SMALL = {"subjects": 3, "sessions": 1, "runs": 2, "frames": 60, "shape": (16, 18, 16)}
SPACE = "space-MNI152NLin2009cAsym_res-2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("demo"), **SMALL)


def runs(folder: Path) -> list[str]:
    return [str(p).split(f"_{SPACE}")[0] for p in sorted(folder.glob("sub-*/**/*_bold.nii.gz"))]


def confounds(stem: str) -> pl.DataFrame:
    return pl.read_csv(
        f"{stem}_desc-confounds_timeseries.tsv", separator="\t", null_values="n/a"
    ).cast(pl.Float64)


def bold(stem: str) -> np.ndarray:
    return nib.load(f"{stem}_{SPACE}_desc-preproc_bold.nii.gz").get_fdata()


def mask(stem: str) -> np.ndarray:
    return nib.load(f"{stem}_{SPACE}_desc-brain_mask.nii.gz").get_fdata() > 0


def digests(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_equal_arguments_write_equal_bytes(folder, tmp_path):
    again = make_dataset(tmp_path / "again", **SMALL)
    assert digests(again) == digests(folder)
    other = digests(make_dataset(tmp_path / "other", **SMALL, seed=1))
    same = {name for name, digest in digests(folder).items() if other[name] == digest}
    assert not any(name.endswith(("bold.nii.gz", "timeseries.tsv")) for name in same)


def test_every_run_has_every_file(folder):
    stems = runs(folder)
    assert len(stems) == 6
    for stem in stems:
        for name in ("desc-confounds_timeseries.tsv", "desc-confounds_timeseries.json"):
            assert Path(f"{stem}_{name}").is_file()
        for name in ("desc-preproc_bold.json", "desc-brain_mask.nii.gz", "desc-brain_mask.json"):
            assert Path(f"{stem}_{SPACE}_{name}").is_file()
    description = json.loads((folder / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "fMRIPrep"
    people = pl.read_csv(folder / "participants.tsv", separator="\t")
    assert people["participant_id"].to_list() == ["sub-01", "sub-02", "sub-03"]
    assert "n/a" in people["handedness"]


def test_images_are_scaled_integers_on_one_grid(folder):
    atlas = nib.load(folder / "atlas.nii.gz")
    for stem in runs(folder):
        image = nib.load(f"{stem}_{SPACE}_desc-preproc_bold.nii.gz")
        assert image.get_data_dtype() == np.int16
        assert image.dataobj.slope != 1
        assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
        np.testing.assert_array_equal(image.affine, atlas.affine)
        sidecar = json.loads(Path(f"{stem}_{SPACE}_desc-preproc_bold.json").read_text())
        assert image.header.get_zooms()[3] == sidecar["RepetitionTime"] == 2.0
        assert image.header.get_xyzt_units() == ("mm", "sec")


def test_the_second_site_has_shorter_runs(folder):
    lengths = {stem: bold(stem).shape[-1] for stem in runs(folder)}
    assert {n for stem, n in lengths.items() if "sub-03" in stem} == {54}
    assert {n for stem, n in lengths.items() if "sub-03" not in stem} == {60}
    assert all(confounds(stem).height == n for stem, n in lengths.items())


def test_confounds_are_computed_from_the_image(folder):
    head = make_anatomy(SMALL["shape"])
    for stem in runs(folder):
        table, data = confounds(stem), bold(stem)
        tissues = {
            "global_signal": mask(stem),
            "csf": head.ventricles,
            "white_matter": head.deep_white,
        }
        for name, voxels in tissues.items():
            np.testing.assert_allclose(table[name], data[voxels].mean(0), rtol=1e-5)
        brain = data[mask(stem)]
        dvars = np.sqrt((np.diff(brain * 1000 / np.median(brain), axis=1) ** 2).mean(axis=0))
        np.testing.assert_allclose(table["dvars"][1:], dvars, rtol=1e-3)
        assert 0.8 < table["std_dvars"].median() < 1.2


def test_displacement_is_powers(folder):
    for stem in runs(folder):
        table = confounds(stem)
        x, y, z, *turns = (table[name].to_numpy() for name in MOTION)
        arcs = [50 * turn for turn in turns]
        power = sum(np.abs(np.diff(series)) for series in (x, y, z, *arcs))
        np.testing.assert_allclose(table["framewise_displacement"][1:], power, rtol=1e-9)
        assert 0.02 < power.mean() < 0.5


def test_expansions_and_missing_first_rows(folder):
    for stem in runs(folder):
        table = confounds(stem)
        for name in ("global_signal", "csf", "white_matter", *MOTION):
            base, change, square, change_square = (table[name + e].to_numpy() for e in EXPANSIONS)
            np.testing.assert_allclose(change[1:], np.diff(base), rtol=1e-6, atol=1e-9)
            np.testing.assert_allclose(square, base**2, rtol=1e-6)
            np.testing.assert_allclose(change_square[1:], change[1:] ** 2, rtol=1e-6, atol=1e-12)
        late = [c for c in table.columns if table[c].null_count()]
        assert all(table[c].null_count() == 1 and table[c][0] is None for c in late)
        assert set(late) >= {"dvars", "std_dvars", "framewise_displacement", "rmsd"}
        first = Path(f"{stem}_desc-confounds_timeseries.tsv").read_text().splitlines()[1]
        assert first.split("\t").count("n/a") == len(late)


def test_components_are_described(folder):
    for stem in runs(folder):
        table = confounds(stem)
        about = json.loads(Path(f"{stem}_desc-confounds_timeseries.json").read_text())
        components = [c for c in table.columns if "_comp_cor_" in c]
        kept = {n for n, d in about.items() if d.get("Retained")}
        assert kept == set(components)
        assert any(not d["Retained"] for d in about.values() if "Retained" in d)
        assert {about[c].get("Mask") for c in components} == {None, "CSF", "WM", "combined"}
        for prefix in "tcwa":
            matrix = table.select(pl.col(f"^{prefix}_comp_cor_.*$")).to_numpy()
            np.testing.assert_allclose(matrix.T @ matrix, np.eye(matrix.shape[1]), atol=1e-8)


def test_outliers_are_marked(folder):
    for stem in runs(folder):
        table = confounds(stem)
        bad = (table["framewise_displacement"] > 0.5) | (table["std_dvars"] > 1.5)
        marks = table.select(pl.col("^motion_outlier.*$"))
        assert marks.width == bad.sum()
        if marks.width:
            assert marks.sum_horizontal().to_list() == bad.fill_null(False).cast(float).to_list()


@pytest.mark.filterwarnings("ignore:Numerical issues:UserWarning")  # of squares of 10,000
def test_nilearn_reads_the_confounds(folder):
    for stem in runs(folder):
        found, _ = load_confounds(
            f"{stem}_{SPACE}_desc-preproc_bold.nii.gz",
            strategy=("high_pass", "motion", "wm_csf", "global_signal", "compcor"),
            motion="full",
            wm_csf="full",
            global_signal="full",
            compcor="anat_combined",
        )
        assert found.shape[0] == confounds(stem).height
        assert found.shape[1] >= 36 + 1


def test_subjects_differ_and_runs_of_one_resemble_each_other(folder):
    atlas = nib.load(folder / "atlas.nii.gz").get_fdata()
    labels = np.unique(atlas)[1:]
    names = pl.read_csv(folder / "atlas.tsv", separator="\t")
    assert names["index"].to_list() == labels.tolist()
    edges = []
    for stem in runs(folder):
        data = bold(stem)
        series = np.stack([data[atlas == label].mean(0) for label in labels])
        edges.append(np.corrcoef(series)[np.triu_indices(len(labels), 1)])
    alike = np.corrcoef(edges)
    same = np.kron(np.eye(3), np.ones((2, 2))).astype(bool) & ~np.eye(6, dtype=bool)
    other = np.kron(1 - np.eye(3), np.ones((2, 2))).astype(bool)
    assert alike[same].mean() > alike[other].mean()


def test_the_head_is_symmetric_and_whole():
    head = make_anatomy((20, 24, 20))
    tissues = np.stack([head.grey, head.white, head.csf]).sum(axis=0)
    assert set(np.unique(tissues)) == {0, 1}
    np.testing.assert_array_equal(tissues == 1, head.radius <= 1)
    np.testing.assert_array_equal(head.parcels > 0, head.grey)
    assert len(head.names()) == len(set(head.names())) == head.count == 28
    half = head.count // 2
    assert head.networks()[:half] == head.networks()[half:]


def test_a_grid_without_room_is_an_error(tmp_path):
    with pytest.raises(EntenseError, match="no room"):
        make_dataset(tmp_path, shape=(4, 4, 4))
