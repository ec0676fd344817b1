"""Steps in space beside nilearn, scipy and NumPy, on real images: no mask, and a mask of the brain.

nitime's run is stored oblique (LSP), nibabel's functional LAS, its example oblique with 24 slices.
"""

import itertools
from pathlib import Path

import brains
import nibabel as nib
import nitime
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from nilearn.image import resample_img, smooth_img
from scipy.ndimage import gaussian_filter, map_coordinates

import entense as et
from entense.plan.survey import survey

DATA = Path(nib.__file__).parent / "tests" / "data"
FILES = {
    "fmri1": Path(nitime.__file__).parent / "data" / "fmri1.nii.gz",
    "functional": DATA / "functional.nii",
    "example4d": DATA / "example4d.nii.gz",
}
FRAMES = 2


@pytest.fixture(scope="module", params=FILES)
def run(request, tmp_path_factory):
    """A real image: its canonical form, a mask of it, and where both are stored."""
    folder = tmp_path_factory.mktemp(request.param)
    image = nib.load(FILES[request.param]).slicer[..., :FRAMES]
    nib.save(image, folder / "bold.nii.gz")
    canonical = nib.as_closest_canonical(nib.load(folder / "bold.nii.gz"))
    mean = canonical.get_fdata().mean(axis=-1)
    inside = mean > np.percentile(mean, 40)
    inside[:2] = False  # one end of the grid is empty
    nib.save(nib.Nifti1Image(inside.astype("u1"), canonical.affine), folder / "mask.nii.gz")
    return folder, canonical, inside


def made(folder, tensor):
    """Return a tensor's array and its mask."""
    records = brains.table(bold=[folder / "bold.nii.gz"], mask=[folder / "mask.nii.gz"])
    table = et.transform(records, made=tensor)
    return et.to_numpy(et.collect(table)["made"])[0], survey(table).specs[0]["made"].mask


def agree(ours, theirs):
    assert ours.shape == theirs.shape
    assert np.linalg.norm(ours - theirs) <= 1e-4 * np.linalg.norm(theirs - theirs.mean())


def frames(data):
    return np.moveaxis(data, -1, 0)


def another_grid(image, size=3.1):
    """Return a lattice that is turned, shifted, and of other voxels, within an image's bounds."""
    corner, far = apply_affine(image.affine, [[0, 0, 0], np.array(image.shape[:3]) - 1])
    middle, turn = (corner + far) / 2, 0.1
    cos, sin = np.cos(turn), np.sin(turn)
    affine = np.eye(4)
    affine[:3, :3] = size * np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    shape = np.maximum(3, np.abs(far - corner) / size * 0.9).astype(int)
    affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
    return tuple(map(int, shape)), affine


def places(image, shape, affine):
    """Return where a lattice's voxels lie in an image: (3, X, Y, Z); and which are within it.

    Those that are equally near to two voxels are left out: rounding chooses between them.
    """
    between = np.linalg.inv(image.affine) @ affine
    at = np.moveaxis(apply_affine(between, np.moveaxis(np.indices(shape), 0, -1)), -1, 0)
    top = np.array(image.shape[:3])[:, None, None, None] - 1
    tie = np.abs(at - np.floor(at) - 0.5) < 2e-4
    return at, ((at > 1e-3) & (at < top - 1e-3) & ~tie).all(axis=0)


# The whole grid


def test_without_a_mask_every_voxel_is_kept(run):
    folder, image, _ = run
    array, mask = made(folder, et.volume("bold"))
    np.testing.assert_allclose(array, image.get_fdata().reshape(-1, FRAMES).T, rtol=1e-6)
    assert mask.inside.all()
    assert np.allclose(mask.affine, image.affine, atol=1e-5)


def test_the_grid_is_nibabels(run):
    folder, image, inside = run
    np.testing.assert_allclose(
        made(folder, et.volume("bold").grid())[0], frames(image.get_fdata()), rtol=1e-6
    )
    data = np.where(inside[..., None], image.get_fdata(), -7.5)
    ours, mask = made(folder, et.volume("bold", mask="mask").grid(fill=-7.5))
    np.testing.assert_allclose(ours, frames(data), rtol=1e-6)
    assert mask is None


