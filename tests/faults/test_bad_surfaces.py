"""Bad GIFTI files: an error that names the file and the remedy, and no harm to others."""

import re
from pathlib import Path

import brains
import nibabel as nib
import numpy as np
import pytest
from isolation import only_the_second_fails

import entense as et

SIZES = {"L": 30, "R": 20}
NAMES = {1: "V1", 2: "V2"}


def good_surfaces(folder, i):
    """Return a record's files: series, masks, atlases of both hemispheres."""
    series = {side: brains.noise(i, 8, size) for side, size in SIZES.items()}
    return {
        "bold": brains.surfaces(folder, series, f"sub-{i}_hemi-{{}}_bold.func.gii"),
        "mask": label_pair(folder, f"sub-{i}_hemi-{{}}_mask.label.gii", {1: "cortex"}, 2),
        "atlas": label_pair(folder, f"sub-{i}_hemi-{{}}_atlas.label.gii", NAMES, 3),
    }


def label_pair(folder, name, names, modulo, sizes=SIZES):
    return {
        side: str(brains.save_keys(folder / name.format(side), np.arange(n) % modulo, names))
        for side, n in sizes.items()
    }


# each spoils the second record and returns the file that is to be named


def cut_short(files):
    return cut(files["bold"]["R"], 0.6)


def cut_in_its_header(files):
    return cut(files["bold"]["L"], 0.02)


def cut_labels(files):
    return cut(files["atlas"]["L"], 0.8)


def cut(path, part):
    data = Path(path).read_bytes()
    return write_bytes(path, data[: int(len(data) * part)])


def empty(files):
    return write(files["mask"]["L"], "")


def write(path, text):
    return write_bytes(path, text.encode())


def arrays_of_two_sizes(files):
    arrays = [np.zeros(30, "f4")] * 7 + [np.zeros(29, "f4")]
    return write(files["bold"]["L"], brains.gifti(arrays))


def fewer_arrays_than_it_says(files):
    return write(files["bold"]["L"], brains.gifti([np.zeros(30, "f4")] * 7, count=8))


def damaged_numbers(files):
    text = brains.gifti([np.ones(30, "f4")] * 8)
    return write(files["bold"]["L"], text.replace("<Data>", "<Data>AAAA"))


def hemispheres_of_other_frames(files):
    return write(files["bold"]["R"], brains.gifti([np.ones(20, "f4")] * 9, side="R"))


def left_is_right(files):
    files["bold"] = {"L": files["bold"]["R"], "R": files["bold"]["L"]}
    return files["bold"]["L"]


def one_hemisphere_missing(files):
    files["bold"]["R"] = None
    return files["bold"]["L"]


def one_hemisphere_of_the_mask_missing(files):
    files["mask"]["L"] = None
    return files["mask"]["R"]


def both_hemispheres_missing(files):
    files["bold"] = {"L": None, "R": None}
    return files["mask"]["L"]


def no_mask(files):
    files["mask"] = None
    return files["bold"]["L"]


def mask_of_another_surface(files):
    return write(files["mask"]["R"], brains.gifti([np.ones(25, "i4")], intent="LABEL"))


def atlas_of_another_surface(files):
    return write(files["atlas"]["L"], brains.gifti([np.ones(642, "i4")], intent="LABEL"))


def atlas_without_labels(files):
    write(files["atlas"]["R"], brains.gifti([np.zeros(20, "i4")], intent="LABEL"))
    return write(files["atlas"]["L"], brains.gifti([np.zeros(30, "i4")], intent="LABEL"))


def atlas_of_fractions(files):
    return write(files["atlas"]["L"], brains.gifti([np.ones(30, "f4")], intent="SHAPE"))


def empty_mask(files):
    write(files["mask"]["R"], brains.gifti([np.zeros(20, "i4")], intent="LABEL"))
    return write(files["mask"]["L"], brains.gifti([np.zeros(30, "i4")], intent="LABEL"))


def more_arrays_than_it_can_hold(files):
    text = Path(files["bold"]["L"]).read_text()
    return write(files["bold"]["L"], text.replace('Arrays="8"', 'Arrays="1000000000000"'))


def arrays_without_dimensions(files):
    text = Path(files["bold"]["L"]).read_text()
    return write(files["bold"]["L"], text.replace('Dimensionality="1"', 'Dimensionality="0"'))


def mesh(files):
    return write(files["bold"]["L"], (brains.GIFTI / "ascii.gii").read_text())


def numbers_in_another_file(files):
    """What lies beside it must not be read: the file's name could be anyone's."""
    text = brains.gifti([np.ones(30, "f4")] * 8, encoding="ExternalFileBinary")
    return write(files["bold"]["L"], text)


