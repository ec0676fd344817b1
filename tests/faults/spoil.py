"""A study of three runs, and what can be wrong with the second: one function a fault."""

import gzip

import nibabel as nib
import numpy as np
import polars as pl

import entense as et

ROLES = {
    "bold": {"suffix": "bold", "desc": "preproc"},
    "mask": {"suffix": "mask", "desc": "brain"},
    "confounds": {"suffix": "timeseries", "desc": "confounds"},
}


def staged(root):
    return et.stage(et.scan(root), **ROLES)


def place(root, what):
    """Return the file of the second run that has `what` in its name."""
    (path,) = root.glob(f"sub-02/func/*{what}*")
    return path


def cleaned(root, atlas="atlas.nii.gz"):
    """Return a plan that reads every kind of file."""
    clean = et.volume("bold", mask="mask").denoise(
        "confounds", ["trans_x", "csf"], high_pass=0.02, low_pass=0.1
    )
    return (
        staged(root)
        .with_columns(atlas=pl.lit(str(root.parent / atlas)))
        .entense.transform(clean=clean.zscore(), ts=clean.parcellate("atlas").zscore())
    )


def rewrite(path, change):
    """Change an image: ``change(data, affine)`` returns the new ones."""
    image = nib.load(path)
    data, affine = change(np.asarray(image.dataobj).copy(), image.affine.copy())
    new = nib.Nifti1Image(data, affine)
    new.header.set_xyzt_units("mm", "sec")
    nib.save(new, path)


def edit(path, change):
    """Change a confounds table."""
    table = pl.read_csv(path, separator="\t", null_values="n/a")
    change(table).write_csv(path, separator="\t", null_value="n/a")


def said(raised, *words):
    says(str(raised.value), *words)


def says(text, *words):
    for word in words:
        assert word in text


def volume(**more):
    return et.volume("bold", mask="mask", **more)


def cleaned_of(table):
    return table.entense.transform(x=volume().denoise("confounds", ["csf"]))


def truncated(root):
    path = place(root, "bold.nii.gz")
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def without_checksum(root):
    path = place(root, "bold.nii.gz")
    path.write_bytes(path.read_bytes()[:-5])
    return path


def flipped_bit(root):
    path = place(root, "bold.nii.gz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # in gzip's checksum
    path.write_bytes(data)
    return path


def cut_in_its_header(root):
    path = place(root, "bold.nii.gz")
    path.write_bytes(path.read_bytes()[:60])
    return path


def empty(root):
    place(root, "bold.nii.gz").write_bytes(b"")
    return place(root, "bold.nii.gz")


def not_gzip(root):
    path = place(root, "bold.nii.gz")
    path.write_text("<html>404 not found</html>")
    return path


def annex_link(root):
    path = place(root, "bold.nii.gz")
    path.unlink()
    path.symlink_to("../../.git/annex/objects/Xk/9v/MD5E-s1--a.nii.gz/MD5E-s1--a.nii.gz")
    return path


def annex_pointer(root):
    path = place(root, "bold.nii.gz")
    path.write_text("/annex/objects/MD5E-s1--a.nii.gz\n")
    return path


def annexed_confounds(root):
    path = place(root, "confounds_timeseries.tsv")
    path.write_text("/annex/objects/MD5E-s1--a.tsv\n")
    return path


def dangling_link(root):
    path = place(root, "bold.nii.gz")
    path.unlink()
    path.symlink_to(root / "gone.nii.gz")
    return path


def three_dimensions(root):
    path = place(root, "bold.nii.gz")
    rewrite(path, lambda data, affine: (data[..., 0], affine))
    return path


def shifted_mask(root):
    path = place(root, "mask.nii.gz")
    rewrite(path, lambda data, affine: (data, affine + np.eye(4, k=3) * 2))
    return path


def smaller_mask(root):
    path = place(root, "mask.nii.gz")
    rewrite(path, lambda data, affine: (data[:-1], affine))
    return path


def empty_mask(root):
    path = place(root, "mask.nii.gz")
    rewrite(path, lambda data, affine: (data * 0, affine))
    return path


def probability_mask(root):
    path = place(root, "mask.nii.gz")
    rewrite(
        path,
        lambda data, affine: (np.linspace(0, 1, data.size, dtype="f4").reshape(data.shape), affine),
    )
    return path


def four_dimensional_mask(root):
    path = place(root, "mask.nii.gz")
    rewrite(path, lambda data, affine: (np.stack([data] * 2, axis=-1), affine))
    return path


def short_confounds(root):
    path = place(root, "confounds_timeseries.tsv")
    edit(path, lambda table: table.head(39))
    return path


def column_not_there(root):
    path = place(root, "confounds_timeseries.tsv")
    edit(path, lambda table: table.rename({"csf": "CSF"}))
    return path


def text_in_confounds(root):
    path = place(root, "confounds_timeseries.tsv")
    edit(path, lambda table: table.with_columns(csf=pl.lit("high")))
    return path


def gap_in_confounds(root, gap=None):
    path, rows = place(root, "confounds_timeseries.tsv"), pl.int_range(pl.len())
    csf = pl.when(rows != 7).then("csf").otherwise(gap)
    edit(path, lambda table: table.with_columns(csf=csf))
    return path


def infinite_confounds(root):
    return gap_in_confounds(root, float("inf"))


def empty_confounds(root):
    path = place(root, "confounds_timeseries.tsv")
    path.write_bytes(b"")
    return path


def confounds_without_rows(root):
    path = place(root, "confounds_timeseries.tsv")
    edit(path, lambda table: table.head(0))
    return path


def binary_confounds(root):
    path = place(root, "confounds_timeseries.tsv")
    path.write_bytes(bytes(range(128, 256)) * 20)
    return path


def tr_in_milliseconds(root):
    place(root, "bold.json").write_text('{"RepetitionTime": 2000}')
    return place(root, "bold.nii.gz")


def header_in_milliseconds(root):
    place(root, "bold.json").unlink()
    path = place(root, "bold.nii.gz")
    image = nib.load(path)
    image.header.set_zooms((2, 2, 3, 2000))
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header), path)
    return path


