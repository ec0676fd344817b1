"""The names of the Human Connectome Project: Young Adult at 3T and 7T, Aging, Development."""

from __future__ import annotations

from entense.index.layouts import Layout, register_layout

_TASKS = (
    *("REST", "WM", "GAMBLING", "MOTOR", "LANGUAGE", "SOCIAL", "RELATIONAL", "EMOTION"),
    *("MOVIE", "RETBAR", "RETCCW", "RETCW", "RETCON", "RETEXP"),  # 7T
    *("CARIT", "FACENAME", "VISMOTOR", "GUESSING"),  # Aging, Development
)
# no number stands first and a direction last, so that what joins several runs is not a run
_RUN = r"[rt]fMRI_[A-Za-z]+\d*[a-z]?(?:_7T)?_(?:LR|RL|AP|PA)"
_MNI = "_space-MNI152NLin6Asym_res-2"
_CLEANED = r"_hp(\d+)_clean(?:_(rclean))?(?:_(tclean))?"

HCP = register_layout(
    Layout(
        name="hcp",
        expected="100307/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR.nii.gz",
        skip=frozenset(
            (
                *("T1w", "T2w", "unprocessed", "Native", "ROIs", "xfms", "Diffusion", "fsaverage"),
                *("fsaverage_LR32k", "fsaverage_LR59k", "RibbonVolumeToSurfaceMapping"),
            )
        ),
        paths=(
            # /HCA6000030_V1_MR/MNINonLinear/Results/… -> /func/sub-HCA6000030_ses-V1_…
            (
                rf"^.*/([^/_]+)_([^/_]+)_MR/MNINonLinear/Results/({_RUN})/",
                "/func/sub-${1}_ses-${2}_${3}/",
            ),
            (rf"^.*/([^/_]+)/MNINonLinear/Results/({_RUN})/", "/func/sub-${1}_${2}/"),
            (r"^(/func/sub-[^/]+)/EVs/([^/]+)$", "${1}_EVs_${2}"),
            (r"^(/func/sub-[^/]+)/([^/]+)$", "${1}_${2}"),
        ),
        renames=(
            # the run is named by its folder, and once more by most of its files
            (rf"^(_{_RUN})_{_RUN}([_.])", "${1}${2}"),
            *((rf"^_[rt]fMRI_{task}([^A-Z])", f"_task-{task.lower()}${{1}}") for task in _TASKS),
            (r"^_[rt]fMRI_([A-Z])", "_task-${1}"),
            (r"^(_task-[A-Za-z]+)(\d+[a-z]?)_", "${1}_run-${2}_"),
            (r"^(_task[^_]+(?:_run[^_]+)?)_7T_", "${1}_acq-7T_"),
            (r"^(_task[^_]+(?:_run[^_]+)?(?:_acq-7T)?)_(LR|RL|AP|PA)([_.])", "${1}_dir-${2}${3}"),
            # images; what was done to them is their desc, its words run together
            (r"(_dir-..)(\.nii(?:\.gz)?)$", f"${{1}}{_MNI}_desc-preproc_bold${{2}}"),
            (rf"(_dir-..){_CLEANED}\.nii", f"${{1}}{_MNI}_desc-hp${{2}}clean${{3}}${{4}}_bold.nii"),
            (r"(_dir-..)_SBRef\.nii", f"${{1}}{_MNI}_sbref.nii"),
            (r"(_acq-7T_dir-..)(_space-[^_]+)_res-2_", "${1}${2}_"),  # 1.6 mm: no label for that
            (r"_brainmask_fs\.2(?:\.0)?\.nii", f"{_MNI}_desc-brain_mask.nii"),
            (r"_brainmask_fs\.1\.60\.nii", "_space-MNI152NLin6Asym_desc-brain_mask.nii"),
            (r"_Atlas_1\.6mm((?:_[A-Za-z0-9]+)*\.dtseries)", "_space-fsLR_den-170k${1}"),
            (r"_Atlas((?:_[A-Za-z0-9]+)*\.dtseries)", "_space-fsLR_den-91k${1}"),
            (rf"(_den-\d+k)(?:_(MSMAll))?{_CLEANED}\.dt", "${1}_desc-${2}hp${3}clean${4}${5}.dt"),
            (r"(_den-\d+k)_MSMAll\.dt", "${1}_desc-MSMAll.dt"),
            (r"(_den-\d+k(?:_desc-[^_.]+)?)\.dtseries", "${1}_bold.dtseries"),
            # text
            (r"_Movement_Regressors\.txt$", "_desc-movement_timeseries.txt"),
            (r"_Movement_Regressors_dt\.txt$", "_desc-movementdt_timeseries.txt"),
            (r"_Movement_(Absolute|Relative)RMS\.txt$", "_desc-${1}RMS_motion.txt"),
            (r"_Movement_(Absolute|Relative)RMS_mean\.txt$", "_desc-${1}RMSmean_motion.txt"),
            (r"_EVs_([^_.]+)\.txt$", "_desc-${1}_events.txt"),
            (r"_EVs_([^_.]+)_([^_.]+)\.txt$", "_desc-${1}${2}_events.txt"),
            (r"_EVs_([^_.]+)_([^_.]+)_([^_.]+)\.txt$", "_desc-${1}${2}${3}_events.txt"),
        ),
    )
)
