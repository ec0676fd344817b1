"""Bad CIFTI files: an error that names the file and the remedy, and no harm to other records."""

import tracemalloc

import brains
import nibabel as nib
import numpy as np
import pytest
from isolation import only_the_second_fails

import entense as et

NAMES = {1: "V1", 2: "V2"}


def good(folder, i):
    """Return a record's files."""
    axis = brains.small_axis()
    keys = np.arange(len(axis)) % 3
    return {
        "bold": brains.save_dense(folder / f"{i}.dtseries.nii", brains.noise(i, 8, 24), axis),
        "mask": brains.save_scalars(folder / f"{i}.dscalar.nii", keys > 0, axis),
        "atlas": brains.save_labels(folder / f"{i}.dlabel.nii", keys, axis, NAMES),
    }


# each spoils the second record and returns the file that is to be named


def cut(path, lost):
    path.write_bytes(path.read_bytes()[:-lost])
    return path


def cut_short(files):
    return cut(files["bold"], 100)


def cut_in_its_xml(files):
    path = files["bold"]
    path.write_bytes(path.read_bytes()[:1500])
    return path


def cut_in_its_header(files):
    path = files["bold"]
    path.write_bytes(path.read_bytes()[:300])
    return path


def cut_labels(files):
    return cut(files["atlas"], 40)


def empty(files):
    files["bold"].write_bytes(b"")
    return files["bold"]


def cifti_1(files):
    """nibabel cannot write it: the number of the version is what tells it apart."""
    brains.edit_xml(files["bold"], Version="1")
    return files["bold"]


def cifti_1_labels(files):
    brains.edit_xml(files["atlas"], Version="1.0")
    return files["atlas"]


def damaged_xml(files):
    brains.change_xml(files["bold"], lambda text: text.replace("</BrainModel>", "</Brian>", 1))
    return files["bold"]


def damaged_xml_of_labels(files):
    brains.change_xml(files["atlas"], lambda text: text.replace("</BrainModel>", "</Brian>", 1))
    return files["atlas"]


def xml_of_another_length(files):
    brains.edit_xml(files["bold"], NumberOfSeriesPoints=9)
    return files["bold"]


def no_frames(files):
    brains.edit_xml(files["bold"], NumberOfSeriesPoints=0)
    return files["bold"]


def no_length(files):
    brains.edit_xml(files["bold"], NumberOfSeriesPoints="many")
    return files["bold"]


def an_endless_step(files):
    brains.edit_xml(files["bold"], SeriesExponent=4000)
    return files["bold"]


def structure_twice(files):
    """The second hemisphere says that it is the first."""
    brains.change_xml(files["bold"], lambda text: text.replace("CORTEX_RIGHT", "CORTEX_LEFT"))
    return files["bold"]


def billion_laughs(files):
    bomb = '<!DOCTYPE CIFTI [<!ENTITY a0 "haha">' + "".join(
        f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
    )
    brains.change_xml(
        files["atlas"], lambda text: f"{bomb}]>{text.replace('<Matrix>', '<Matrix>&a9;')}"
    )
    return files["atlas"]


def resized(path, **dims):
    """Make the header claim another size."""
    raw = path.read_bytes()
    header = nib.Nifti2Header(raw[:540])
    for place, size in dims.items():
        header["dim"][int(place[1:])] = size
    path.write_bytes(header.binaryblock + raw[540:])
    return path


def header_of_another_size(files):
    return resized(files["bold"], d5=7)


def hostile_columns(files):
    return resized(files["bold"], d6=2**31)


def hostile_frames(files):
    brains.edit_xml(files["bold"], NumberOfSeriesPoints=2**40)
    return resized(files["bold"], d5=2**40)


def hostile_extension(files):
    """An extension that says it is 2 GiB, in a header that says so too."""
    path = files["bold"]
    raw = path.read_bytes()
    header = nib.Nifti2Header(raw[:540])
    header["vox_offset"] = 2**40
    path.write_bytes(header.binaryblock + raw[540:544] + b"\xff\xff\xff\x7f" + raw[548:])
    return path


def a_volume(files):
    image = nib.Nifti1Image(np.ones((3, 4, 5, 8), "f4"), brains.MM3)
    files["bold"].write_bytes(image.to_bytes())
    return files["bold"]


def a_packed_volume(files):
    image = nib.Nifti1Image(np.ones((3, 4, 5, 8), "f4"), brains.MM3)
    files["bold"] = files["bold"].with_name("bold.nii.gz")
    nib.save(image, files["bold"])
    return files["bold"]


def a_map(files):
    files["bold"] = files["mask"]
    return files["bold"]


def text(files):
    files["bold"].write_text("<html>404 not found</html>" * 99)
    return files["bold"]


def mask_of_other_voxels(files):
    axis = brains.small_axis(voxels=9)
    files["mask"] = brains.save_scalars(files["mask"], np.ones(len(axis)), axis)
    return files["bold"]


def mask_of_another_surface(files):
    axis = brains.small_axis(vertices=13)
    files["mask"] = brains.save_scalars(files["mask"], np.ones(len(axis)), axis)
    return files["bold"]


