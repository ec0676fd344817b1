"""Trees of the Human Connectome Project, as its releases name them."""

import polars as pl
import pytest

from entense.errors import TableError
from entense.index import FILE_SCHEMA, HCP, scan
from entense.index.parse import parse
from entense.records import stage

REST_3T = [f"rfMRI_REST{n}_{pe}" for n in (1, 2) for pe in ("LR", "RL")]
TASKS = ["WM", "GAMBLING", "MOTOR", "LANGUAGE", "SOCIAL", "RELATIONAL", "EMOTION"]
TASK_3T = [f"tfMRI_{task}_{pe}" for task in TASKS for pe in ("LR", "RL")]
RUNS_7T = [
    *("rfMRI_REST1_7T_PA", "rfMRI_REST2_7T_AP", "rfMRI_REST3_7T_PA", "rfMRI_REST4_7T_AP"),
    *("tfMRI_MOVIE1_7T_AP", "tfMRI_MOVIE2_7T_PA", "tfMRI_RETBAR1_7T_AP", "tfMRI_RETBAR2_7T_PA"),
    *("tfMRI_RETCCW_7T_AP", "tfMRI_RETCW_7T_PA", "tfMRI_RETCON_7T_PA", "tfMRI_RETEXP_7T_AP"),
]
AGING = [
    *("rfMRI_REST1_AP", "rfMRI_REST1_PA", "rfMRI_REST2_AP", "rfMRI_REST2_PA"),
    *("tfMRI_CARIT_PA", "tfMRI_FACENAME_PA", "tfMRI_VISMOTOR_PA"),
]
CONCATENATED = "tfMRI_7T_RETCCW_AP_RETCW_PA_RETEXP_AP_RETCON_PA_RETBAR1_AP_RETBAR2_PA"
MOTION = ["Movement_Regressors.txt", "Movement_Regressors_dt.txt", "Movement_RelativeRMS_mean.txt"]
FILES = ["{run}.nii.gz", "{run}_SBRef.nii.gz", "{run}_Atlas.dtseries.nii", *MOTION]
FILES += ["{run}_Atlas_MSMAll.dtseries.nii", "Movement_AbsoluteRMS.txt"]
VOLUME = {"suffix": "bold", "desc": "preproc"}
ROLES = {
    "bold": VOLUME,
    "mask": {"suffix": "mask", "desc": "brain"},
    "motion": {"suffix": "timeseries", "desc": "movement"},
}


def folder(subject, run):
    return f"{subject}/MNINonLinear/Results/{run}"


def files(subject, run, *names):
    return [f"{folder(subject, run)}/{name.format(run=run)}" for name in names]


def subject_3t(subject):
    rest = [(run, "{run}_hp2000_clean.nii.gz", "{run}_hp2000_clean_vn.nii.gz") for run in REST_3T]
    task = [(run, "EVs/0bk_body.txt", "EVs/Sync.txt", "x.feat/bold.nii.gz") for run in TASK_3T]
    return [
        f"{subject}/T1w/T1w_acpc_dc.nii.gz",
        f"{subject}/MNINonLinear/T1w.nii.gz",
        f"{subject}/MNINonLinear/Results/tfMRI_WM/tfMRI_WM_hp200_s4_level2.fsf",
        *(file for run, *more in rest + task for file in files(subject, run, *FILES, *more)),
        *(file for run, *_ in rest + task for file in files(subject, run, "brainmask_fs.2.nii.gz")),
    ]


def records(root, **roles):
    return stage(scan(root, layout="hcp"), **(roles or ROLES)).collect()


def names(frame, *columns):
    return frame.select(columns).rows()


