"""fMRIPrep's names: today's, and what the names of earlier versions are called today."""

from __future__ import annotations

from entense.index.layouts import Layout, register_layout

_MORE = r"((?:_[a-z]+-[^_./]+)*)"  # any entities

FMRIPREP = register_layout(
    Layout(
        name="fmriprep",
        expected="sub-01/func/sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz",
        skip=frozenset({"figures", "freesurfer", "log", "logs", "sourcedata", "work"}),
        sign=(
            r"/sub-[^/]*(?:_desc-(?:preproc|confounds|brain|hmc|coreg)_|_mode-image_"
            r"|_(?:bold|T1w)_|\.func\.gii$)"
        ),
        renames=(
            # up to 1.1: the source's suffix stands first, what became of it last
            (rf"_(bold|T1w){_MORE}_preproc\.", "${2}_desc-preproc_${1}."),
            (r"_variant-([^_./]+)_desc-preproc_", "_desc-${1}_"),
            (rf"_(?:bold|T1w){_MORE}_brainmask\.", "${1}_desc-brain_mask."),
            (rf"_(?:bold|T1w){_MORE}_label-([^_./]+)_roi\.", "${1}_desc-${2}_dseg."),
            (rf"_T1w{_MORE}_class-([^_./]+)_probtissue\.", "${1}_label-${2}_probseg."),
            (rf"_T1w{_MORE}_dtissue\.", "${1}_dseg."),
            (r"_T1w_([a-z]+)\.([LR])\.surf\.gii$", "_hemi-${2}_${1}.surf.gii"),
            (
                r"_T1w_space-([^_./]+)_target-([^_./]+)_[a-z]+\.",
                "_from-${1}_to-${2}_mode-image_xfm.",
            ),
            (r"_T1w_target-([^_./]+)_[a-z]+\.", "_from-T1w_to-${1}_mode-image_xfm."),
            (r"_bold_space-([^_./]+)\.([LR])\.func\.gii$", "_hemi-${2}_space-${1}_bold.func.gii"),
            (r"_bold_MELODICmix\.", "_desc-MELODIC_mixing."),
            (r"_bold_AROMAnoiseICs\.", "_AROMAnoiseICs."),
            (r"_bold_confounds\.", "_desc-confounds_timeseries."),
            # up to 20.1
            (r"_desc-confounds_regressors\.", "_desc-confounds_timeseries."),
            (r"(_[a-z]+-[^_./]+)\.func\.gii$", "${1}_bold.func.gii"),
        ),
    )
)