def no_tr(root):
    place(root, "bold.json").write_text("{}")
    path = place(root, "bold.nii.gz")
    image = nib.load(path)
    image.header["pixdim"][4] = 0
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header), path)
    return path


def unreadable_sidecar(root):
    place(root, "bold.json").write_text('{"RepetitionTime": 2.')
    return place(root, "bold.nii.gz")


def above_nyquist(root):
    place(root, "bold.json").write_text('{"RepetitionTime": 6}')
    return place(root, "bold.nii.gz")


def short_run(root):
    path = place(root, "bold.nii.gz")
    rewrite(path, lambda data, affine: (data[..., :30], affine))
    place(root, "bold.json").write_text('{"RepetitionTime": 2}')
    edit(place(root, "confounds_timeseries.tsv"), lambda table: table.head(30))
    return path


def text_as_image(root):
    path = place(root, "bold.nii.gz")
    path.write_bytes(gzip.compress(b"subject\tage\n" * 100))
    return path


SPOILERS = {
    truncated: ("cut short", "copy it again"),
    without_checksum: ("cut short", "copy it again"),
    flipped_bit: ("cannot be read", "copy it again"),
    cut_in_its_header: ("cannot be read", "copy it again"),
    empty: ("empty (0 bytes)", "copy it again"),
    not_gzip: ("gzip", "copy it again"),
    text_as_image: ("cannot be read", "copy it again"),
    annex_link: ("content is not here", "datalad get"),
    annex_pointer: ("content is not here", "datalad get"),
    annexed_confounds: ("content is not here", "datalad get"),
    dangling_link: ("gone.nii.gz, which does not exist", "mend the link"),
    three_dimensions: ("4-D image", "does the role's query match"),
    shifted_mask: ("different grids", "same space and resolution"),
    smaller_mask: ("different grids", "same space and resolution"),
    empty_mask: ("mask is empty", "make it again"),
    probability_mask: ("not a binary mask", "threshold it"),
    four_dimensional_mask: ("3-D image is due", "(5, 6, 4, 2)", "take one volume"),
    short_confounds: ("39 rows", "40 frames", "same run"),
    column_not_there: ("no column 'csf'", "there are: trans_x"),
    text_in_confounds: ("'csf'", "numbers are due", "mend the table"),
    gap_in_confounds: ("'csf'", "row 8", "mend the table"),
    infinite_confounds: ("'csf'", "row 8", "mend the table"),
    empty_confounds: ("empty (0 bytes)", "copy it again"),
    confounds_without_rows: ("no rows", "copy it again"),
    binary_confounds: ("is not text in UTF-8", "save it so"),
    tr_in_milliseconds: ("2000 s", "give it in seconds"),
    header_in_milliseconds: ("2000 s", "give it in seconds"),
    no_tr: ("repetition time is unknown", "give it before transform"),
    unreadable_sidecar: ("cannot be read from the sidecar", "give it in seconds"),
    above_nyquist: ("0.1 Hz", "Nyquist", "lower it or leave it out"),
    short_run: ("30 frames", "leave short runs out"),
}