def test_the_young_adults_at_3t(grow):
    root = grow(*subject_3t("100307"), *subject_3t("100408"))
    table = records(root)
    assert len(table) == 2 * 18
    assert table.null_count().select("bold", "mask", "motion").row(0) == (0, 0, 0)
    rest = table.filter(subject="100408", task="rest")
    assert names(rest, "run", "direction") == [("1", "LR"), ("2", "LR"), ("1", "RL"), ("2", "RL")]
    assert set(table["task"]) == {"rest", *(task.lower() for task in TASKS)}
    assert names(table, "space", "resolution", "session", "acquisition", "density").count(
        ("MNI152NLin6Asym", "2", None, None, None)
    ) == len(table)
    for row in table.iter_rows(named=True):
        kind = "rfMRI_REST" if row["task"] == "rest" else f"tfMRI_{row['task'].upper()}"
        run = f"{kind}{row['run'] or ''}_{row['direction']}"
        there = f"{root}/{folder(row['subject'], run)}"
        assert row["bold"] == f"{there}/{run}.nii.gz"
        assert row["mask"] == f"{there}/brainmask_fs.2.nii.gz"
        assert row["motion"] == f"{there}/Movement_Regressors.txt"


def test_the_young_adults_at_7t(grow):
    more = ["{run}_Atlas_1.6mm.dtseries.nii", "brainmask_fs.1.60.nii.gz"]
    tree = [file for run in RUNS_7T for file in files("100610", run, *FILES, *more)]
    root = grow(*tree, *files("100610", CONCATENATED, *FILES))
    table = records(root)
    assert len(table) == len(RUNS_7T)
    assert table.null_count().select("bold", "mask", "motion").row(0) == (0, 0, 0)
    assert names(table.unique(["acquisition", "resolution"]), "acquisition", "resolution") == [
        ("7T", None)
    ]
    assert set(names(table, "task", "run", "direction")) == {
        *(("rest", run, pe) for run, pe in zip("1234", ["PA", "AP", "PA", "AP"], strict=True)),
        *(("movie", "1", "AP"), ("movie", "2", "PA"), ("retbar", "1", "AP"), ("retbar", "2", "PA")),
        *(("retccw", None, "AP"), ("retcw", None, "PA")),
        *(("retcon", None, "PA"), ("retexp", None, "AP")),
    }
    assert not scan(root, layout="hcp").collect()["path"].str.contains(CONCATENATED).any()


def test_3t_and_7t_of_one_subject_do_not_mix(grow):
    tree = [*subject_3t("100610"), *files("100610", RUNS_7T[0], "{run}.nii.gz", *MOTION)]
    table = records(grow(*tree, *files("100610", RUNS_7T[0], "brainmask_fs.1.60.nii.gz")))
    assert len(table) == 18 + 1
    for row in table.iter_rows(named=True):
        assert row["mask"].rsplit("/", 1)[0] == row["bold"].rsplit("/", 1)[0]
        assert row["motion"].rsplit("/", 1)[0] == row["bold"].rsplit("/", 1)[0]


def test_aging_and_development(grow):
    more = ["{run}_Atlas_MSMAll_hp0_clean.dtseries.nii", "brainmask_fs.2.0.nii.gz"]
    visits = ["HCA6000030_V1_MR", "HCA6000030_V2_MR", "HCD0001305_V1_MR"]
    runs = [(visit, run) for visit in visits for run in AGING]
    runs += [("HCD0008117_V1_MR", "rfMRI_REST1a_AP"), ("HCD0008117_V1_MR", "tfMRI_GUESSING_PA")]
    root = grow(*(file for run in runs for file in files(*run, *FILES, *more)))
    grow(*files("HCA6000030_V1_MR", "rfMRI_REST", "{run}_Atlas_MSMAll_hp0_clean.dtseries.nii"))
    table = records(root, bold={"suffix": "bold", "desc": "MSMAllhp0clean"})
    assert len(table) == len(runs)
    assert set(names(table, "subject", "session")) == {
        ("HCA6000030", "V1"), ("HCA6000030", "V2"), ("HCD0001305", "V1"), ("HCD0008117", "V1"),
    }  # fmt: skip
    assert set(table["task"]) == {"rest", "carit", "facename", "vismotor", "guessing"}
    assert set(names(table, "space", "density", "resolution")) == {("fsLR", "91k", None)}
    assert set(names(table.filter(subject="HCD0008117"), "task", "run", "direction")) == {
        ("guessing", None, "PA"),
        ("rest", "1a", "AP"),
    }
    assert records(root).null_count().select("bold", "mask", "motion").row(0) == (0, 0, 0)