def later_numbers_in_another_file(files):
    text = brains.gifti([np.ones(30, "f4")] * 8)
    spoilt = brains.gifti([np.ones(30, "f4")], encoding="ExternalFileBinary")
    last = text.rindex("<DataArray")
    array = re.search("<DataArray.*</DataArray>", spoilt)[0]
    return write(files["bold"]["L"], text[:last] + array + "</GIFTI>")


BOMB = '<!DOCTYPE GIFTI [<!ENTITY a0 "haha">' + "".join(
    f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
)


def billion_laughs(files):
    text = brains.gifti([np.ones(30, "f4")] * 8)
    text = text.replace('<!DOCTYPE GIFTI SYSTEM "gifti.dtd">', f"{BOMB}]>")
    return write(files["bold"]["L"], text.replace("<MetaData>", "<MetaData>&a9;", 1))


def billion_laughs_in_a_label(files):
    text = brains.gifti([np.ones(30, "f4")] * 8)
    text = text.replace('<!DOCTYPE GIFTI SYSTEM "gifti.dtd">', f"{BOMB}]>")
    return write(files["bold"]["L"], text.replace("</GIFTI>", "&a9;</GIFTI>"))


def more_vertices_than_it_can_hold(files):
    text = brains.gifti([np.ones(30, "f4")] * 8).replace('Dim0="30"', 'Dim0="20000000000"')
    return write(files["bold"]["L"], text)


def a_volume(files):
    image = nib.Nifti1Image(np.ones((3, 4, 5, 8), "f4"), brains.MM3)
    return write_bytes(files["bold"]["L"], image.to_bytes())


def write_bytes(path, data):
    Path(path).write_bytes(data)
    return path


SURFACES = {
    cut_short: ("damaged", "copy it again"),
    cut_in_its_header: ("no GIFTI file, or it is damaged", "copy it again"),
    cut_labels: ("damaged", "copy it again"),
    empty: ("empty (0 bytes)", "copy it again"),
    arrays_of_two_sizes: ("not of one size", "8 frames of 30 vertices", "make it again"),
    fewer_arrays_than_it_says: (
        "8 frames of 30 vertices",
        "copy it again",
    ),
    damaged_numbers: ("cannot be read", "copy it again"),
    hemispheres_of_other_frames: ("8 frames", "has 9", "the same run"),
    left_is_right: ("the R hemisphere and is given as L", "exchange the two"),
    one_hemisphere_missing: ("other hemisphere is missing", "drop_incomplete"),
    one_hemisphere_of_the_mask_missing: ("other hemisphere is missing", "drop_incomplete"),
    both_hemispheres_missing: ("no file for its image", "drop_incomplete"),
    no_mask: ("no file for its mask", "drop_incomplete"),
    mask_of_another_surface: ("of different surfaces", "25 vertices", "same space and density"),
    atlas_of_another_surface: ("642 of 642 vertices", "30", "the image's space and density"),
    atlas_without_labels: ("the atlas is empty", "make it again"),
    atlas_of_fractions: ("no labels but float32", "name a .label.gii"),
    empty_mask: ("the mask is empty", "make it again"),
    more_arrays_than_it_can_hold: ("1,000,000,000,000 arrays", "copy it again"),
    arrays_without_dimensions: ("8 arrays of ()", "copy it again"),
    mesh: ("mesh of a surface", ".func.gii"),
    numbers_in_another_file: ("in another file", "wb_command -gifti-convert"),
    later_numbers_in_another_file: ("ExternalFileBinary", "copy it again"),
    billion_laughs: ("amplification", "copy it again"),
    billion_laughs_in_a_label: ("amplification", "copy it again"),
    more_vertices_than_it_can_hold: ("(20000000000,) numbers", "copy it again"),
    a_volume: ("no GIFTI file", ".func.gii"),
}


@pytest.mark.parametrize("spoil", SURFACES, ids=lambda spoil: spoil.__name__)
@pytest.mark.filterwarnings("ignore:Actual # of data arrays")
def test_a_bad_surface_never_stops_the_others(tmp_path, spoil):
    only_the_second_fails(
        tmp_path, good_surfaces, et.surface("bold", mask="mask"), spoil, SURFACES[spoil]
    )


def test_nothing_beside_a_gifti_file_is_read(tmp_path):
    (tmp_path / "other.dat").write_bytes(np.ones(30, "f4").tobytes())
    text = brains.gifti([np.ones(30, "f4")], encoding="ExternalFileBinary")
    path = write(tmp_path / "x.func.gii", text)
    assert nib.load(path).darrays[0].data.tolist() == [1] * 30
    with pytest.raises(et.RecordError, match="in another file"):
        brains.one(et.surface("bold"), bold=path)
