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
_SUBJECT = r"/([^/_]+)(?:_([^/_]+)_MR)?/MNINonLinear"  # 100307, HCA6000030_V1_MR
_SPACE = "_space-MNI152NLin6Asym"
_MNI = f"{_SPACE}_res-2"
_CLEANED = r"_hp(\d+)_clean(?:_(rclean))?(?:_(tclean))?"
_VOLUME = (
    r"(?:T[12]w(?:_restore(?:_brain)?)?|aparc(?:\.a2009s)?\+aseg|wmparc|ribbon|brainmask_fs"
    r"|(?:Atlas_)?(?:ROIs|wmparc))(?:\.2(?:\.0)?|\.1\.60)?\.nii(?:\.gz)?"
)
_WORDS = 5 * r"(?:_([^_.]+))?"  # what was done, and the same run together: _MSMAll_va
_JOINED, _JOINED_2, _JOINED_4 = (
    "".join(f"${{{group}}}" for group in range(first, first + 5)) for first in (1, 2, 4)
)
_MESH = r"^(_fsLR(?:_hemi-.)?)"
_RESULTS = (
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
    (r"_brainmask_fs\.1\.60\.nii", f"{_SPACE}_desc-brain_mask.nii"),
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
    (rf"_EVs{_WORDS}\.txt$", f"_desc-{_JOINED}_events.txt"),
)
_ANATOMY = (
    # volumes, of the resolution of the T1w unless they say another
    (r"^(_anat)_(.*)\.2(?:\.0)?\.nii", "${1}_res-2_${2}.nii"),
    (r"^(_anat)_(.*)\.1\.60\.nii", "${1}_res-1p6_${2}.nii"),
    (r"^_anat((?:_res-[^_]+)?_.*\.nii(?:\.gz)?)$", f"{_SPACE}${{1}}"),
    (r"_(T[12]w)_restore_brain\.nii", "_desc-brain_${1}.nii"),
    (r"_(T[12]w)_restore\.nii", "_desc-preproc_${1}.nii"),
    (r"_aparc\+aseg\.nii", "_desc-aparcaseg_dseg.nii"),
    (r"_aparc\.a2009s\+aseg\.nii", "_desc-aparca2009saseg_dseg.nii"),
    (r"_(Atlas)_(ROIs|wmparc)\.nii", "_desc-${1}${2}_dseg.nii"),
    (r"_(ROIs|wmparc|ribbon)\.nii", "_desc-${1}_dseg.nii"),
    (r"_brainmask_fs\.nii", "_desc-brain_mask.nii"),
    # surfaces, and what is known of each of their points
    (r"^_fsLR_([LR])\.", "_fsLR_hemi-${1}_"),
    (rf"{_MESH}_very_inflated", "${1}_veryinflated"),
    (rf"{_MESH}_curvature", "${1}_curv"),
    (rf"{_MESH}_aparc\.a2009s", "${1}_aparca2009s"),
    (rf"{_MESH}{_WORDS}\.(d?label)\.", f"${{1}}_desc-{_JOINED_2}_dseg.${{7}}."),
    (rf"{_MESH}_([^-_.]+)_([^_.]+){_WORDS}\.", f"${{1}}_desc-${{3}}{_JOINED_4}_${{2}}."),
    (r"^_fsLR_", "_space-fsLR_den-32k_"),
)

HCP = register_layout(
    Layout(
        name="hcp",
        expected="100307/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR.nii.gz",
        skip=frozenset(
            (
                *("T1w", "T2w", "unprocessed", "Native", "xfms", "Diffusion", "fsaverage"),
                *("fsaverage_LR59k", "RibbonVolumeToSurfaceMapping"),
            )
        ),
        sign="/MNINonLinear/",
        # `_ses-` stays empty for want of a visit; what is no file of ours keeps its path
        paths=(
            (
                rf"{_SUBJECT}/Results/({_RUN})/(?:(EVs)/)?([^/]+)$",
                "/func/sub-${1}_ses-${2}_${3}_${4}_${5}",
            ),
            (rf"{_SUBJECT}/(?:ROIs/)?({_VOLUME})$", "/anat/sub-${1}_ses-${2}_anat_${3}"),
            (
                rf"{_SUBJECT}/fsaverage_LR32k/[^/.]+\.([^/]+)\.32k_fs_LR\.([a-z]+\.(?:gii|nii))$",
                "/anat/sub-${1}_ses-${2}_fsLR_${3}.${4}",
            ),
        ),
        renames=((r"^_ses-_", "_"), (r"^(_[^.]*?)__", "${1}_"), *_RESULTS, *_ANATOMY),
    )
)