def test_missing_results_and_missing_regressors(grow):
    whole, lacking = subject_3t("100307"), subject_3t("100408")
    lacking = [name for name in lacking if "REST1_LR/Movement" not in name]
    table = records(grow(*whole, *lacking, "100610/MNINonLinear/T1w.nii.gz"))
    assert table["subject"].unique().sort().to_list() == ["100307", "100408"]
    missing = table.filter(pl.col("motion").is_null())
    assert names(missing, "subject", "task", "run", "direction") == [("100408", "rest", "1", "LR")]


VARIANTS = {
    "{run}.nii": ("bold", "preproc", None),
    "{run}.nii.gz": ("bold", "preproc", None),
    "{run}_hp2000_clean.nii.gz": ("bold", "hp2000clean", None),
    "{run}_hp2000_clean_rclean_tclean.nii.gz": ("bold", "hp2000cleanrcleantclean", None),
    "{run}_hp2000_clean_vn.nii.gz": ("vn", None, None),
    "{run}_SBRef.nii.gz": ("sbref", None, None),
    "brainmask_fs.2.nii.gz": ("mask", "brain", None),
    "{run}_Atlas.dtseries.nii": ("bold", None, "91k"),
    "{run}_Atlas_MSMAll.dtseries.nii": ("bold", "MSMAll", "91k"),
    "{run}_Atlas_hp2000_clean.dtseries.nii": ("bold", "hp2000clean", "91k"),
    "{run}_Atlas_MSMAll_hp0_clean.dtseries.nii": ("bold", "MSMAllhp0clean", "91k"),
    "{run}_Atlas_MSMAll_hp2000_clean_rclean_tclean.dtseries.nii": (
        "bold", "MSMAllhp2000cleanrcleantclean", "91k",
    ),
    "{run}_Atlas_1.6mm_MSMAll_hp2000_clean.dtseries.nii": ("bold", "MSMAllhp2000clean", "170k"),
    "{run}_Atlas_mean.dscalar.nii": ("mean", None, None),
    "Movement_Regressors.txt": ("timeseries", "movement", None),
    "Movement_Regressors_dt.txt": ("timeseries", "movementdt", None),
    "Movement_AbsoluteRMS.txt": ("motion", "AbsoluteRMS", None),
    "Movement_RelativeRMS_mean.txt": ("motion", "RelativeRMSmean", None),
    "EVs/Sync.txt": ("events", "Sync", None),
    "EVs/0bk_body.txt": ("events", "0bkbody", None),
    "EVs/all_bk_cor.txt": ("events", "allbkcor", None),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("run", ["rfMRI_REST2_RL", "rfMRI_REST2_7T_AP", "tfMRI_NEWTASK2_AP"])
def test_what_each_file_is(name, run):
    row = parse(pl.Series([f"/{file}" for file in files("100307", run, name)]), HCP)
    assert names(row, "suffix", "desc", "density") == [VARIANTS[name]]
    assert names(row, "subject", "session", "run", "datatype") == [("100307", None, "2", "func")]
    assert row["task"].item() == ("NEWTASK" if "NEW" in run else "rest")
    assert row["acquisition"].item() == ("7T" if "7T" in run else None)


@pytest.mark.parametrize(
    ("run", "resolutions"),
    [("rfMRI_REST1_LR", ["2", "2", "2", None]), ("rfMRI_REST1_7T_PA", [None, "2", "2", None])],
)
def test_the_resolution_is_what_the_names_tell(run, resolutions):
    masks = [f"brainmask_fs.{size}.nii.gz" for size in ("2", "2.0", "1.60")]
    paths = [f"/{file}" for file in files("100307", run, "{run}_SBRef.nii.gz", *masks)]
    row = parse(pl.Series(paths), HCP)
    assert row["resolution"].to_list() == resolutions
    assert set(row["space"]) == {"MNI152NLin6Asym"}


@pytest.mark.parametrize(
    "name",
    [
        "100307/MNINonLinear/Results/rfMRI_REST/rfMRI_REST.nii.gz",
        "100307/MNINonLinear/Results/tfMRI_WM_LR/tfMRI_WM_LR_level1.feat/mask.nii.gz",
        "100307/MNINonLinear/Results/tfMRI_WM_LR/EVs/old/Sync.txt",
        "100307/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR.L.native.func.gii",
        "100307/MNINonLinear/BiasField.nii.gz",
        "100307/MNINonLinear/T1wDividedByT2w.nii.gz",
        "100307/MNINonLinear/100307.L.pial.164k_fs_LR.surf.gii",
        "100307/MNINonLinear/fsaverage_LR32k/100307.32k_fs_LR.wb.spec",
        "100307/MNINonLinear/fsaverage_LR32k/100307.MSMAll.32k_fs_LR.wb.spec",
        "100307/T1w/T1w_acpc_dc_restore.nii.gz",
        "100307/T1w/wmparc.nii.gz",
        "MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR.nii.gz",
    ],
)
def test_other_files_are_not_known(name):
    assert set(parse(pl.Series([f"/{name}"]), HCP).row(0)) == {None}


def test_the_columns_are_those_of_every_layout(grow):
    schema = scan(grow(*subject_3t("100307")), layout="hcp").collect_schema()
    assert schema == pl.Schema(FILE_SCHEMA)


def test_subjects_without_results_stay_and_stage_says_what_is_missing(grow):
    root = grow("1/MNINonLinear/T1w_restore.nii.gz", "2_V1_MR/MNINonLinear/aparc+aseg.nii.gz")
    assert names(scan(root).collect(), "subject", "session", "suffix", "desc") == [
        ("1", None, "T1w", "preproc"),
        ("2", "V1", "dseg", "aparcaseg"),
    ]
    with pytest.raises(TableError, match=r"no file matches the role 'bold'.*is suffix: T1w"):
        records(root)


def test_a_tree_of_other_folders_alone(grow):
    with pytest.raises(TableError, match=r"it holds 1/T1w/T1w_acpc.nii.gz, and nothing named"):
        scan(grow("1/T1w/T1w_acpc.nii.gz"), layout="hcp")


def test_a_tree_without_volumes_says_what_there_is(grow):
    root = grow(*files("1", "rfMRI_REST1_LR", "{run}_Atlas.dtseries.nii"))
    with pytest.raises(TableError, match=r"no file matches the role 'bold'.*desc: \(absent\)"):
        records(root)


ANATOMY = {
    "T1w.nii.gz": ("T1w", None, None),
    "T2w_restore.nii.gz": ("T2w", "preproc", None),
    "T1w_restore.nii.gz": ("T1w", "preproc", None),
    "T1w_restore.2.nii.gz": ("T1w", "preproc", "2"),
    "T1w_restore.1.60.nii.gz": ("T1w", "preproc", "1p6"),
    "T1w_restore_brain.nii.gz": ("T1w", "brain", None),
    "aparc+aseg.nii.gz": ("dseg", "aparcaseg", None),
    "aparc.a2009s+aseg.nii.gz": ("dseg", "aparca2009saseg", None),
    "wmparc.nii.gz": ("dseg", "wmparc", None),
    "ribbon.nii.gz": ("dseg", "ribbon", None),
    "brainmask_fs.nii.gz": ("mask", "brain", None),
    "ROIs/wmparc.2.nii.gz": ("dseg", "wmparc", "2"),
    "ROIs/ROIs.2.nii.gz": ("dseg", "ROIs", "2"),
    "ROIs/Atlas_ROIs.2.nii.gz": ("dseg", "AtlasROIs", "2"),
    "ROIs/Atlas_wmparc.1.60.nii.gz": ("dseg", "Atlaswmparc", "1p6"),
}
MESHES = {
    "L.midthickness.32k_fs_LR.surf.gii": ("midthickness", None, "L", ".surf.gii"),
    "R.pial_MSMAll.32k_fs_LR.surf.gii": ("pial", "MSMAll", "R", ".surf.gii"),
    "L.very_inflated_MSMAll.32k_fs_LR.surf.gii": ("veryinflated", "MSMAll", "L", ".surf.gii"),
    "R.white.32k_fs_LR.surf.gii": ("white", None, "R", ".surf.gii"),
    "L.midthickness_MSMAll_va.32k_fs_LR.shape.gii": ("midthickness", "MSMAllva", "L", ".shape.gii"),
    "L.atlasroi.32k_fs_LR.shape.gii": ("atlasroi", None, "L", ".shape.gii"),
    "R.aparc.a2009s.32k_fs_LR.label.gii": ("dseg", "aparca2009s", "R", ".label.gii"),
    "L.MyelinMap_BC.32k_fs_LR.func.gii": ("MyelinMap", "BC", "L", ".func.gii"),
    "aparc.32k_fs_LR.dlabel.nii": ("dseg", "aparc", None, ".dlabel.nii"),
    "BA.32k_fs_LR.dlabel.nii": ("dseg", "BA", None, ".dlabel.nii"),
    "sulc_MSMAll.32k_fs_LR.dscalar.nii": ("sulc", "MSMAll", None, ".dscalar.nii"),
    "curvature.32k_fs_LR.dscalar.nii": ("curv", None, None, ".dscalar.nii"),
    "thickness_MSMAll.32k_fs_LR.dscalar.nii": ("thickness", "MSMAll", None, ".dscalar.nii"),
    "MyelinMap_BC_MSMAll.32k_fs_LR.dscalar.nii": ("MyelinMap", "BCMSMAll", None, ".dscalar.nii"),
}


@pytest.mark.parametrize("folder", ["100307", "HCA6000030_V1_MR"])
def test_what_each_anatomical_file_is(folder):
    volumes = [f"/x/{folder}/MNINonLinear/{name}" for name in ANATOMY]
    meshes = [f"/{folder}/MNINonLinear/fsaverage_LR32k/{folder}.{name}" for name in MESHES]
    table = parse(pl.Series(volumes + meshes), HCP)
    subject, session = folder.split("_")[0], "V1" if "_" in folder else None
    common = ("subject", "session", "task", "datatype", "others")
    assert set(names(table.with_columns(others=None), *common)) == {
        (subject, session, None, "anat", None)
    }
    flat, mesh = table.head(len(ANATOMY)), table.tail(len(MESHES))
    assert names(flat, "suffix", "desc", "resolution") == [*ANATOMY.values()]
    assert names(mesh, "suffix", "desc", "hemi", "extension") == [*MESHES.values()]
    assert set(names(flat, "space", "density")) == {("MNI152NLin6Asym", None)}
    assert set(names(mesh, "space", "density", "resolution")) == {("fsLR", "32k", None)}


def test_anatomy_beside_the_runs(grow):
    tree = [f"100307/MNINonLinear/{name}" for name in ANATOMY if "1.60" not in name]
    table = records(
        grow(*subject_3t("100307"), *tree),
        **ROLES,
        t1w={"suffix": "T1w", "desc": "preproc"},
        parcels={"suffix": "dseg", "desc": "wmparc"},
        aseg={"suffix": "dseg", "desc": "aparcaseg"},
    )
    assert len(table) == 18
    there = f"{table['bold'][0].split('/Results/')[0]}"
    assert set(names(table, "t1w", "parcels", "aseg")) == {
        tuple(
            f"{there}/{name}"
            for name in ("T1w_restore.2.nii.gz", "ROIs/wmparc.2.nii.gz", "aparc+aseg.nii.gz")
        )
    }
    assert table["mask"].str.ends_with("brainmask_fs.2.nii.gz").all()


def test_the_release_of_2025(grow):
    cleaned = "hp0_clean_rclean_tclean"
    kinds = [f"{{run}}_{cleaned}.nii.gz", f"{{run}}_Atlas_MSMAll_{cleaned}.dtseries.nii"]
    root = grow(*(name for run in [*REST_3T, *TASK_3T] for name in files("100307", run, *kinds)))
    volumes = {"suffix": "bold", "desc": "hp0cleanrcleantclean"}
    points = {"suffix": "bold", "desc": "MSMAllhp0cleanrcleantclean", "density": "91k"}
    for query in (volumes, points):
        assert len(records(root, bold=query)) == 18