def mask_in_another_volume(files):
    brains.save_scalars(files["mask"], np.ones(24), elsewhere(brains.small_axis()))
    return files["bold"]


def mask_in_a_larger_volume(files):
    axis = brains.small_axis()
    axis.volume_shape = (9, 9, 9)
    brains.save_scalars(files["mask"], np.ones(24), axis)
    return files["bold"]


def atlas_in_another_volume(files):
    axis = elsewhere(brains.small_axis())
    return brains.save_labels(files["atlas"], np.ones(24), axis, NAMES)


def elsewhere(axis):
    """Return the same axis, its voxels half a millimetre off."""
    affine = axis.affine + np.diag([0, 0, 0.5, 0])
    parts = (axis.name, axis.voxel, axis.vertex, affine, axis.volume_shape, axis.nvertices)
    return brains.BrainModelAxis(*parts)


def atlas_of_another_surface(files):
    axis = brains.small_axis(vertices=13)
    brains.save_labels(files["atlas"], np.ones(len(axis)), axis, NAMES)
    return files["atlas"]


def atlas_of_two_maps(files):
    keys = np.arange(24) % 3
    return brains.save_labels(files["atlas"], keys, brains.small_axis(), NAMES, maps=2)


def atlas_without_labels(files):
    return brains.save_labels(files["atlas"], np.zeros(24), brains.small_axis(), NAMES)


def atlas_that_is_no_dlabel(files):
    path = files["atlas"]
    return brains.save_scalars(path, np.ones(24), brains.small_axis())


def atlas_that_is_a_volume(files):
    files["atlas"] = files["atlas"].with_name("atlas.nii.gz")
    return brains.save_volume(files["atlas"], np.ones((5, 6, 4), "i2"))


def empty_mask(files):
    return brains.save_scalars(files["mask"], np.zeros(24), brains.small_axis())


def no_mask(files):
    files["mask"] = None
    return files["bold"]


FAULTS = {
    cut_short: ("cut short, it holds 20 of 24 columns", "copy it again"),
    cut_in_its_xml: ("cut short", "XML", "copy it again"),
    cut_in_its_header: ("copy it again",),
    cut_labels: ("copy it again",),
    empty: ("empty (0 bytes)", "copy it again"),
    cifti_1: ("CIFTI of version 1,", "-cifti-version-convert"),
    cifti_1_labels: ("CIFTI of version 1.0", "-cifti-version-convert"),
    damaged_xml: ("mismatched tag", "copy it again"),
    damaged_xml_of_labels: ("mismatched tag", "copy it again"),
    xml_of_another_length: ("header and XML differ in the shape", "make the file again"),
    no_frames: ("XML does not say how long it is", "copy it again"),
    no_length: ("XML does not say how long it is", "copy it again"),
    an_endless_step: ("XML does not say how long it is", "copy it again"),
    structure_twice: ("stands twice", "copy it again"),
    billion_laughs: ("amplification", "copy it again"),
    header_of_another_size: ("header and XML differ in the shape", "make the file again"),
    hostile_columns: ("header and XML differ in the shape", "make the file again"),
    hostile_frames: ("cut short, it holds 0 of 24 columns", "copy it again"),
    hostile_extension: ("cut short", "copy it again"),
    a_volume: ("NIfTI image without CIFTI's XML", "et.volume"),
    a_packed_volume: ("no CIFTI file", ".dtseries.nii"),
    a_map: ("a dtseries or ptseries is due, this holds", "the role's query"),
    text: ("no CIFTI file", ".dtseries.nii"),
    mask_of_other_voxels: ("it lacks 3 of the 9 of thalamus_left", "same space and density"),
    mask_of_another_surface: ("13 vertices", "different surfaces", "same space and density"),
    mask_in_a_larger_volume: ("different shape or place", "same space and density"),
    mask_in_another_volume: ("different shape or place", "same space and density"),
    atlas_in_another_volume: ("another shape or place", "space and resolution"),
    atlas_of_another_surface: ("other surfaces", "13 vertices", "space and density"),
    atlas_of_two_maps: ("one map is due, this has 2", "wb_command -cifti-merge"),
    atlas_without_labels: ("the atlas is empty", "make it again"),
    atlas_that_is_no_dlabel: ("a dlabel is due", "name another file"),
    atlas_that_is_a_volume: ("lies in a volume", "a .dlabel.nii"),
    empty_mask: ("the mask is empty", "make it again"),
    no_mask: ("no file for its mask", "drop_incomplete"),
}


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda spoil: spoil.__name__)
def test_a_bad_file_never_stops_the_others(tmp_path, spoil):
    only_the_second_fails(tmp_path, good, et.cifti("bold", mask="mask"), spoil, FAULTS[spoil])


@pytest.mark.parametrize("spoil", [hostile_columns, hostile_frames, hostile_extension])
def test_no_memory_is_taken_for_what_is_not_there(tmp_path, spoil):
    path = spoil(good(tmp_path, 0))
    tracemalloc.start()
    try:
        with pytest.raises(et.RecordError, match=str(path)):
            brains.one(et.cifti("bold"), bold=path)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
