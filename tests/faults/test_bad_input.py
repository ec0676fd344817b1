"""Bad input: an error that names the file and the remedy, and never harm to another record."""

import os
import resource
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import polars as pl
import pytest

import entense as et
from entense.errors import ArchiveError, EntenseError, RecordError, TableError

ROLES = {
    "bold": {"suffix": "bold", "desc": "preproc"},
    "mask": {"suffix": "mask", "desc": "brain"},
    "confounds": {"suffix": "timeseries", "desc": "confounds"},
}


@pytest.fixture(autouse=True)
def plan():
    """The real plan, where the other tests of this folder have a stand-in."""


@pytest.fixture
def root(study):
    """Three good runs; the tests spoil the second."""
    for subject in ("01", "02", "03"):
        study.run(subject)
    study.atlas()
    return study.root


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


# ---- one bad record among good ones


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
    path = place(root, "bold.nii.gz")
    path.write_bytes(b"")
    return path


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


def gap_in_confounds(root):
    path = place(root, "confounds_timeseries.tsv")
    rows = pl.int_range(pl.len())
    edit(path, lambda table: table.with_columns(csf=pl.when(rows != 7).then("csf")))
    return path


def infinite_confounds(root):
    path = place(root, "confounds_timeseries.tsv")
    rows = pl.int_range(pl.len())
    edit(
        path,
        lambda table: table.with_columns(
            csf=pl.when(rows != 7).then("csf").otherwise(float("inf"))
        ),
    )
    return path


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
    import gzip

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
    column_not_there: ("no column 'csf'", "it has trans_x"),
    text_in_confounds: ("'csf'", "numbers are due", "mend the table"),
    gap_in_confounds: ("'csf'", "row 8", "mend the table"),
    infinite_confounds: ("'csf'", "row 8", "mend the table"),
    empty_confounds: ("empty (0 bytes)", "copy it again"),
    confounds_without_rows: ("0 rows", "40 frames"),
    binary_confounds: ("no column 'trans_x'", "it has"),
    tr_in_milliseconds: ("2000 s", "give it in seconds"),
    header_in_milliseconds: ("2000 s", "give it in seconds"),
    no_tr: ("repetition time is unknown", "give it before transform"),
    unreadable_sidecar: ("cannot be read from the sidecar", "give it in seconds"),
    above_nyquist: ("0.1 Hz", "Nyquist", "lower it or leave it out"),
    short_run: ("30 frames", "leave short runs out"),
}


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_one_bad_record_never_stops_the_others(root, tmp_path, spoil):
    good = cleaned(root).filter(pl.col("subject") != "02").entense.collect()
    path = spoil(root)
    table = cleaned(root)
    with pytest.raises(ArchiveError) as raised:
        table.entense.write(tmp_path / "out", shard_size=1)
    said(raised, "1 of 3 records", 'on_error="skip"')
    (line,) = str(raised.value).splitlines()[1:]
    says(line, "study_sub-02", str(path), *SPOILERS[spoil])
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("out/all/*.tar")}
    assert len(kept) == 2
    archive = table.entense.write(tmp_path / "out", shard_size=1, on_error="skip")
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("out/all/*.tar")} == kept
    check_others(archive, good, line.partition(": ")[2])


def check_others(archive, good, error):
    assert archive.records["error"].to_list() == [None, error, None]
    assert archive.verify().records == 2
    for name in ("clean", "ts"):
        for row, values in zip((0, 2), et.to_numpy(good[name]), strict=True):
            assert np.array_equal(archive[row][name], values, equal_nan=True)
    with pytest.raises(RecordError, match="could not be computed"):
        archive[1]
    assert sum(len(batch["record"]) for batch in archive.loader(batch_size=2)) == 2


def said(raised, *words):
    says(str(raised.value), *words)


