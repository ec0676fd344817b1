"""Small fMRIPrep studies, which all tests share."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import polars as pl
import pytest
from hypothesis import settings
from nibabel.orientations import axcodes2ornt, ornt_transform

settings.register_profile("entense", deadline=None, max_examples=50)  # a busy machine is no bug
settings.load_profile("entense")

SPACE = "MNI152NLin2009cAsym"
AFFINE = np.array([[2.0, 0, 0, -6], [0, 2, 0, -8], [0, 0, 3, -4], [0, 0, 0, 1]])
MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
SIGNALS = ["csf", "white_matter", "global_signal"]


def oriented(image, axcodes):
    """Store an image (RAS) under other axes; every voxel stays in its place in the world."""
    return image.as_reoriented(ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axcodes)))


def save_image(
    path, data, *, axcodes="RAS", affine=AFFINE, tr=None, scaled=None, kind=nib.Nifti1Image
):
    """Write (x, y, z[, time]) data given in RAS order; `scaled` = (slope, inter) of the header."""
    slope, inter = scaled or (1, 0)
    image = oriented(kind(data, affine, dtype=data.dtype), axcodes)
    header = kind.header_class(endianness=">" if data.dtype.str[0] == ">" else "<")
    stored = kind(np.asarray(image.dataobj), image.affine, header, dtype=data.dtype)
    stored.header.set_xyzt_units("mm", "sec")
    stored.header["pixdim"][4] = 0 if tr is None else tr  # nibabel would say 1
    if scaled:  # the stored numbers stay what they are; the header says how to read them
        stored.header.set_slope_inter(slope, inter)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(stored, path)
    return path


def bold_like(seed, shape, frames, dtype="int16"):
    """Make a baseline with drifts and noise, within what `dtype` holds; (x, y, z, time)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(*shape, frames)) + np.linspace(-1, 1, frames) * rng.normal(
        size=(*shape, 1)
    )
    small = np.dtype(dtype).itemsize == 1
    data = (60 + 10 * noise) if small else (10_000 + 100 * noise + rng.normal(0, 500, (*shape, 1)))
    whole = np.dtype(dtype).kind in "iu"
    if whole:
        limits = np.iinfo(dtype)
        data = np.clip(np.rint(data), max(limits.min, -1e15), min(limits.max, 1e15))
    return data.astype(dtype)


def confounds_table(seed, frames):
    """Make fMRIPrep's 36 columns, in which derivatives lack their first row, and a few more."""
    rng = np.random.default_rng(seed)
    columns = {}
    for name in MOTION + SIGNALS:
        base = rng.normal(size=frames).cumsum() * 0.05 + (0 if name in MOTION else 500)
        steps = [None, *np.diff(base).tolist()]
        columns[name] = base.tolist()
        columns[f"{name}_derivative1"] = steps
        columns[f"{name}_power2"] = (base**2).tolist()
        columns[f"{name}_derivative1_power2"] = [s if s is None else s * s for s in steps]
    columns["framewise_displacement"] = [None, *rng.gamma(2, 0.1, frames - 1).tolist()]
    columns |= {f"a_comp_cor_{i:02}": rng.normal(size=frames).tolist() for i in range(5)}
    return pl.DataFrame(columns)


@dataclass
class Study:
    """A folder of fMRIPrep outputs that grows a run at a time.

    `records` is its record table, as `et.stage` would make it.
    """

    root: Path
    shape: tuple = (5, 6, 4)
    rows: list = field(default_factory=list)

    @property
    def inside(self):
        """The brain: (x, y, z) bool, RAS, the same for every run."""
        inside = np.ones(self.shape, bool)
        inside[0, 0], inside[-1, :, 0], inside[1, 1, 1] = False, False, False
        return inside

    @property
    def records(self):
        kinds = {f"{role}_sidecar": pl.List(pl.String) for role in ("bold", "mask", "confounds")}
        kinds |= {"bold_tr": pl.Float64}
        return pl.DataFrame(self.rows, schema_overrides=kinds, infer_schema_length=None)

    def run(
        self,
        subject="01",
        *,
        session=None,
        task="rest",
        run=None,
        space=SPACE,
        frames=40,
        tr=2.0,
        dtype="int16",
        axcodes="RAS",
        scaled=None,
        extension=".nii.gz",
        kind=nib.Nifti1Image,
        data=None,
        seed=None,
    ):
        """Add a run; return its row of the record table (paths are strings).

        `data` is (x, y, z, time) in RAS order; made by `bold_like` of `seed` unless given.
        """
        seed = len(self.rows) if seed is None else seed
        data = bold_like(seed, self.shape, frames, dtype) if data is None else data
        names = {"sub": subject, "ses": session, "task": task, "run": run}
        stem = "_".join(f"{key}-{value}" for key, value in names.items() if value)
        folder = self.root / f"sub-{subject}" / (f"ses-{session}" if session else "") / "func"
        spaced = folder / f"{stem}_space-{space}"
        bold = Path(f"{spaced}_desc-preproc_bold{extension}")
        mask = Path(f"{spaced}_desc-brain_mask.nii.gz")
        sidecar = Path(f"{spaced}_desc-preproc_bold.json")
        confounds = folder / f"{stem}_desc-confounds_timeseries.tsv"
        save_image(bold, data, axcodes=axcodes, tr=tr, scaled=scaled, kind=kind)
        save_image(mask, self.inside.astype("u1"), axcodes=axcodes)
        sidecar.write_text(json.dumps({} if tr is None else {"RepetitionTime": tr}))
        table = confounds_table(seed + 1000, data.shape[3])
        table.write_csv(confounds, separator="\t", null_value="n/a")
        row = {"dataset": self.root.name, "subject": subject, "session": session, "task": task}
        row |= {"run": run, "space": space, "bold": bold, "mask": mask, "confounds": confounds}
        row = {k: str(v) if isinstance(v, Path) else v for k, v in row.items()}
        row |= {"bold_sidecar": [str(sidecar)], "bold_tr": tr}
        row |= {"mask_sidecar": None, "confounds_sidecar": None}
        self.rows.append(row)
        return row

    def compute(self, tensor):
        """Return what a tensor comes to, an array a record."""
        import entense as et

        table = self.records.entense.transform(made=tensor)
        return list(et.to_numpy(et.collect(table)["made"]))

    def image(self, name, data, **options):
        """Write (x, y, z[, time]) data, given in RAS order, on the study's grid."""
        return save_image(self.root.parent / name, data, **options)

    def atlas(self, name="atlas.nii.gz", labels=(2, 3, 5, 8), axcodes="RAS"):
        """Write a label image: slabs along x; the last label lies outside the brain."""
        codes = np.zeros(self.shape, "i2")
        for i, label in enumerate(labels[:-1]):
            codes[1 + i :] = label
        codes[0, 0] = labels[-1]
        return self.image(name, codes, axcodes=axcodes)


@pytest.fixture(scope="session")
def new_study():
    """Make a `Study` at folder/study: for fixtures of a wider scope than `study`."""

    def make(folder, **options):
        (folder / "study").mkdir()
        return Study(folder / "study", **options)

    return make


@pytest.fixture
def study(tmp_path, new_study):
    """An empty `Study` at tmp_path/study: call its `run` once a run."""
    return new_study(tmp_path)


@pytest.fixture
def decodes(monkeypatch):
    """The paths that are decoded, in order."""
    from entense.execute import loading

    paths, decode = [], loading.decode

    def count(series, *args):
        paths.append(series.path)
        return decode(series, *args)

    monkeypatch.setattr(loading, "decode", count)
    return paths