def test_a_crop_is_a_slice(run):
    folder, image, _ = run
    shape = [7, 10, 3]
    start = [n // 2 - m // 2 for n, m in zip(image.shape, shape, strict=False)]
    theirs = image.slicer[tuple(slice(a, a + m) for a, m in zip(start, shape, strict=True))]
    ours, mask = made(folder, et.volume("bold").crop(shape))
    np.testing.assert_allclose(ours, theirs.get_fdata().reshape(-1, FRAMES).T, rtol=1e-6)
    assert np.allclose(mask.affine, theirs.affine, atol=1e-4)


def test_a_pad_is_zeros_around(run):
    folder, image, _ = run
    shape = [image.shape[0] + 3, image.shape[1], image.shape[2] + 6]
    before = np.array([1, 0, 3])
    theirs = np.pad(image.get_fdata(), [(1, 2), (0, 0), (3, 3), (0, 0)])
    tensor = et.volume("bold").pad(shape)
    _, mask = made(folder, tensor)
    np.testing.assert_allclose(made(folder, tensor.grid())[0], frames(theirs), rtol=1e-6)
    assert np.allclose(mask.affine[:3, 3], apply_affine(image.affine, -before), atol=1e-4)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_downsampling_is_a_mean_over_blocks(run, factor, masked):
    folder, image, inside = run
    inside = inside if masked else np.ones_like(inside)
    data = np.where(inside[..., None], image.get_fdata(), np.nan)
    short = [(0, -n % factor) for n in data.shape[:3]]
    data = np.pad(data, [*short, (0, 0)], constant_values=np.nan)
    x, y, z = (n // factor for n in data.shape[:3])
    blocks = data.reshape(x, factor, y, factor, z, factor, FRAMES)
    some = np.isfinite(blocks).any(axis=(1, 3, 5))[..., 0]
    theirs = np.nanmean(np.moveaxis(blocks, (1, 3, 5), (3, 4, 5))[some], axis=(1, 2, 3)).T
    tensor = et.volume("bold", mask="mask" if masked else None).downsample(factor)
    ours, mask = made(folder, tensor)
    agree(ours, theirs)
    np.testing.assert_array_equal(mask.inside, some)
    first = apply_affine(image.affine, np.array(list(np.ndindex(*[factor] * 3))).mean(axis=0))
    assert np.allclose(apply_affine(mask.affine, [0, 0, 0]), first, atol=1e-4)
    assert np.allclose(mask.affine[:3, :3], factor * image.affine[:3, :3], atol=1e-5)


@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_resampling_is_nilearns(run, method):
    folder, image, _ = run
    shape, affine = another_grid(image)
    theirs = resample_img(
        nib.Nifti1Image(image.get_fdata(), image.affine),  # of integers it gives integers
        target_affine=affine,
        target_shape=shape,
        interpolation=method,
        force_resample=True,
        copy_header=True,
    ).get_fdata()
    to = folder / f"to_{method}.nii.gz"
    nib.save(nib.Nifti1Image(np.ones(shape, "u1"), affine), to)
    tensor = et.volume("bold").resample(to, method=method)
    ours, mask = made(folder, tensor)
    _, within = places(image, shape, affine)
    assert within.mean() > 0.3
    assert np.allclose(mask.affine, affine, atol=1e-4)
    assert mask.inside[within].all()
    agree(ours[:, within[mask.inside]], theirs[within].T)


def test_out_of_reach_of_the_edge_smoothing_is_nilearns(run):
    folder, image, _ = run
    theirs = smooth_img(nib.Nifti1Image(image.get_fdata(), image.affine), 5).get_fdata()
    reach = (4 * 5 / np.sqrt(8 * np.log(2)) / nib.affines.voxel_sizes(image.affine) + 0.5).astype(
        int
    )
    deep = np.zeros(image.shape[:3], bool)
    deep[tuple(slice(r, -r) for r in reach)] = True
    ours, _ = made(folder, et.volume("bold").smooth(5.0))
    assert deep.sum() >= 36
    agree(ours[:, deep.ravel()], theirs[deep].T)


# In a mask


@pytest.mark.parametrize("fwhm", [2.5, 6.0, 20.0])
def test_smoothing_in_a_mask_is_scipys(run, fwhm):
    folder, image, inside = run
    sigma = fwhm / np.sqrt(8 * np.log(2)) / nib.affines.voxel_sizes(image.affine)
    data = np.where(inside[..., None], image.get_fdata(), 0)

    def filtered(one):
        return gaussian_filter(one, sigma, mode="constant", truncate=4.0)

    weight = filtered(inside.astype(float))[inside]
    theirs = np.stack([filtered(one)[inside] / weight for one in frames(data)])
    agree(made(folder, et.volume("bold", mask="mask").smooth(fwhm))[0], theirs)


@pytest.mark.parametrize(("method", "order"), [("linear", 1), ("nearest", 0)])
def test_resampling_in_a_mask_takes_nothing_from_outside(run, method, order):
    folder, image, inside = run
    shape, affine = another_grid(image, 2.7)
    to = folder / f"in_{method}.nii.gz"
    nib.save(nib.Nifti1Image(np.ones(shape, "u1"), affine), to)
    at, within = places(image, shape, affine)

    def sampled(one):
        return map_coordinates(one, at, order=order, mode="grid-constant")

    weight = sampled(inside.astype(float))
    ours, mask = made(folder, et.volume("bold", mask="mask").resample(to, method=method))
    theirs = [sampled(one) for one in frames(np.where(inside[..., None], image.get_fdata(), 0))]
    due = within & (weight > 1e-3)
    assert (mask.inside[within] == (weight[within] > 0)).mean() > 0.999
    assert mask.inside[weight == 0].mean() < 1e-3
    theirs = np.stack(theirs)[:, due] / weight[due]
    agree(ours[:, due[mask.inside]], theirs)


def test_its_own_grid_is_the_image_itself(run):
    folder, *_ = run
    start = et.volume("bold", mask="mask")
    for method in ("linear", "nearest"):
        ours, mask = made(folder, start.resample("mask", method=method))
        theirs, same = made(folder, start)
        np.testing.assert_array_equal(ours, theirs)
        assert mask == same


def test_twice_the_voxel_size_is_the_lattice_of_downsampling(tmp_path):
    data = brains.noise(0, 9, 8, 7, FRAMES)
    affine = np.diag([2.0, 2, 2, 1]) + np.array([[0, 0, 0, -9], *[[0] * 4] * 3])
    brains.save_volume(tmp_path / "bold.nii.gz", data, "LAS", affine)
    brains.save_volume(tmp_path / "mask.nii.gz", np.ones((9, 8, 7), "u1"), "RAS", affine)
    _, coarse = made(tmp_path, et.volume("bold").downsample(2))
    ours, mask = made(tmp_path, et.volume("bold", mask="mask").resample(voxel_size=4.0))
    assert mask.shape == coarse.shape == (5, 4, 4)
    assert np.allclose(mask.affine, coarse.affine)
    # the middle of a block of eight is their mean; that of a block that is cut off lies outside
    within = np.zeros((5, 4, 4), bool)
    within[:4, :, :3] = True
    np.testing.assert_array_equal(mask.inside, within)
    blocks = data[:8, :, :6].reshape(4, 2, 4, 2, 3, 2, FRAMES).mean(axis=(1, 3, 5))
    agree(ours, blocks.reshape(-1, FRAMES).T)


# Any orientation of any file

AXCODES = [
    "".join(code)
    for axes in itertools.permutations(["RL", "AP", "SI"])
    for code in itertools.product(*axes)
]
OBLIQUE = np.array([[2, 0.3, 0, -6], [-0.3, 2, 0.1, -8], [0, -0.1, 3, -4], [0, 0, 0, 1.0]])
SHAPE, FINE = (6, 7, 5), (9, 8, 8)
STORED = {"bold": SHAPE, "mask": SHAPE, "grey": SHAPE, "to": FINE}


def stored():
    rng = np.random.default_rng(0)
    for name, shape in STORED.items():
        data = rng.random(shape) > 0.3
        yield name, brains.noise(1, *shape, FRAMES) if name == "bold" else data.astype("u1")


def moves():
    """Return every step that moves voxels."""
    start = et.volume("bold", mask="mask")
    return {
        "grey_alone": start.mask("grey"),
        "crop": start.crop([5, 4, 4]),
        "box": start.mask("grey").crop(),
        "pad": start.pad([9, 8, 6]).grid(),
        "coarse": start.downsample(2),
        "linear": start.resample("to"),
        "nearest": start.resample("to", method="nearest"),
        "size": start.resample(voxel_size=1.7),
        "smooth": start.smooth(4.0),
        "grid": et.volume("bold").crop([5, 4, 4]).grid(),
    }


def moved(folder, axcodes, affine):
    place = dict.fromkeys(STORED, affine) | {"to": affine @ np.diag([0.7, 0.8, 0.6, 1])}
    roles = {
        name: [brains.save_volume(folder / f"{name}.nii.gz", data, axcodes[name], place[name])]
        for name, data in stored()
    }
    table = et.transform(brains.table(**roles), **moves())
    masks = {name: spec.mask for name, spec in survey(table).specs[0].items()}
    frame = et.collect(table)
    return {name: et.to_numpy(frame[name])[0] for name in moves()}, masks


@pytest.fixture(scope="module", params=[brains.MM3, OBLIQUE], ids=["straight", "oblique"])
def ras(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("orientations")
    return folder, request.param, moved(folder, dict.fromkeys(STORED, "RAS"), request.param)


@settings(max_examples=48)
@given(codes=st.tuples(*[st.sampled_from(AXCODES)] * len(STORED)))
def test_orientations_do_not_matter(ras, codes):
    folder, affine, (arrays, masks) = ras
    ours, ours_masks = moved(folder, dict(zip(STORED, codes, strict=True)), affine)
    for name in moves():
        # a file holds its affine in float32: what it is read as depends on how it is stored
        np.testing.assert_allclose(ours[name], arrays[name], rtol=1e-6, err_msg=name)
        assert_same(ours_masks[name], masks[name])


def assert_same(mask, other):
    assert (mask is None) == (other is None)
    if mask is not None:
        np.testing.assert_array_equal(mask.inside, other.inside)
        np.testing.assert_allclose(mask.affine, other.affine, atol=1e-5)