def says(text, *words):
    for word in words:
        assert word in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    "spoil", [truncated, short_confounds, empty_mask], ids=lambda s: s.__name__
)
def test_collect_and_loader_name_the_file_too(root, spoil):
    path = spoil(root)
    with pytest.raises(RecordError) as raised:
        cleaned(root).entense.collect()
    said(raised, "1 of 3 records", str(path), *SPOILERS[spoil])
    with pytest.raises(RecordError) as raised:
        list(cleaned(root).entense.loader(batch_size=1))
    said(raised, "sub-02", str(path), *SPOILERS[spoil])


@pytest.mark.parametrize(
    "spoil", [tr_in_milliseconds, no_tr, unreadable_sidecar], ids=lambda spoil: spoil.__name__
)
def test_a_tr_that_the_user_gives_is_the_remedy(root, spoil):
    expected = et.to_numpy(cleaned(root).entense.collect()["clean"])
    spoil(root)
    clean = volume().denoise("confounds", ["trans_x", "csf"], high_pass=0.02, low_pass=0.1)
    table = staged(root).with_columns(bold_tr=2.0).entense.transform(clean=clean.zscore())
    assert np.array_equal(et.to_numpy(table.entense.collect()["clean"]), expected)


def test_without_a_filter_no_tr_is_needed(root):
    no_tr(root)
    table = staged(root).entense.transform(x=volume().denoise("confounds", "6P").zscore())
    assert len(table.entense.collect()) == 3


@pytest.mark.parametrize(("shard_size", "finished"), [(1, 2), ("512MB", 0)])
def test_a_bad_record_that_is_repaired_is_all_that_a_rerun_writes(
    root, tmp_path, shard_size, finished
):
    good = cleaned(root).entense.write(tmp_path / "good", shard_size=shard_size)
    path = place(root, "bold.nii.gz")
    whole = path.read_bytes()
    truncated(root)
    with pytest.raises(ArchiveError):
        cleaned(root).entense.write(tmp_path / "out", shard_size=shard_size)
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("out/all/*.tar")}
    assert len(kept) == finished
    with pytest.raises(ArchiveError, match="unfinished; run the same write again"):
        et.open(tmp_path / "out")
    path.write_bytes(whole)
    archive = cleaned(root).entense.write(tmp_path / "out", shard_size=shard_size)
    assert archive.records["error"].null_count() == len(archive) == 3
    assert archive.manifest == good.manifest
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def test_when_every_record_is_bad_skip_raises_too(root, tmp_path):
    for table in root.glob("sub-*/func/*.tsv"):
        table.write_bytes(b"")
    with pytest.raises(ArchiveError) as raised:
        cleaned(root).entense.write(tmp_path / "out", on_error="skip")
    said(raised, "3 of 3 records", *(str(path) for path in root.glob("sub-*/func/*.tsv")))


def test_a_file_that_was_moved(root, tmp_path):
    table = cleaned(root).collect()
    path = place(root, "bold.nii.gz")
    elsewhere = path.rename(tmp_path / path.name)
    with pytest.raises(RecordError) as raised:
        table.entense.collect()
    said(raised, "1 of 3 records", f"{path}: there is no such file", "et.relocate")
    moved = et.relocate(table, {str(path): str(elsewhere)})
    assert len(moved.entense.collect()) == 3


# ---- atlases: one file for all records


def atlas_on_another_grid(path):
    rewrite(path, lambda data, affine: (data, affine @ np.diag([1.5, 1.5, 1, 1])))


def probabilistic_atlas(path):
    rewrite(path, lambda data, affine: (data.astype("f4") / 10, affine))


def atlas_of_maps(path):
    rewrite(path, lambda data, affine: (np.stack([data > 0, data > 2], -1).astype("f4"), affine))


def negative_atlas(path):
    rewrite(path, lambda data, affine: (-data, affine))


