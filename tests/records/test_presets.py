"""Presets, on trees as the tools write them."""

from itertools import product

import polars as pl
import pytest

from entense.index import scan
from entense.records import drop_incomplete, events, explain_stage, presets, stage

MNI = "space-MNI152NLin2009cAsym_res-2"
RUN = [
    *(f"{space}_desc-preproc_bold.nii.gz" for space in (MNI, "space-T1w")),
    *(f"{space}_desc-preproc_bold.json" for space in (MNI, "space-T1w")),
    *(f"{space}_desc-brain_mask.nii.gz" for space in (MNI, "space-T1w")),
    "desc-preproc_bold.nii.gz",
    "desc-brain_mask.nii.gz",
    "desc-confounds_timeseries.tsv",
    "desc-confounds_timeseries.json",
    "space-MNI152NLin6Asym_desc-smoothAROMAnonaggr_bold.nii.gz",
    f"{MNI}_boldref.nii.gz",
    *(f"hemi-{side}_space-fsaverage5_bold.func.gii" for side in "LR"),
    *(f"space-fsnative_hemi-{side}_bold.func.gii" for side in "LR"),
    "space-fsLR_den-91k_bold.dtseries.nii",
    "space-fsLR_den-91k_bold.json",
]
ANAT = ["desc-brain_mask.nii.gz", f"{MNI}_desc-brain_mask.nii.gz", "desc-preproc_T1w.nii.gz"]


@pytest.fixture(scope="module")
def fmriprep(tmp_path_factory):
    root = tmp_path_factory.mktemp("trees") / "ds"
    for subject, session in product(["01", "02", "03"], ["a", "b"]):
        names = [f"func/sub-{subject}_ses-{session}_task-x_{name}" for name in RUN]
        names += [f"anat/sub-{subject}_ses-{session}_{name}" for name in ANAT]
        touch(root / f"sub-{subject}" / f"ses-{session}", names)
    return scan(root, layout="fmriprep")


def touch(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("roles", "bold", "mask"),
    [
        (presets.fmriprep(), RUN[0], RUN[4]),
        (presets.fmriprep(resolution="2"), RUN[0], RUN[4]),
        (presets.fmriprep("T1w"), RUN[1], RUN[5]),
        (presets.fmriprep(space=None), RUN[6], RUN[7]),
        (presets.fmriprep_cifti(), RUN[-2], None),
    ],
)
def test_fmriprep(fmriprep, roles, bold, mask):
    df = stage(fmriprep, **roles).drop("bold_tr").collect()
    assert len(df) == 6
    for row in df.iter_rows(named=True):
        start = f"/func/sub-{row['subject']}_ses-{row['session']}_task-x_"
        assert row["bold"].endswith(start + bold)
        assert row["confounds"].endswith(start + "desc-confounds_timeseries.tsv")
        assert mask is None or row["mask"].endswith(start + mask)


@pytest.mark.parametrize("space", ["fsaverage5", "fsnative"])
def test_fmriprep_on_the_surface(fmriprep, space):
    df = stage(fmriprep, **presets.fmriprep_surface(space)).drop("bold_tr").collect()
    assert len(df) == len(drop_incomplete(df, "confounds")) == 6
    for side in "LR":
        paths = df["bold"].struct.field(side)
        assert paths.str.contains(f"hemi-{side}").all()
        assert paths.str.contains(f"space-{space}").all()


def test_an_anatomical_mask_is_none_of_a_run(fmriprep):
    without = fmriprep.filter(~pl.col("path").str.contains("sub-02.*func.*mask"))
    for roles in (presets.fmriprep(), presets.fmriprep(None)):
        assert explain_stage(without, **roles)["missing"].to_list() == [0, 2, 0]


def test_a_resolution_that_is_not_there(fmriprep):
    report = explain_stage(fmriprep, **presets.fmriprep(resolution="1"))
    assert report["files"].to_list() == [0, 0, 6]
    assert "there is " in report["missing_for"][0]
    assert "resolution: 2" in report["missing_for"][0]


