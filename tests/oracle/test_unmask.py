"""Values of an archive go back to where nibabel says that they were, on every geometry."""

import brains
import nibabel as nib
import numpy as np
import pytest

import entense as et

FRAMES = 8


def a_volume(folder):
    inside = np.random.default_rng(0).random((5, 6, 4)) > 0.3
    data = brains.noise(0, 5, 6, 4, FRAMES) * inside[..., None]
    roles = {
        "bold": brains.save_volume(folder / "b.nii.gz", data, "LAS"),
        "mask": brains.save_volume(folder / "m.nii.gz", inside.astype("u1"), "PSR"),
    }

    def back(image):
        assert np.allclose(image.affine, brains.MM3)
        np.testing.assert_array_equal(image.get_fdata(dtype="f4"), data)

    return roles, et.volume("bold", mask="mask"), back


def two_surfaces(folder):
    series = {"L": brains.noise(1, FRAMES, 30), "R": brains.noise(2, FRAMES, 20)}
    inside = {"L": np.arange(30) % 3 > 0, "R": np.arange(20) > 4}
    mask = {
        side: str(brains.save_keys(folder / f"{side}.label.gii", one, {1: "in"}, side=side))
        for side, one in inside.items()
    }

    def back(image):
        axis = image.header.get_axis(1)
        assert axis.nvertices == {
            "CIFTI_STRUCTURE_CORTEX_LEFT": 30,
            "CIFTI_STRUCTURE_CORTEX_RIGHT": 20,
        }
        for (name, part, model), side in zip(axis.iter_structures(), "LR", strict=True):
            assert name.endswith({"L": "LEFT", "R": "RIGHT"}[side])
            np.testing.assert_array_equal(model.vertex, np.flatnonzero(inside[side]))
            theirs = series[side][:, model.vertex]
            np.testing.assert_array_equal(image.get_fdata(dtype="f4")[:, part], theirs)

    roles = {"bold": brains.surfaces(folder, series), "mask": mask}
    return roles, et.surface("bold", mask="mask"), back


def one_surface(folder):
    values = brains.noise(1, FRAMES, 30)
    path = brains.save_series(folder / "some.func.gii", values)

    def back(image):
        assert set(image.header.get_axis(1).name) == {"CIFTI_STRUCTURE_CORTEX"}
        np.testing.assert_array_equal(image.get_fdata(dtype="f4"), values)

    return {"bold": path}, et.surface("bold"), back


def grayordinates(folder):
    axis = brains.small_axis()
    values = brains.noise(3, FRAMES, len(axis))

    def back(image):
        assert image.header.get_axis(1) == axis
        np.testing.assert_array_equal(image.get_fdata(dtype="f4"), values)

    roles = {"bold": brains.save_dense(folder / "b.dtseries.nii", values, axis)}
    return roles, et.cifti("bold"), back


def some_of_91k(folder):
    axis = brains.axis_91k()
    values = brains.noise(3, FRAMES, len(axis))
    keep = np.arange(len(axis)) % 5 > 0
    mask = brains.save_scalars(folder / "m.dscalar.nii", keep, axis)
    kept = axis[keep & (axis.name == "CIFTI_STRUCTURE_CEREBELLUM_LEFT")]

    def back(image):
        found = image.header.get_axis(1)
        assert found == kept
        at = {(*axis.voxel[i],): i for i in range(59_412, len(axis))}
        places = [at[*voxel] for voxel in found.voxel]
        np.testing.assert_array_equal(image.get_fdata(dtype="f4"), values[:, places])

    roles = {"bold": brains.save_dense(folder / "b.dtseries.nii", values, axis)}
    return roles, et.cifti("bold", mask=mask, structures="cerebellum_left"), back


CASES = [a_volume, two_surfaces, one_surface, grayordinates, some_of_91k]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.__name__)
def case(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp(request.param.__name__))


@pytest.mark.parametrize("format", ["webdataset", "tfrecord"])
def test_values_go_back_where_they_were(case, format, tmp_path):
    roles, tensor, back = case
    records = brains.table(**{name: [value] for name, value in roles.items()})
    records = records.with_columns(bold_tr=1.25)
    table = et.transform(records, x=tensor, z=tensor.zscore())
    table.entense.write(tmp_path / "out", format=format)
    archive = et.open(tmp_path / "out")
    assert archive.verify().records == 1
    values = archive[0]["x"]
    image = archive.unmask(values, "x")
    place = tmp_path / f"back{'.nii.gz' if isinstance(image, nib.Nifti1Image) else '.dtseries.nii'}"
    nib.save(image, place)
    back(nib.load(place))
    step = image.header.get_zooms()[3] if place.name.endswith(".gz") else 0
    assert (step or image.header.get_axis(0).step) == 1.25
    still = archive.unmask(values[3], "x")
    frame = np.asarray(still.dataobj)
    whole = np.asarray(image.dataobj)
    assert np.array_equal(frame, whole[..., 3] if step else whole[3:4])
    assert archive.schema["x"].mask == archive.schema["z"].mask
    assert len(archive.manifest.masks) == 1


def test_values_of_another_width_are_refused(tmp_path):
    roles, tensor, _ = grayordinates(tmp_path)
    records = brains.table(bold=[roles["bold"]])
    archive = et.transform(records, x=tensor).entense.write(tmp_path / "out")
    with pytest.raises(et.ArchiveError, match=r"takes \(24,\) or \(time, 24\)"):
        archive.unmask(np.ones(23), "x")