def empty_atlas(path):
    rewrite(path, lambda data, affine: (data * 0, affine))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (atlas_on_another_grid, ("another grid", "same space and resolution")),
        (probabilistic_atlas, ("not a label image", "dseg")),
        (atlas_of_maps, ("3-D image is due", "(5, 6, 4, 2)", "take one volume")),
        (negative_atlas, ("not a label image", "dseg")),
        (empty_atlas, ("label image is empty", "make it again")),
        (Path.unlink, ("no such file", "relocate")),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_atlas_that_does_not_fit(root, spoil, words):
    path = root.parent / "atlas.nii.gz"
    spoil(path)
    with pytest.raises(RecordError) as raised:
        cleaned(root).entense.collect()
    said(raised, "3 of 3 records", str(path), *words)


# ---- the steps before


@pytest.mark.parametrize(
    "spoil", [empty_mask, probability_mask, shifted_mask], ids=lambda s: s.__name__
)
def test_a_group_mask_of_a_bad_mask(root, tmp_path, spoil):
    path = spoil(root)
    with pytest.raises(EntenseError) as raised:
        staged(root).entense.group_mask("mask", to=tmp_path / "brain.nii.gz")
    words = {shifted_mask: ("another grid", "stage one space and resolution")}
    said(raised, str(path), *words.get(spoil, SPOILERS[spoil]))
    assert not (tmp_path / "brain.nii.gz").exists()


def test_a_group_mask_needs_a_mask_of_each_record(root, tmp_path):
    place(root, "mask.nii.gz").unlink()
    with pytest.raises(TableError, match=r"1 of 3 records have no 'mask'.*drop_incomplete"):
        staged(root).entense.group_mask("mask", to=tmp_path / "brain.nii.gz")
    with pytest.raises(TableError, match=r"no voxel lies in 90% .*lower the threshold"):
        apart(root).entense.group_mask("mask", to=tmp_path / "brain.nii.gz")


def apart(root):
    """Return a table in which the two masks that are left share no voxel."""
    for number, path in enumerate(sorted(root.glob("sub-*/func/*mask.nii.gz"))):
        rewrite(
            path,
            lambda data, affine, n=number: (
                (np.arange(data.size) == n).reshape(data.shape).astype("u1"),
                affine,
            ),
        )
    return staged(root).entense.drop_incomplete("mask")


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_explain_takes_what_is_bad_as_it_comes(root, spoil):
    spoil(root)
    plan = cleaned(root)
    assert "denoise" in plan.entense.explain()
    assert "denoise" in plan.filter(pl.col("subject") == "02").entense.explain()


# ---- values that are no numbers, or never change


def test_nan_and_constant_voxels_are_counted_and_not_spread(study, tmp_path):
    whole = np.random.default_rng(0).normal(1000, 10, (*study.shape, 40)).astype("f4")
    places = np.argwhere(study.inside)
    nan, inf, still = (tuple(places[i]) for i in (40, 50, 60))
    spoilt = whole.copy()
    spoilt[nan][3], spoilt[inf][:], spoilt[still][:] = np.nan, np.inf, 1000
    study.run("01", data=whole)
    study.run("02", data=spoilt, seed=0)
    study.atlas()
    table = cleaned(study.root).entense.transform(
        fc=et.col("ts").correlation(), pooled=et.col("clean").parcellate("atlas")
    )
    archive = table.entense.write(tmp_path / "out")
    counts = archive.records["clean"].struct
    assert counts.field("nonfinite").to_list() == [0, 2]
    assert counts.field("constant").to_list() == [0, 1]
    assert archive.records["ts"].struct.field("absent").to_list() == [1, 1]
    good, bad = archive[0], archive[1]
    others = np.ones(len(places), bool)
    others[[40, 50, 60]] = False
    assert np.isfinite(good["clean"]).all()
    assert np.allclose(good["clean"][:, others], bad["clean"][:, others], atol=1e-4)
    assert np.isnan(bad["clean"][:, [40, 50]]).all()
    assert not bad["clean"][:, 60].any()
    for name in ("ts", "fc", "pooled"):  # the parcels leave the two out; only the absent one is NaN
        assert np.array_equal(np.isnan(good[name]), np.isnan(bad[name]))
        assert np.isfinite(bad[name][:3, :3]).all()