REST, TASK = "rfMRI_REST1_{}", "tfMRI_WM_{}"
FILES = [
    *("{run}.nii.gz", "{run}_SBRef.nii.gz", "brainmask_fs.2.nii.gz", "Movement_Regressors.txt"),
    *("Movement_Regressors_dt.txt", "{run}_Atlas.dtseries.nii", "{run}_Atlas_MSMAll.dtseries.nii"),
]
FIX = [
    *("{run}_hp2000_clean.nii.gz", "{run}_hp2000_clean_rclean_tclean.nii.gz"),
    *("{run}_Atlas_hp2000_clean.dtseries.nii", "{run}_Atlas_MSMAll_hp2000_clean.dtseries.nii"),
    "{run}_Atlas_MSMAll_hp2000_clean_rclean_tclean.dtseries.nii",
]
EVS = {
    "0bk_body": "36.2\t27.5\t1\n",
    "2bk_cor": "20\t2\t1\n8\t2\t1\n",
    "0bk_err": "",
    "Sync": "8\n",
}


@pytest.fixture(scope="module")
def hcp(tmp_path_factory):
    root = tmp_path_factory.mktemp("trees") / "hcp"
    for subject, kind, side in product(["100307", "100408"], [REST, TASK], ["LR", "RL"]):
        run = kind.format(side)
        folder = root / subject / "MNINonLinear" / "Results" / run
        names = FILES + (FIX if kind == REST else [])
        touch(folder, [name.format(run=run) for name in names])
        if kind == TASK:
            touch(folder, [f"EVs/{name}.txt" for name in EVS])
            for name, text in EVS.items():
                (folder / "EVs" / f"{name}.txt").write_text(text)
    return scan(root, layout="hcp")


@pytest.mark.parametrize(
    ("roles", "end", "runs"),
    [
        (presets.hcp(), "_{side}.nii.gz", 8),
        (presets.hcp(cleaned=True), "_hp2000_clean.nii.gz", 4),
        (presets.hcp(cleaned="hp2000cleanrcleantclean"), "_clean_rclean_tclean.nii.gz", 4),
        (presets.hcp_cifti(), "_Atlas_MSMAll.dtseries.nii", 8),
        (presets.hcp_cifti(aligned=None), "_Atlas.dtseries.nii", 8),
        (presets.hcp_cifti(cleaned=True), "_Atlas_MSMAll_hp2000_clean.dtseries.nii", 4),
        (presets.hcp_cifti(cleaned=True, aligned=None), "_Atlas_hp2000_clean.dtseries.nii", 4),
        (
            presets.hcp_cifti(cleaned="hp2000cleanrcleantclean"),
            "_Atlas_MSMAll_hp2000_clean_rclean_tclean.dtseries.nii",
            4,
        ),
    ],
)
def test_hcp(hcp, roles, end, runs):
    df = stage(hcp, **roles).drop("bold_tr").collect()
    assert len(df) == runs
    for row in df.iter_rows(named=True):
        assert row["bold"].endswith(end.format(side=row["direction"]))
        folder = row["bold"].rpartition("/")[0]
        assert row["confounds"] == f"{folder}/Movement_Regressors.txt"
        assert row.get("mask", f"{folder}/brainmask_fs.2.nii.gz").startswith(folder)
        assert row["events_found"] == (row["task"] == "wm")


def test_the_events_of_hcp(hcp):
    df = stage(hcp, **presets.hcp()).collect()
    trials = events(drop_incomplete(df, "events"))
    assert len(trials) == 2 * 2 * 3
    one = trials.filter(subject="100408", direction="RL")
    assert one.select("task", "trial", "onset", "trial_type").rows() == [
        ("wm", 0, 8.0, "2bk_cor"),
        ("wm", 1, 20.0, "2bk_cor"),
        ("wm", 2, 36.2, "0bk_body"),
    ]


def test_a_preset_is_a_dictionary_that_one_changes(hcp):
    roles = presets.hcp() | {"sbref": {"suffix": "sbref"}}
    del roles["events"]
    df = stage(hcp, **roles).collect()
    assert df.select(pl.col("sbref").str.contains("SBRef").all()).item()
    assert "events" not in df.columns
    assert presets.hcp().keys() == {"bold", "mask", "confounds", "events"}