# ---- folders


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(TableError, match=r"no folder .*nowhere; give the folder that holds"):
        et.scan(tmp_path / "nowhere")


def test_an_empty_folder(tmp_path):
    with pytest.raises(TableError) as raised:
        et.scan(tmp_path)
    said(raised, f"{tmp_path} holds no files", "give the folder that holds the dataset")


def test_a_folder_that_is_no_derivative(tmp_path):
    for name in ("holiday.jpg", "tax.pdf", "sub-01.txt"):
        (tmp_path / name).touch()
    with pytest.raises(TableError) as raised:
        et.scan(tmp_path)
    said(raised, str(tmp_path), "holiday.jpg", "sub-01_task-rest", "give the output folder")


# ---- roles


def test_a_role_that_nothing_matches_says_what_is_there(root):
    with pytest.raises(TableError) as raised:
        et.stage(et.scan(root), bold={"suffix": "bold", "space": "T1w"})
    said(raised, "'bold'", "space='T1w'", "there is space: MNI152NLin2009cAsym")
    with pytest.raises(TableError) as raised:
        et.stage(et.scan(root), bold={"sufix": "bold"})
    said(raised, "'sufix'", "did you mean 'suffix'?")


def test_two_candidates_for_a_role(root):
    path = place(root, "confounds_timeseries.tsv")
    other = path.with_name(path.name.replace("confounds", "custom"))
    shutil.copy(path, other)
    with pytest.raises(TableError) as raised:
        et.stage(et.scan(root), bold=ROLES["bold"], confounds={"suffix": "timeseries"})
    said(raised, str(path), str(other), "'desc'", "'confounds' or 'custom'")
    with pytest.raises(TableError) as raised:
        et.stage(et.scan(root), confounds={"suffix": "timeseries"})
    said(raised, str(path), str(other), "one record", "'desc'")


@pytest.mark.parametrize(
    ("role", "word"), [("mask", "mask"), ("confounds", "table"), ("bold", "image")]
)
def test_a_record_without_a_file_for_a_role(root, tmp_path, role, word):
    table = staged(root).with_columns(pl.when(pl.col("subject") != "02").then(role).alias(role))
    table = cleaned_of(table)
    with pytest.raises(ArchiveError) as raised:
        table.entense.write(tmp_path / "out")
    said(raised, "1 of 3 records", "study_sub-02", f"no file for its {word}", "drop_incomplete()")
    assert len(table.entense.write(tmp_path / "out", on_error="skip").rows(None)) == 2
    assert len(table.entense.drop_incomplete().entense.collect()) == 2


# ---- columns


def volume(**more):
    return et.volume("bold", mask="mask", **more)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda t, _: t.entense.transform(x=et.volume("bald", mask="mask")), ("'bald'", "'bold'?")),
        (lambda t, _: t.entense.transform(x=et.volume("bold", mask="m.nii")), ("'m.nii'", "give")),
        (
            lambda t, _: t.entense.transform(x=volume().denoise("conf", "6P")),
            ("'conf'", "'confoun"),
        ),
        (lambda t, _: t.entense.transform(x=et.col("claen")), ("'claen'", "there are none yet")),
        (lambda t, _: t.entense.group_mask("brain", to="x.nii.gz"), ("'brain'", "it has dataset")),
        (lambda t, _: t.entense.drop_incomplete("mesk"), ("'mesk'", "did you mean 'mask'?")),
        (lambda t, _: t.entense.split({"a": 1.0}, by="family"), ("'family'", "there are: dataset")),
        (
            lambda t, out: cleaned_of(t).entense.write(out, columns=["aeg"]),
            ("'aeg'", "it has"),
        ),
    ],
)
def test_a_column_that_is_not_there(root, tmp_path, step, words):
    with pytest.raises((TableError, ArchiveError)) as raised:
        step(staged(root), tmp_path / "out")
    said(raised, *words)


def cleaned_of(table):
    return table.entense.transform(x=volume().denoise("confounds", ["csf"]))


def test_a_phenotype_table_with_duplicate_subjects(root, tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_text("participant_id\tage\nsub-01\t20\nsub-02\t30\n02\t31\n")
    with pytest.raises(TableError) as raised:
        staged(root).entense.join_table(path)
    said(raised, f"{path} has more than one row for subject '02'", "keep one", "on=")


# ---- places to write to


@contextmanager
def small_disk(folder, size):
    """Mount a disk of `size` on a folder; skip the test where this machine does not let us."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting a small disk takes rights that this user lacks")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(root, tmp_path):
    with small_disk(tmp_path / "small", "64k") as disk:
        with pytest.raises(ArchiveError) as raised:
            cleaned(root).entense.write(disk / "out", shard_size=1)
        said(raised, str(disk / "out"), "is full", "free some space and write again")
        left = [path.name for path in disk.rglob("*") if path.is_file()]
        assert not [name for name in left if name.endswith(".partial")]
        shards = list(disk.rglob("*.tar"))
        kept = {path: path.stat().st_mtime_ns for path in shards}
        assert 0 < len(kept) < 3
        with pytest.raises(ArchiveError, match="unfinished; run the same write again"):
            et.open(disk / "out")
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        archive = cleaned(root).entense.write(disk / "out", shard_size=1)
        assert archive.verify().records == 3
        assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_may_not_grow(root, tmp_path):
    """What stands in for a full disk where none can be mounted."""
    table = cleaned(root)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        with pytest.raises(ArchiveError) as raised:
            table.entense.write(tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said(raised, str(tmp_path / "out"), "cannot be written (File too large)", "choose another")
    assert table.entense.write(tmp_path / "out").verify().records == 3


def test_an_output_folder_that_holds_something_else(root, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(ArchiveError) as raised:
            cleaned(root).entense.write(out, overwrite=overwrite)
        said(raised, f"{out} holds something else", "choose another folder")
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]
    with pytest.raises(ArchiveError) as raised:
        cleaned(root).entense.write(out / "thesis.tex")
    said(raised, "is a file, not a folder", "choose another")


def test_another_archive_in_the_output_folder(root, tmp_path):
    cleaned(root).entense.write(tmp_path / "out")
    other = cleaned_of(staged(root))
    with pytest.raises(ArchiveError) as raised:
        other.entense.write(tmp_path / "out")
    said(raised, str(tmp_path / "out"), "differs in its recipes", "overwrite=True")
    assert list(et.open(tmp_path / "out").schema) == ["clean", "ts"]
    assert list(other.entense.write(tmp_path / "out", overwrite=True).schema) == ["x"]


def test_an_output_that_cannot_be_written(root, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveError) as raised:
        cleaned(root).entense.write(tmp_path / "file" / "out")
    said(raised, str(tmp_path / "file" / "out"), "cannot be written", "choose another")
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(ArchiveError, match=r"cannot be written \(Permission denied\)"):
            cleaned(root).entense.write(tmp_path / "locked" / "out")


def test_a_read_only_disk(root, tmp_path):
    with small_disk(tmp_path / "small", "1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(ArchiveError) as raised:
            cleaned(root).entense.write(disk / "out")
        said(raised, str(disk / "out"), "cannot be written (Read-only file system)", "choose")
        with pytest.raises(EntenseError) as raised:
            staged(root).entense.group_mask("mask", to=disk / "brain.nii.gz")
        said(raised, str(disk / "brain.nii.gz"), "choose")
